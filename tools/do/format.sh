# format: lay out the C sources as .clang-format says (./do format check: only look)
# shellcheck shell=bash
# shellcheck disable=SC2086
need $PKG_FORMAT
mapfile -t files < <(git ls-files '*.c' '*.h')
if [ "${1:-}" = check ]; then
    clang-format --dry-run -Werror "${files[@]}"
else
    clang-format -i "${files[@]}"
fi
