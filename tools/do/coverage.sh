# coverage: which lines of each folder of src/ the unit and black-box tests reach
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_TEST $PKG_PEERS $PKG_CLANG llvm
CC=clang build build-cov -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate
export CONFORMANCE_DIR=${CONFORMANCE_DIR:-$PWD/../shared/conformance}
export BUILD=$PWD/build-cov SALLYPORT=$PWD/build-cov/sallyport EXAMPLES=$PWD/build-cov/examples
node_modules >&2
rm -rf build-cov/profiles
mkdir -p build-cov/profiles
export LLVM_PROFILE_FILE=$PWD/build-cov/profiles/%p-%m.profraw
shopt -s nullglob
scripts=()
for script in test/house/cli.sh test/blackbox/* test/stories/*; do
    [ -f "$script" ] && [ -x "$script" ] && scripts+=("$script")
done
tools/run-tests --jobs "$JOBS" --logs build-cov/logs --build build-cov "${scripts[@]}" || say "some tests failed; the figures are of what ran"
llvm-profdata merge --sparse -o build-cov/all.profdata build-cov/profiles/*.profraw
mapfile -t binaries < <(find build-cov/test/unit -type f -name 'test_*' -executable | sort)
objects=()
for binary in "${binaries[@]}"; do objects+=(-object "$binary"); done
llvm-cov export --summary-only --instr-profile=build-cov/all.profdata build-cov/sallyport "${objects[@]}" \
    >build-cov/coverage.json
python3 - build-cov/coverage.json "$PWD/src/" <<'PYTHON'
import collections
import json
import sys

folders = collections.defaultdict(lambda: [0, 0, 0, 0])
with open(sys.argv[1]) as f:
    files = json.load(f)['data'][0]['files']
for file in files:
    name, found, _ = file['filename'].partition('/src/')
    if not found:
        continue
    folder = file['filename'].rpartition('/src/')[2].split('/')[0]
    for key in (folder, 'all'):
        for i, kind in enumerate(('lines', 'functions')):
            folders[key][2 * i] += file['summary'][kind]['covered']
            folders[key][2 * i + 1] += file['summary'][kind]['count']
for folder, (lines, of_lines, functions, of_functions) in sorted(folders.items(), key=lambda x: (x[0] == 'all', x[0])):
    print(f'{folder:10} {100 * lines / max(1, of_lines):5.1f} % of {of_lines:6} lines'
          f'   {100 * functions / max(1, of_functions):5.1f} % of {of_functions:5} functions')
PYTHON
echo "line by line: llvm-cov show --instr-profile=build-cov/all.profdata build-cov/sallyport FILE"
