# Shared by the verbs of ./do (sourced, never run). Needs only bash, coreutils and, to install what is missing, apt.
# shellcheck shell=bash disable=SC2034

JOBS=${JOBS:-$(nproc)}
export JOBS

# What each kind of work needs, as Debian packages. A verb asks for the sum of what it does.
PKG_BUILD='gcc libc6-dev meson ninja-build pkg-config libssl-dev libsodium-dev libyaml-dev libsqlite3-dev libc-ares-dev libseccomp-dev'
PKG_TEST='python3-cryptography libcmocka-dev libjansson-dev python3 curl openssl procps strace mandoc zsh fish git systemd prometheus'
PKG_PEERS='nodejs/node npm/npm nginx wrk chromium/chromium testssl.sh/testssl'
PKG_CLANG='clang libclang-rt-14-dev'
PKG_FORMAT='clang-format'
PKG_LINT='clang-tidy cppcheck shellcheck'
PKG_BENCH='wrk haproxy nginx libnginx-mod-http-js python3 python3-cryptography strace valgrind'
PKG_DOCS='mandoc python3'
PKG_PACKAGE='dpkg-dev lintian'

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
if [ ! -t 2 ]; then say() { printf '%s\n' "$*" >&2; }; fi

die() {
    printf './do: %s\n' "$*" >&2
    exit 1
}

# need PACKAGE…: makes sure they are installed. Nothing is asked of the network when nothing is missing. PACKAGE/COMMAND
# is content with the command, wherever it came from.
need() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null; then
        echo "./do: no Debian packages here; these are expected to be installed under whatever name: $*" >&2
        return
    fi
    for package in "$@"; do
        [[ $package == */* ]] && command -v "${package#*/}" >/dev/null && continue
        package=${package%/*}
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local as=()
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then
            as=(sudo -n)
        else
            echo "./do: some packages are missing. Install them, then run the same command again:" >&2
            echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
            exit 1
        fi
    fi
    say "installing: ${missing[*]}"
    "${as[@]}" apt-get update -q >&2 || die "apt-get update failed"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get install failed: ${missing[*]}"
}

# The tests ask for "localhost" by name. A bare system (a debootstrap folder, a small image) may not know it.
need_localhost() {
    getent hosts localhost >/dev/null && return
    [ -w /etc/hosts ] || { [ ! -e /etc/hosts ] && [ -w /etc ]; } || die "localhost has no address: add '127.0.0.1 localhost' to /etc/hosts"
    say "naming 127.0.0.1 localhost in /etc/hosts, where it was not"
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >>/etc/hosts
}

# build DIR [MESON OPTION…] [-- TARGET…]: configures DIR when its options or the list of options changed, then builds.
# CC in the environment chooses the compiler. Quiet unless something is wrong.
build() {
    local dir=$1 options=() wanted
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ $# -gt 0 ] && shift
    wanted="${CC:-cc} ${options[*]}"
    if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$dir"
        mkdir -p "$dir"
        meson setup "$dir" "${options[@]}" >"$dir.log" 2>&1 || {
            grep -E 'ERROR|error:' "$dir.log" >&2 || tail -n 20 "$dir.log" >&2
            rm -rf "$dir" "$dir.log"
            die "meson setup $dir failed"
        }
        mv "$dir.log" "$dir/setup.log"
        printf '%s\n' "$wanted" >"$dir/.options"
    fi
    if ! ninja -C "$dir" -j "$JOBS" "$@" >"$dir/build.log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking|Generating)' "$dir/build.log" | tail -n 60 >&2
        die "the build in $dir failed; all of it is in $dir/build.log"
    fi
}

# The product as it is meant to run: optimised over the borders of files (a sixth fewer instructions a request), with
# its assertions and debug information.
build_product() {
    build build --buildtype=release -Db_lto=true -Ddebug=true -Db_ndebug=false -Dtests=false
}

build_tests() {
    build build-test -Dwerror=true
}

# The packages of test/node, exactly as its lock file says; nothing is fetched when they are there.
node_modules() {
    [ -f test/node/package.json ] || return 0
    [ test/node/node_modules/.package-lock.json -nt test/node/package-lock.json ] ||
        (cd test/node && npm ci --no-audit --no-fund)
}

# seconds_since START: whole seconds since $SECONDS was START.
seconds_since() { printf '%d' $((SECONDS - $1)); }

# port_taken PORT: whether somebody listens there on this machine.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port PORT: prints PORT, or the next one that nobody listens on; a taken one is named on stderr.
free_port() {
    local port=$1
    while port_taken "$port" || [[ " ${PORTS_GIVEN:-} " == *" $port "* ]]; do
        [[ " ${PORTS_GIVEN:-} " == *" $port "* ]] || echo "./do: port $port is taken, trying $((port + 1))" >&2
        port=$((port + 1))
        [ "$port" -le 65535 ] || die "no free port above $1"
    done
    echo "$port"
}
