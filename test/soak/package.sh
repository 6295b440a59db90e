#!/usr/bin/env bash
# The Debian package in a fresh Debian: installs, starts, answers, drains, is removed and purged, and leaves nothing.
# Then the image made of the same binary: what others' tools say of it, and whether it runs as nobody with nothing.
#
# usage: test/soak/package.sh [PACKAGE.deb]     needs root, debootstrap, a mirror (that of this machine's sources)
# shellcheck disable=SC2016  # expanded where it is said to
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
if [ "${1:-}" != inside ]; then
    # A mount namespace of its own: whatever is mounted in here is gone with it, and with nothing else.
    exec unshare --mount --propagation private bash "$0" inside "$@"
fi
shift
deb=${1:-$(find build-package -maxdepth 1 -name "sallyport_*.deb" -printf "%T@ %p\n" 2>/dev/null | sort -rn | head -n 1 | cut -d " " -f 2)}
[ -f "$deb" ] || {
    echo "no package: ./do package"
    exit 1
}
work=$(mktemp -d /var/tmp/sallyport-package-XXXXXX)
root=$work/root
failed=0
server=

leave() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    # debootstrap may have mounted below; nothing is deleted while something is.
    local m
    while read -r m; do umount -l "$m"; done < <(awk -v w="$work/" 'index($2, w) == 1 {print $2}' /proc/self/mounts | sort -r)
    if grep -q " $work/" /proc/self/mounts; then echo "still mounted below $work: left there"; else rm -rf --one-file-system "$work"; fi
}
trap leave EXIT
trap 'exit 130' INT TERM

# holds WHAT COMMAND…
holds() {
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok $what"
    else
        echo "not ok $what: $*"
        sed 's/^/    /' "$work/said" | tail -n 15
        failed=1
    fi
}
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/log \) -prune -o -print | LC_ALL=C sort); }

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
echo "# a fresh $suite"
if ! debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1; then
    tail -n 5 "$work/debootstrap.log"
    echo "skip everything: debootstrap does not work here"
    exit 0
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
in_root apt-get update -q >/dev/null 2>&1
in_root apt-get install -q -y --no-install-recommends adduser >/dev/null 2>&1 # what it needs stays, as with any package
files >"$work/before"
cp "$deb" "$root/tmp/sallyport.deb"

holds "installs, with what it depends on" in_root apt-get install -q -y --no-install-recommends /tmp/sallyport.deb
holds "no file of it is other than shipped" in_root sh -c 'test -z "$(dpkg --verify sallyport)"'
holds "its user is there, and may not log in" in_root sh -c 'getent passwd sallyport | grep -q ":/var/lib/sallyport:/usr/sbin/nologin$"'
holds "its data folder is its own alone" in_root sh -c 'test "$(stat -c %U:%a /var/lib/sallyport)" = sallyport:700'
holds "its configuration is for root to write and for it to read" in_root sh -c 'test "$(stat -c %U:%G:%a /etc/sallyport/sallyport.yaml)" = root:sallyport:640'
holds "lint takes the configuration" in_root su -s /bin/sh sallyport -c 'sallyport lint /etc/sallyport/sallyport.yaml'
holds "a manual page for every command" sh -c "ls '$root'/usr/share/man/man1/sallyport-check.1.gz '$root'/usr/share/man/man1/sallyport-run.1.gz"
holds "completion for three shells" ls "$root/usr/share/bash-completion/completions/sallyport" "$root/usr/share/zsh/site-functions/_sallyport" "$root/usr/share/fish/vendor_completions.d/sallyport.fish"
holds "units, dashboard, alerts" ls "$root/lib/systemd/system/sallyport.service" "$root/lib/systemd/system/sallyport@.service" "$root/lib/systemd/system/sallyport.socket" "$root/usr/share/sallyport/sallyport.json" "$root/usr/share/sallyport/sallyport.rules.yml"

