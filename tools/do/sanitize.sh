# sanitize: unit and black-box tests under ASan and UBSan (./do sanitize thread: under TSan)
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_TEST $PKG_PEERS $PKG_CLANG
kind=address,undefined dir=build-asan
[ "${1:-}" = thread ] && kind=thread dir=build-tsan
CC=clang build $dir -Dwerror=true -Db_sanitize=$kind -Db_lundef=false
export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
export CONFORMANCE_DIR=${CONFORMANCE_DIR:-$PWD/../shared/conformance}
export BUILD=$PWD/$dir SALLYPORT=$PWD/$dir/sallyport EXAMPLES=$PWD/$dir/examples
node_modules >&2
shopt -s nullglob
scripts=()
for script in test/blackbox/* test/stories/*; do
    [ -f "$script" ] && [ -x "$script" ] && scripts+=("$script")
done
# Everything is slower here, so everything may take longer.
SLOWER=3 tools/run-tests --jobs "$JOBS" --logs "$dir/logs" --build "$dir" "${scripts[@]}" | tee "$dir/result"
exit "${PIPESTATUS[0]}"
