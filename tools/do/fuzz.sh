# fuzz: run the fuzz targets, 60 seconds each (./do fuzz [TARGET] [SECONDS])
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_TEST $PKG_CLANG
target='' seconds=60
for word in "$@"; do
    if [[ $word =~ ^[0-9]+$ ]]; then seconds=$word; else target=$word; fi
done
CC=clang build build-fuzz -Dfuzz=true -Db_lundef=false
mapfile -t targets < <(find build-fuzz/test/fuzz -type f -name 'fuzz_*' -executable | sort)
[ ${#targets[@]} -gt 0 ] || die "no fuzz targets were built"

# fuzz_one BINARY SECONDS: grows a corpus of its own beside the seeds in the tree; a find is kept and named.
fuzz_one() {
    local binary=$1 name folder corpus seeds log
    name=${binary##*/}
    folder=$(basename "$(dirname "$binary")")
    seeds=test/fuzz/$folder/seeds/${name#fuzz_}
    corpus=build-fuzz/corpus/$folder/$name
    log=build-fuzz/$folder-$name.log
    mkdir -p "$corpus" build-fuzz/finds
    local from=("$corpus")
    [ -d "$seeds" ] && from+=("$seeds")
    if "$binary" -max_total_time="$2" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="build-fuzz/finds/$name-" \
        -print_final_stats=1 "${from[@]}" >"$log" 2>&1; then
        echo "ok fuzz $folder/$name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs)"
    else
        echo "not ok fuzz $folder/$name"
        tail -n 30 "$log" | sed 's/^/    /'
        return 1
    fi
}
export -f fuzz_one
matching=()
for binary in "${targets[@]}"; do
    [[ $binary == *"$target"* ]] && matching+=("$binary")
done
[ ${#matching[@]} -gt 0 ] || die "no fuzz target '$target'; there is: ${targets[*]##*/}"
# shellcheck disable=SC2016
printf '%s\0' "${matching[@]}" | xargs -0 -P "$JOBS" -I '{}' bash -c 'fuzz_one "$1" "$2"' fuzz '{}' "$seconds"
