# test: everything that must hold, in less than ten minutes; ends with "N passed, N failed, N skipped"
# shellcheck shell=bash disable=SC2086
# usage: ./do test [WORD]: only the tests whose path contains WORD
need $PKG_BUILD $PKG_TEST $PKG_PEERS $PKG_CLANG $PKG_FORMAT
need_localhost
only=${1:-}
passed=0 failed=0 skipped=0
export CONFORMANCE_DIR=${CONFORMANCE_DIR:-$PWD/../shared/conformance}
logs=build-test/logs

# stage NAME COMMAND…: what the command prints is shown; a "RESULT p f s" line at its end is added up, otherwise its
# exit code is one result.
stage() {
    local name=$1 start=$SECONDS out status=0 p f s
    shift
    out=$(mktemp)
    ("$@") >"$out" 2>&1 || status=$?
    if read -r _ p f s < <(grep '^RESULT ' "$out"); then
        grep -v '^RESULT ' "$out" || true
    else
        p=$((status == 0)) f=$((status != 0)) s=0
        [ $status -eq 0 ] || sed 's/^/    /' "$out"
    fi
    rm -f "$out"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-34s %4d passed %3d failed %3d skipped %5d s\n' "$name" "$p" "$f" "$s" "$(seconds_since $start)"
}

build_sanitized() {
    CC=clang build build-asan -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false
}

finish() {
    printf 'total %d s\n' "$SECONDS"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}

SECONDS=0
mkdir -p "$logs"
stage 'build (gcc, -Werror)' build_tests
if [ $failed -gt 0 ]; then
    finish
    exit
fi
export BUILD=$PWD/build-test SALLYPORT=$PWD/build-test/sallyport EXAMPLES=$PWD/build-test/examples
if [ -z "$only" ]; then
    stage 'layout (clang-format)' ./do format check
    stage 'layers' tools/check-layers
    stage 'banned functions, paths' tools/check-tree
fi
stage 'unit tests' tools/run-tests --jobs 2 --logs "$logs" --build build-test --only "$only"

shopt -s nullglob
scripts=()
for script in test/house/* test/blackbox/* test/node/*.mjs test/stories/*; do
    [ -f "$script" ] && [ -x "$script" ] && scripts+=("$script")
done
stage 'node packages' node_modules
# three at once: they wait more than they compute
stage 'black box, stories' tools/run-tests --jobs 3 --logs "$logs" --only "$only" --slowest 5 "${scripts[@]}"

before=$failed
stage 'build (clang, ASan, UBSan, -Werror)' build_sanitized
if [ $failed -gt $before ]; then
    finish
    exit
fi
export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
stage 'unit tests, ASan and UBSan' tools/run-tests --jobs 2 --logs build-asan/logs --whole --build build-asan --only "$only"
finish
