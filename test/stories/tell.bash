# What every story uses: telling, showing, expecting; what it started ends with it. Sourced, not run.
# shellcheck shell=bash
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${BUILD:=$root/build}"
: "${SALLYPORT:=$BUILD/sallyport}"
folder=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-story-XXXXXX")
stage=$folder/stage # where the people of the story work
logs=$folder/logs   # what is said behind the scenes
mkdir "$stage" "$logs"
echo silent >"$folder/.curlrc" # no progress meter when curl does not write to a terminal
export CURL_HOME=$folder

export PATH="${SALLYPORT%/*}:$PATH" # so that a command reads as somebody would type it
cast=()
failed=0
said=

leave() {
    local pid
    for pid in "${cast[@]}"; do kill -TERM "$pid" 2>/dev/null; done
    for pid in "${cast[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$folder"
}
trap leave EXIT
trap 'exit 130' INT TERM

tell() { printf '\n%s\n' "$*"; }

# starts COMMAND…: in the background, its output in $logs/NAME.out and .log; ends with the story.
starts() {
    local name=$1
    shift
    "$@" >"$logs/$name.out" 2>"$logs/$name.log" </dev/null &
    cast+=($!)
}

# waits WHAT COMMAND…: until the command succeeds, ten seconds at most.
waits() {
    local what=$1 i
    shift
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "not ok $what: not within ten seconds"
    cat "$logs"/*.log >&2
    exit 1
}

# shows COMMAND: prints it as it is typed, runs it, prints what it says; that is in $said afterwards. Long secrets are
# shortened on the screen only.
shows() {
    printf '  $ %s\n' "$1" | shortens
    said=$(cd "$stage" && bash -c "$1" 2>&1)
    # shellcheck disable=SC2034  # for the story
    status=$?
    printf '%s\n' "$said" | tr -d '\r' | sed -e '/^$/d' -e 's/^/    /' | shortens
}

shortens() { sed -E -e 's/(sp_[a-z0-9]+_)[A-Za-z0-9_]{12,}/\1…/g' -e 's/(sr_[A-Za-z0-9]{16}_)[A-Za-z0-9]+/\1…/g' -e 's/eyJ[A-Za-z0-9_.-]{20,}/eyJ…/g'; }

# expects WHAT TEXT: that the last command said so. refuses WHAT TEXT: that it did not.
expects() {
    if [[ $said == *"$2"* ]]; then
        echo "ok $1"
    else
        echo "not ok $1: expected \"$2\""
        failed=1
    fi
}
refuses() {
    if [[ $said != *"$2"* ]]; then
        echo "ok $1"
    else
        echo "not ok $1: it said \"$2\""
        failed=1
    fi
}

# holds WHAT COMMAND…: that the command succeeds.
holds() {
    local what=$1
    shift
    if "$@"; then
        echo "ok $what"
    else
        echo "not ok $what: failed: $*"
        failed=1
    fi
}

# free_port: one below the range that the kernel gives to clients, that nobody listens on.
free_port() {
    local port
    while :; do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 2000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

the_end() {
    [ "$failed" -eq 0 ] || {
        echo
        echo "The tale did not go as told."
        exit 1
    }
    tell "The end."
    exit 0
}
