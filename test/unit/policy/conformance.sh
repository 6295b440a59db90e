#!/bin/sh
# Cedar's own conformance tests through `sallyport policy conformance`. They are not part of this repository: they
# are looked for at $CONFORMANCE_DIR, else beside it. Usage: conformance.sh SALLYPORT SOURCE_ROOT
set -eu
binary=$1
root=${CONFORMANCE_DIR:-$2/../shared/conformance}
folder=$root/cedar
if [ ! -f "$folder/corpus.tar.gz" ]; then
    echo "skipped: no $folder/corpus.tar.gz (set CONFORMANCE_DIR)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$folder/corpus.tar.gz" -C "$work"
"$binary" policy conformance --validate --jobs 2 "$work"
"$binary" policy conformance --validate "$folder"
