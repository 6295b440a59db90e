# docs: build the manual pages and check them, every link of the documents and the schema's examples
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_DOCS
build_product
status=0
rm -rf build/man
mkdir -p build/man
build/sallyport man build/man
# Pages that name each other are not installed here: that they exist is looked at instead.
found=$(mandoc -Tlint build/man/*.1 2>&1 | grep -v 'referenced manual not found: Xr sallyport' || true)
missing=$(sed -n 's/^\.Xr \(sallyport[^ ]*\) 1.*/\1/p; s/^\.It Xr \(sallyport[^ ]*\) 1.*/\1/p' build/man/*.1 | sort -u |
    while read -r page; do [ -f "build/man/$page.1" ] || echo "no page $page.1"; done)
if [ -n "$found$missing" ]; then
    printf '%s\n' "$found" "$missing"
    status=1
fi
echo "manual pages: $(find build/man -name '*.1' | wc -l) in build/man"
tools/check-links || status=1
exit $status
