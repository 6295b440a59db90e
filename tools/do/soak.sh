# soak: what takes long, in named parts that are not repeated once they have passed (./do soak [PART…], ./do soak again)
# shellcheck shell=bash disable=SC2086
# A part that has passed for this very tree is skipped; stop at any time and go on later. Less than an hour in all.
parts=(lint package thread memcheck fuzz store users times slow reload load)
state=build-soak
mkdir -p $state
[ "${1:-}" = again ] && rm -f $state/*.passed && shift
need $PKG_BUILD $PKG_TEST $PKG_PEERS $PKG_CLANG $PKG_LINT valgrind
ulimit -n "$(ulimit -Hn)"

# What the tree holds now, committed or not: a result is worth something only for it.
tree=$(
    git rev-parse HEAD
    git diff HEAD
    git ls-files --others --exclude-standard -z | xargs -0r sha256sum
)
tree=$(sha256sum <<<"$tree" | cut -c1-40)

# clang-tidy, cppcheck, shellcheck
part_lint() { ./do lint; }
# the Debian package in a fresh Debian, the image under others' tools; needs root and a mirror
part_package() {
    need $PKG_PACKAGE debootstrap skopeo umoci curl
    ./do package && test/soak/package.sh
}
# every test under the thread sanitizer
part_thread() { ./do sanitize thread; }
# unit tests under valgrind: what ASan cannot see is uninitialised memory
part_memcheck() {
    build_tests
    mapfile -t tests < <(find build-test/test/unit -type f -name 'test_*' -executable | sort)
    # shellcheck disable=SC2016
    printf '%s\0' "${tests[@]}" | xargs -0 -P "$JOBS" -I '{}' sh -c \
        'valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$1" >"$1.memcheck" 2>&1 ||
         { echo "not ok memcheck $1"; tail -n 40 "$1.memcheck"; exit 1; }' sh '{}'
}
# every fuzz target; ten minutes in all, at least twenty seconds each
part_fuzz() {
    local n
    n=$(find test/fuzz -name 'fuzz_*.c' | wc -l)
    [ "$n" -gt 0 ] || return 1
    local seconds=$((600 * JOBS / n))
    [ $seconds -gt 120 ] && seconds=120
    [ $seconds -lt 20 ] && seconds=20
    ./do fuzz $seconds
}
# writers of the store killed (-9) at random moments, on a disk and on a full one: nothing acknowledged is lost
part_store() {
    build_tests
    BUILD=$PWD/build-test python3 test/soak/store_kill.py "${STORE_ROUNDS:-200}"
}
# a million users imported with real hashes, looked up and logged in while more come
part_users() {
    build_tests
    BUILD=$PWD/build-test python3 test/soak/users.py "${USERS:-1000000}"
}
# ten thousand logins each of a wrong password, an unknown and a disabled user: times that tell nothing apart
part_times() {
    build_tests
    BUILD=$PWD/build-test SAMPLES=${SAMPLES:-10000} python3 test/blackbox/authentication.py "times that tell nothing"
}
# fifteen thousand clients that send their heads a byte at a time; needs 17,000 descriptors
part_slow() {
    build_product
    BUILD=$PWD/build python3 test/soak/slow_clients.py "${SLOW:-15000}"
}
# configuration swapped over and over under load: not one request may fail
part_reload() {
    build_product
    BUILD=$PWD/build python3 test/soak/reload.py "${RELOAD_SECONDS:-180}"
}
# twenty minutes of mixed load: memory stays flat
part_load() {
    build_product
    BUILD=$PWD/build python3 test/soak/load.py "${LOAD_SECONDS:-1200}"
}

[ $# -gt 0 ] && parts=("$@")
passed=0 failed=0
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null || die "no part '$part'; there is: lint package thread memcheck fuzz store users times slow reload load"
    if [ "$(cat "$state/$part.passed" 2>/dev/null)" = "$tree" ]; then
        printf '%-10s has passed for this tree\n' "$part"
        passed=$((passed + 1))
        continue
    fi
    start=$SECONDS
    if (part_"$part") >"$state/$part.log" 2>&1; then
        echo "$tree" >"$state/$part.passed"
        passed=$((passed + 1))
        printf '%-10s passed %5d s   %s\n' "$part" "$(seconds_since $start)" "$(tail -n 1 "$state/$part.log")"
    else
        failed=$((failed + 1))
        tail -n 40 "$state/$part.log" | sed 's/^/    /'
        printf '%-10s FAILED %5d s   all of it: %s\n' "$part" "$(seconds_since $start)" "$state/$part.log"
    fi
done
echo "$passed parts passed, $failed failed"
[ $failed -eq 0 ]
