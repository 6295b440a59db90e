#!/usr/bin/env bash
# The layer check finds what is planted, and nothing in a clean tree.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

clean() {
    rm -rf "$tmp/src" "$tmp/tools"
    mkdir -p "$tmp/src"/{base,codec,crypto,net,http,identity,config,gate2,proxy,store} "$tmp/tools"
    cp "$root/tools/layers.txt" "$tmp/tools/"
    echo '#include <stddef.h>' >"$tmp/src/base/str.h"
    echo '#include "base/str.h"' >"$tmp/src/net/loop.h"
    echo '#include "base/str.h"' >"$tmp/src/codec/json.h"
    echo '#include "net/loop.h"' >"$tmp/src/http/server.h"
    echo '#include "base/str.h"' >"$tmp/src/http/message.h"
    echo '#include "base/str.h"' >"$tmp/src/store/store.h"
    echo "x_lib = static_library('x', dependencies: [base_dep])" >"$tmp/src/codec/meson.build"
}

# planted NAME FILE LINE: with LINE in FILE the check must fail and name the file.
planted() {
    local name=$1 out
    clean
    printf '%s\n' "$3" >>"$tmp/src/$2"
    if out=$("$root/tools/check-layers" "$tmp"); then
        echo "not ok $name: not found"
    elif [[ $out != *"src/$2"* ]]; then
        echo "not ok $name: another complaint: $out"
    else
        echo "ok $name"
    fi
}

clean
if out=$("$root/tools/check-layers" "$tmp"); then echo "ok clean tree"; else echo "not ok clean tree: $out"; fi
planted 'a ground floor that looks up' base/str.c '#include "codec/json.h"'
planted 'identity with sockets' identity/verify.c '#include "net/loop.h"'
planted 'identity with a system socket' identity/verify.c '#include <sys/socket.h>'
planted 'identity of HTTP' identity/claims.c '  #  include "http/message.h"'
planted 'config that knows the loop through http' config/route.c '#include "http/server.h"'
planted 'proxy that knows the store' proxy/relay.c '#include "store/store.h"'
planted 'second gate with the codec of the first' gate2/verify.c '#include "codec/json.h"'
planted 'OpenSSL EVP outside crypto' http/message.c '#include <openssl/evp.h>'
planted 'X509 far from crypto' http/tls.c '#include <openssl/x509v3.h>'
planted 'libssl outside net' http/message.c '#include <openssl/ssl.h>'
planted 'libsodium outside crypto' codec/json.c '#include <sodium.h>'
planted 'a database outside store' proxy/relay.c '#include <sqlite3.h>'
planted 'a link upwards' codec/meson.build 'deps += net_dep'
planted 'a folder nobody knows' other.c '#include "base/str.h"'
planted 'a relative path' net/loop.c '#include "loop.h"'

rm -rf "$tmp/git"
mkdir -p "$tmp/git" && cd "$tmp/git" && git init -q .
tree() {
    local name=$1
    printf '%s\n' "$3" >"$2"
    git add "$2"
    if "$root/tools/check-tree" "$tmp/git" >/dev/null; then echo "not ok $name: not found"; else echo "ok $name"; fi
    git rm -qf "$2"
}
tree 'a banned function' a.c "int f(char *d, const char *s) { strcp""y(d, s); }"
tree 'a path of a machine' a.md "see /wor""k/main/x"
tree 'a package from a mirror' package-lock.json '  "resolved": "https://mirror.example/x.tgz",'
echo 'int strtok_like(void);' >a.c && git add a.c
if "$root/tools/check-tree" "$tmp/git" >/dev/null; then echo "ok innocent names"; else echo "not ok innocent names"; fi
