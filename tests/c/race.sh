#!/bin/sh
# Runs the C stress test under ThreadSanitizer. A data race fails it.
#
# The library is built with the sanitizer of Rust's own LLVM and linked, statically, with the
# run-time library that comes with the Rust toolchain. The threads are those of the C program:
# Rust's standard library is not instrumented, and the threads of its test harness would be
# reported for what the sanitizer cannot see there. Within this library one thing is suppressed
# (tsan.supp); all else that orders its threads are atomics, parking_lot (instrumented like the
# rest) and pthread_create, which the sanitizer knows. See "Races" in docs/DESIGN.md.
#
#   tests/c/race.sh [THREADS [OPERATIONS]]     of each kind, and of each thread; 4 and 20000
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')
build=${CARGO_TARGET_DIR:-$root/target}/tsan
runtime=$(rustc --print target-libdir)/librustc-stable_rt.tsan.a
[ -f "$runtime" ] || { echo "this Rust toolchain comes without $runtime" >&2; exit 1; }

# The sanitizers are not stable options yet, but the stable compiler has them.
cd "$root"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
    cargo build --quiet --lib --target "$triple" --target-dir "$build"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-cc} -g -O1 -Iinclude tests/c/stress.c -o "$work/program" \
    "$build/$triple/debug/libkvstore.a" \
    -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt
cd "$work"
for durability in os sync; do
    TSAN_OPTIONS="exitcode=66 suppressions=$root/tests/c/tsan.supp" ./program "${1:-4}" "${2:-20000}" "$durability"
    rm -rf stress
done
echo "no data race found"
