# package: build-package/sallyport_VERSION_ARCH.deb: release binary, manual pages, completion, units
# shellcheck shell=bash disable=SC2086
# No debhelper: what goes into a package is what stands here. The same tree makes the same bytes.
need $PKG_BUILD $PKG_PACKAGE
build build-package/build --buildtype=release -Db_lto=true -Db_ndebug=false -Dtests=false --prefix=/usr
version=$(meson introspect --projectinfo build-package/build | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')-1
arch=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-Sallyport} <${DEBEMAIL:-packages@sallyport.example}>"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH
root=$PWD/build-package/root
out=$PWD/build-package/sallyport_${version}_$arch.deb
rm -rf "$root"
DESTDIR=$root meson install -C build-package/build --no-rebuild >build-package/install.log 2>&1 || die "meson install failed: build-package/install.log"
# Files of the build that are for developers only.
find "$root/usr/bin" -type f ! -name sallyport -delete
# Debian 12 still tells /lib and /usr/lib apart where packages put things.
mkdir -p "$root/lib"
mv "$root/usr/lib/systemd" "$root/lib/systemd"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/sallyport"

doc=$root/usr/share/doc/sallyport
mkdir -p "$doc/examples" "$root/etc/sallyport" "$root/usr/share/sallyport"
install -m 644 packaging/debian/sallyport.yaml "$root/etc/sallyport/sallyport.yaml"
install -m 644 packaging/grafana/sallyport.json packaging/prometheus/sallyport.rules.yml docs/sallyport.schema.json "$root/usr/share/sallyport/"
install -m 644 docs/*.md README.md "$doc/"
install -m 644 examples/config/*.yaml "$doc/examples/"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: Sallyport\n\n'
    printf 'Files: *\nCopyright: 2026 the authors of Sallyport\nLicense: Apache-2.0\n On Debian systems the whole text is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
{
    printf 'sallyport (%s) unstable; urgency=medium\n\n  * See /usr/share/doc/sallyport/changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.Debian.gz"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
find "$root/usr/share/man" -name '*.1' -exec gzip -9n {} +

# Libraries by the symbols the binary uses: dpkg-shlibdeps wants a source package's control file to stand in.
stand=$(mktemp -d)
mkdir "$stand/debian"
printf 'Source: sallyport\nMaintainer: %s\n\nPackage: sallyport\nArchitecture: any\nDescription: x\n' "$maintainer" >"$stand/debian/control"
depends=$(cd "$stand" && dpkg-shlibdeps -O "$root/usr/bin/sallyport" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
rm -rf "$stand"
[ -n "$depends" ] || die "dpkg-shlibdeps finds no libraries"

mkdir "$root/DEBIAN"
size=$(du -sk --apparent-size "$root" | cut -f1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" -e "s|@SIZE@|$size|" \
    -e "s|@DEPENDS@|$depends|" packaging/debian/control.in >"$root/DEBIAN/control"
echo /etc/sallyport/sallyport.yaml >"$root/DEBIAN/conffiles"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod -R u=rwX,go=rX "$root"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch -h -d "@$SOURCE_DATE_EPOCH"
rm -f "$out"
dpkg-deb --root-owner-group --build "$root" "$out" >/dev/null
if [ "${1:-}" != quick ]; then lintian --fail-on error "$out" >&2 || die "lintian refuses $out"; fi
echo "$out"
