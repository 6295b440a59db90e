# lint: clang-tidy, cppcheck and shellcheck over everything; findings are errors (./do lint tidy|cppcheck|shell: one)
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_TEST $PKG_CLANG $PKG_LINT

lint_tidy() {
    # Only configured, not built: the database of compile commands is all that is needed.
    CC=clang build build-tidy -- src/base/libbase.a || return 1
    local out status=0
    out=$(git ls-files 'src/*.c' 'bench/*.c' 'examples/*.c' |
        xargs -P "$JOBS" -n 6 clang-tidy -p build-tidy --quiet 2>/dev/null) || status=$?
    grep -E '(error|warning): ' <<<"$out" | sed "s|$PWD/build-tidy/../||; s|$PWD/||" | sort -u
    [ $status -eq 0 ]
}

lint_cppcheck() {
    cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 -j "$JOBS" \
        --suppressions-list=tools/cppcheck.txt -D_GNU_SOURCE -DSALLYPORT_VERSION='"x"' -I src src examples bench/tools
}

lint_shell() {
    local files
    mapfile -t files < <(git ls-files | while read -r f; do
        case $f in *.sh) echo "$f" ;; *) head -c 64 "$f" | grep -qaE '^#!.*(bash|/sh)' && echo "$f" ;; esac
    done)
    shellcheck -x "${files[@]}"
}

status=0
for part in ${1:-tidy cppcheck shell}; do
    if "lint_$part"; then say "$part: nothing found"; else status=1 && say "$part: see above"; fi
done
exit $status