# Runs a command line in the root as the product would be run: its own network, nobody else's ports.
cat >"$work/run" <<'END'
set -u
root=$1 user=$2
shift 2
python3 -c '
import fcntl, socket, struct
s = socket.socket()
fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, up and running
'
mount -t proc proc "$root/proc" 2>/dev/null
[ -e "$root/dev/null" ] || mount --bind /dev "$root/dev"
chroot --userspec="$user" "$root" "$@" 2>"$root/../log" &
pid=$!
status=1
for _ in $(seq 100); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8081/readyz)" = 200 ] && status=0 && break
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
done
[ $status -eq 0 ] || { cat "$root/../log"; kill -9 $pid; exit 1; }
code=$(curl -s -o "$root/../answer" -w '%{http_code}' http://127.0.0.1:8080/)
[ "$code" = 404 ] && grep -q decision "$root/../answer" || { echo "answer: $code"; status=1; }
chroot --userspec="$user" "$root" /usr/bin/sallyport check --socket "$SOCKET" --json >"$root/../check" || { cat "$root/../check"; status=1; }
kill -TERM $pid
wait $pid || { echo "exit status $?"; status=1; }
umount "$root/proc" 2>/dev/null
mountpoint -q "$root/dev" && umount "$root/dev"
exit $status
END
start_it() { SOCKET=$3 unshare --net --mount --propagation private bash "$work/run" "$1" "$2" "${@:4}"; }
user=$(in_root id -u sallyport):$(in_root id -g sallyport)
holds "starts as its user, is ready, refuses what nobody declared, checks itself, drains" \
    start_it "$root" "$user" /var/lib/sallyport/cli.sock /usr/bin/sallyport run --config /etc/sallyport/sallyport.yaml
holds "starts again over what it left" \
    start_it "$root" "$user" /var/lib/sallyport/cli.sock /usr/bin/sallyport run --config /etc/sallyport/sallyport.yaml
echo "# local" >>"$root/etc/sallyport/sallyport.yaml"
holds "the same version once more, over it" in_root apt-get install -q -y --reinstall -o Dpkg::Options::=--force-confold /tmp/sallyport.deb
holds "a changed configuration is kept" grep -q '# local' "$root/etc/sallyport/sallyport.yaml"
holds "is removed" in_root apt-get remove -q -y sallyport
holds "the binary is gone, configuration and data are not" sh -c "test ! -e '$root/usr/bin/sallyport' -a -e '$root/etc/sallyport/sallyport.yaml' -a -d '$root/var/lib/sallyport'"
holds "is purged" in_root apt-get purge -q -y sallyport
holds "its user is gone" in_root sh -c '! getent passwd sallyport'
in_root apt-get autoremove -q -y --purge >/dev/null 2>&1
files >"$work/after"
# What adduser and the linker rewrite is theirs.
holds "nothing of it is left" sh -c "! comm -13 '$work/before' '$work/after' | grep -E 'sallyport'"

echo "# the image"
binary=build-package/build/sallyport
if [ -x "$binary" ]; then
    holds "is built" packaging/oci/build "$binary" "$work/image"
    holds "the same again has the same digest" sh -c "packaging/oci/build '$binary' '$work/again' && cmp '$work/image/index.json' '$work/again/index.json'"
    if command -v skopeo >/dev/null; then
        holds "skopeo reads it" skopeo inspect "oci:$work/image"
        holds "skopeo copies it" skopeo copy "oci:$work/image" "oci:$work/copy"
    else
        echo "skip skopeo: not installed"
    fi
    if command -v umoci >/dev/null; then
        version=$("$binary" version | cut -d ' ' -f 2)
        holds "umoci unpacks it" umoci unpack --image "$work/image:$version" "$work/bundle"
        chown -R 65532:65532 "$work/bundle/rootfs/data" 2>/dev/null
        holds "there is no shell in it, and nothing that is set-uid" sh -c "test ! -e '$work/bundle/rootfs/bin/sh' && test -z \"\$(find '$work/bundle/rootfs' -perm /6000)\""
        holds "runs as nobody, with nothing else in its world" \
            start_it "$work/bundle/rootfs" 65532:65532 /data/cli.sock /usr/bin/sallyport run --config /etc/sallyport/sallyport.yaml
    else
        echo "skip umoci: not installed"
    fi
fi
exit $failed
