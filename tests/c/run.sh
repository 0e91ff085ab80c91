#!/bin/sh
# Compiles and runs the C and C++ tests against libkvstore.so and libkvstore.a.
#
#   tests/c/run.sh               each test dynamically linked, and once more statically
#   tests/c/run.sh --valgrind    the same under Valgrind's memcheck: any error or leak fails
#   tests/c/run.sh --address     statically linked, all of it instrumented by AddressSanitizer
#
# AddressSanitizer finds accesses outside an allocation or after it was freed, in the library as in
# its caller, wrong and double frees, and leaks. Of a mapped file it knows only whether it is
# mapped: an access after it was unmapped is found, one beyond the end of a record is not. Rust's
# standard library is not instrumented, but its allocations are tracked.
#
# KVSTORE_LIB_DIR=...  use the libraries in that directory instead of building them.
# CC, CXX, CFLAGS      as usual; CFLAGS is added to the warnings, which are errors.
#
# Each test runs in a directory of its own, which is removed afterwards. The last line says
# "N passed, M failed"; the exit status is 0 only if nothing failed. A test that cannot be run here
# says SKIPPED and why.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
CC=${CC:-cc}
CXX=${CXX:-c++}
warnings="-Wall -Wextra -pedantic -Werror -g ${CFLAGS:-}"
export KVSTORE_FIXTURES="$root/tests/fixtures"

valgrind=""
address=""
case "${1:-}" in
    "") ;;
    --valgrind)
        # What is still reachable at the end is not a leak: it is what the library keeps once for
        # the whole process. A forked child ends without freeing what its parent had.
        # Threads take turns: a writer who never waits would keep everybody else from running.
        leaks=definite,indirect,possible
        valgrind="valgrind --quiet --fair-sched=try --error-exitcode=99 --leak-check=full --show-leak-kinds=$leaks
            --errors-for-leak-kinds=$leaks --child-silent-after-fork=yes
            --suppressions=$root/tests/c/memcheck.supp"
        export KVSTORE_SKIP_MEMORY_LIMIT=1
        ;;
    --address)
        address=yes
        export ASAN_OPTIONS=exitcode=99:detect_leaks=1:detect_stack_use_after_return=1
        export KVSTORE_SKIP_MEMORY_LIMIT=1
        ;;
    *) sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

if [ -n "$address" ]; then
    # The sanitizers are not stable options yet, but the stable compiler has them, and its run-time
    # library serves the C code as well.
    triple=$(rustc -vV | sed -n 's/^host: //p')
    runtime=$(rustc --print target-libdir)/librustc-stable_rt.asan.a
    [ -f "$runtime" ] || { echo "this Rust toolchain comes without $runtime" >&2; exit 1; }
    target=${CARGO_TARGET_DIR:-$root/target}/asan
    (cd "$root" && RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo build --quiet --lib --target "$triple" --target-dir "$target") || exit 1
    libraries=$target/$triple/debug
elif [ -n "${KVSTORE_LIB_DIR:-}" ]; then
    libraries=$(cd "$KVSTORE_LIB_DIR" && pwd) || exit 1
else
    (cd "$root" && cargo build --release --quiet) || exit 1
    libraries=${CARGO_TARGET_DIR:-$root/target}/release
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work" # a test gives up its privileges and must still get here
mkdir "$work/lib" "$work/bin"
# The name that the linker finds, and the one that programs ask for when they start.
ln -s "$libraries/libkvstore.so" "$work/lib/libkvstore.so"
ln -s "$libraries/libkvstore.so" "$work/lib/libkvstore.so.0"

passed=0
failed=0
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $1"; }

# check NAME COMMAND...: a check without output of its own.
check() {
    name=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "$name"
        pass
    else
        cat "$work/output"
        fail "$name"
    fi
}

# run NAME PROGRAM ARGUMENT...: a test, in an empty directory; on a disk of its own of that size if
# $disk is set.
run() {
    name=$1
    shift
    mkdir "$work/run"
    chmod 777 "$work/run"
    echo "$name"
    set -- $valgrind "$@"
    # The disk is mounted over the working directory, which has to be entered once more.
    [ -z "$disk" ] ||
        set -- "$root/tests/small_disk.sh" "$disk" "$work/run" \
            sh -c 'cd "$PWD" && exec "$@"' sh "$@"
    (cd "$work/run" && LD_LIBRARY_PATH="$work/lib" exec "$@")
    case $? in
        0) pass ;;
        77) ;; # it has said why it was skipped
        *) fail "$name" ;;
    esac
    chmod -R u+rwx "$work/run"
    rm -rf "$work/run"
}

