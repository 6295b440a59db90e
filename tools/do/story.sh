# story: tell one story of test/stories aloud (./do story NAME; without NAME: list them)
# shellcheck shell=bash
# shellcheck disable=SC2086
shopt -s nullglob
stories=(test/stories/*.sh)
if [ $# -eq 0 ]; then
    for story in "${stories[@]}"; do
        name=${story##*/}
        printf '  %-24s %s\n' "${name%.sh}" "$(sed -n '2s/^# *//p' "$story")"
    done
    exit 0
fi
for story in "${stories[@]}"; do
    name=${story##*/}
    case ${name%.sh} in
    "$1" | *-"$1" | "$1"-*)
        need $PKG_BUILD $PKG_TEST
        build_product
        exec env SALLYPORT="$PWD/build/sallyport" BUILD="$PWD/build" EXAMPLES="$PWD/build/examples" ALOUD=1 bash "$story"
        ;;
    esac
done
die "no story '$1'; './do story' lists them"
