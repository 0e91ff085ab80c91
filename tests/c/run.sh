#!/bin/sh
# Compiles and runs the C and C++ tests against libkvstore.so and libkvstore.a.
#
#   tests/c/run.sh               each test dynamically linked, and once more statically
#   tests/c/run.sh --valgrind    the same under Valgrind's memcheck: any error or leak fails
#
# KVSTORE_LIB_DIR=...  use the libraries in that directory instead of building them.
# CC, CXX, CFLAGS      as usual; CFLAGS is added to the warnings, which are errors.
#
# Each test runs in a directory of its own, which is removed afterwards. The last line says
# "N passed, M failed"; the exit status is 0 only if nothing failed.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
CC=${CC:-cc}
CXX=${CXX:-c++}
warnings="-Wall -Wextra -pedantic -Werror -g ${CFLAGS:-}"
export KVSTORE_FIXTURES="$root/tests/fixtures"

valgrind=""
case "${1:-}" in
    "") ;;
    --valgrind)
        # What is still reachable at the end is not a leak: it is what the library keeps once for
        # the whole process. A forked child ends without freeing what its parent had.
        leaks=definite,indirect,possible
        valgrind="valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=$leaks
            --errors-for-leak-kinds=$leaks --child-silent-after-fork=yes"
        export KVSTORE_SKIP_MEMORY_LIMIT=1
        ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

if [ -n "${KVSTORE_LIB_DIR:-}" ]; then
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

# run NAME PROGRAM ARGUMENT...: a test, in an empty directory.
run() {
    name=$1
    shift
    mkdir "$work/run"
    chmod 777 "$work/run"
    echo "$name"
    if (cd "$work/run" && LD_LIBRARY_PATH="$work/lib" exec $valgrind "$@"); then
        pass
    else
        fail "$name"
    fi
    chmod -R u+rwx "$work/run"
    rm -rf "$work/run"
}

header=$root/include/kvstore.h
check "the header compiles alone as C99" \
    $CC -std=c99 $warnings -fsyntax-only -x c "$header"
check "the header compiles alone as C11" \
    $CC -std=c11 $warnings -fsyntax-only -x c "$header"
check "the header compiles alone as C++17" \
    $CXX -std=c++17 $warnings -fsyntax-only -x c++ "$header"

# The program at the head of the header is what people copy first.
sed -n '/^ \*     #include <kvstore.h>/,/^ \*     }$/s/^ \*     //p' "$header" >"$work/example.c"
check "the example at the head of the header compiles" \
    $CC -std=c11 $warnings -I "$root/include" -o "$work/bin/example" "$work/example.c" \
    -L "$work/lib" -lkvstore
run "the example at the head of the header" "$work/bin/example"

# The library must export what the header declares, and nothing else.
if [ "$(uname)" = Linux ]; then
    declared() { sed -n 's/^[a-z].*[ *]\(kvstore_[a-z_]*\)(.*/\1/p' "$header" | sort; }
    exported() { nm -D --defined-only "$libraries/libkvstore.so" | awk '{ print $NF }' | sort; }
    declared >"$work/declared"
    exported >"$work/exported"
    check "the library exports the functions of the header, and no other symbol" \
        diff "$work/declared" "$work/exported"
    soname() { readelf -d "$libraries/libkvstore.so" | grep -q 'SONAME.*\[libkvstore\.so\.0\]'; }
    check "the library's soname is libkvstore.so.0" soname
fi

# What a program needs beside libkvstore.a.
system="-lpthread -lm"
[ "$(uname)" = Linux ] && system="$system -ldl"

# build PROGRAM COMPILER SOURCE: both ways of linking.
build() {
    $2 $warnings -I include -o "$work/bin/$1" "tests/c/$3" -L "$work/lib" -lkvstore -lpthread &&
        $2 $warnings -I include -o "$work/bin/$1-static" "tests/c/$3" \
            "$libraries/libkvstore.a" $system
}

cd "$root" || exit 1
for source in functions bad_input golden recovery exhausted fork stress wrapper; do
    arguments=""
    if [ "$source" = wrapper ]; then
        build $source "$CXX -std=c++17" "$source.cpp"
    else
        build $source "$CC -std=c11" "$source.c"
    fi
    if [ $? -ne 0 ]; then
        fail "$source does not compile"
        continue
    fi
    # Valgrind runs one thread at a time, some thirty times slower.
    [ "$source" = stress ] && [ -n "$valgrind" ] && arguments="4 500"
    run "$source, linked dynamically" "$work/bin/$source" $arguments
    run "$source, linked statically" "$work/bin/$source-static" $arguments
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