disk=""
header=$root/include/kvstore.h
check "the header compiles alone as C99" \
    $CC -std=c99 $warnings -fsyntax-only -x c "$header"
check "the header compiles alone as C11" \
    $CC -std=c11 $warnings -fsyntax-only -x c "$header"
check "the header compiles alone as C++17" \
    $CXX -std=c++17 $warnings -fsyntax-only -x c++ "$header"

# What a program needs beside libkvstore.a.
system="-lpthread -lm"
[ "$(uname)" = Linux ] && system="$system -ldl"

# build_static PROGRAM COMPILER SOURCE
build_static() {
    if [ -n "$address" ]; then
        $2 $warnings -fsanitize=address -O1 -I "$root/include" -c -o "$work/object.o" "$3" &&
            $2 -o "$work/bin/$1" "$work/object.o" "$libraries/libkvstore.a" \
                -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive $system -lrt
    else
        $2 $warnings -I "$root/include" -o "$work/bin/$1" "$3" "$libraries/libkvstore.a" $system
    fi
}

# build PROGRAM COMPILER SOURCE: each way of linking that is to be tested.
build() {
    if [ -z "$address" ]; then
        $2 $warnings -I "$root/include" -o "$work/bin/$1" "$3" -L "$work/lib" -lkvstore -lpthread \
            $system || return
    fi
    build_static "$1-static" "$2" "$3"
}

# The program at the head of the header is what people copy first.
sed -n '/^ \*     #include <kvstore.h>/,/^ \*     }$/s/^ \*     //p' "$header" >"$work/example.c"
check "the example at the head of the header compiles" \
    build example "$CC -std=c11" "$work/example.c"
run "the example at the head of the header" "$work/bin/example-static"

# The library must export what the header declares, and nothing else.
if [ "$(uname)" = Linux ] && [ -z "$address" ]; then
    declared() { sed -n 's/^[a-z].*[ *]\(kvstore_[a-z_]*\)(.*/\1/p' "$header" | sort; }
    exported() { nm -D --defined-only "$libraries/libkvstore.so" | awk '{ print $NF }' | sort; }
    declared >"$work/declared"
    exported >"$work/exported"
    check "the library exports the functions of the header, and no other symbol" \
        diff "$work/declared" "$work/exported"
    soname() { readelf -d "$libraries/libkvstore.so" | grep -q 'SONAME.*\[libkvstore\.so\.0\]'; }
    check "the library's soname is libkvstore.so.0" soname
fi

cd "$root" || exit 1
tests="functions view batches backup bad_input null_arguments golden recovery verify exhausted full_disk killed faults fork stress checkpoints large_checkpoints wrapper"
for test in $tests; do
    arguments=""
    disk=""
    case $test in
        full_disk) disk=16m ;;
        # Its syncs need no real disk, and wait for one if there is no other.
        faults) "$root/tests/small_disk.sh" 64m "$work" true 2>/dev/null && disk=64m ;;
    esac
    # Valgrind runs one thread at a time, some thirty times slower.
    [ -n "$valgrind" ] && case $test in
        stress) arguments="4 500" ;;
        checkpoints) arguments="2 400" ;;
        large_checkpoints) arguments=1 ;;
        killed) arguments=5 ;;
        faults) arguments=25 ;;
    esac
    [ -n "$address" ] && [ $test = faults ] && arguments=5
    if [ $test = wrapper ]; then
        build $test "$CXX -std=c++17" tests/c/$test.cpp
    else
        build $test "$CC -std=c11" tests/c/$test.c
    fi
    if [ $? -ne 0 ]; then
        fail "$test does not compile"
        continue
    fi
    [ -n "$address" ] || run "$test, linked dynamically" "$work/bin/$test" $arguments
    run "$test, linked statically" "$work/bin/$test-static" $arguments
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
