#!/bin/sh
# Runs the C tests with many threads under ThreadSanitizer: stress and checkpoints. A data race
# fails it.
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
for test in stress checkpoints large_checkpoints; do
    ${CC:-cc} -g -O1 -Iinclude "tests/c/$test.c" -o "$work/$test-program" \
        "$build/$triple/debug/libkvstore.a" \
        -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt
done
export TSAN_OPTIONS="exitcode=66 suppressions=$root/tests/c/tsan.supp"

# race TEST ARGUMENT...: in an empty directory
race() {
    test=$1
    shift
    mkdir "$work/run"
    (cd "$work/run" && "$work/$test-program" "$@")
    rm -rf "$work/run"
}
threads=${1:-4}
operations=${2:-20000}
race stress "$threads" "$operations" os
race stress "$threads" "$operations" sync
# Each operation does more there.
race checkpoints "$threads" "$((operations / 2))" os
race checkpoints "$threads" "$((operations / 8))" sync
# With logs that are long enough for the thread that makes pages ready.
race checkpoints "$threads" "$((operations / 2))" os 2000000
# With more records than one thread copies, and more bytes than are unmapped at once.
race large_checkpoints 3
echo "no data race found"
