# run: build the product and start it with two sample services; Ctrl-C ends everything
# shellcheck shell=bash disable=SC2086,SC2317
# BUILD=FOLDER serves what is built there already; DATA=FOLDER keeps its data elsewhere than in examples/run/.sallyport.
if [ -z "${BUILD:-}" ]; then
    need $PKG_BUILD curl
    say "building (the first time takes a minute)"
    build_product
fi
build=${BUILD:-build}
sallyport=$build/sallyport
data=${DATA:-examples/run/.sallyport}
config=$data/sallyport.yaml
PORTS_GIVEN=
declare -A port
for wanted in gateway:8080 admin:8081 business:9001 orders:9002; do
    name=${wanted%:*}
    port[$name]=$(free_port "${wanted#*:}")
    PORTS_GIVEN+=" ${port[$name]}"
done

# What is secret is made on this machine, once, and never leaves the data folder: the issuer's key and the API key.
mkdir -p "$data" && chmod 0700 "$data"
"$sallyport" token mint --dev --init --data "$data" --aud demo-api >/dev/null || die "cannot make an issuer in $data"
if [ ! -s "$data/key.json" ]; then
    (umask 077 && "$sallyport" key new shop --env dev --json >"$data/key.json") || die "cannot make a key"
fi
member() { sed -nE "s/.*\"$1\":\"([^\"]*)\".*/\1/p" "$data/key.json"; }
key=$(member key)

# The same file as examples/run/sallyport.yaml with the key's line, this machine's ports, and relative to its folder.
sed -e "s/\[KEY\]/[{id: \"$(member id)\", sha256: \"$(member sha256)\"}]/" \
    -e "s/:8080\b/:@gateway@/g;s/:8081\b/:@admin@/g;s/:9001\b/:@business@/g;s/:9002\b/:@orders@/g" \
    -e "s/@gateway@/${port[gateway]}/g;s/@admin@/${port[admin]}/g" \
    -e "s/@business@/${port[business]}/g;s/@orders@/${port[orders]}/g" \
    -e "s|file: \.sallyport/|file: |;s|^data: .*|data: .|" \
    -e "s/^# KEY stands.*/# Made anew from examples\/run\/sallyport.yaml by each .\/do run./" examples/run/sallyport.yaml >"$config"

children=()
# Everything started here dies with this script, however it ends: the kernel sees to it (parent-death signal).
start() {
    setpriv --pdeathsig TERM "$@" &
    children+=($!)
}
stop() {
    trap '' INT TERM
    kill -TERM "${children[@]}" 2>/dev/null || true
    wait || true
}
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM
trap stop EXIT

start "$build"/examples/example-business --port "${port[business]}"
start "$build"/examples/example-orders --port "${port[orders]}"
start "$sallyport" run --config "$config"

# Commands to paste, once it is ready.
for _ in {1..100}; do
    port_taken "${port[gateway]}" && break
    kill -0 "${children[2]}" 2>/dev/null || break
    sleep 0.05
done
if kill -0 "${children[2]}" 2>/dev/null; then
    url=http://127.0.0.1:${port[gateway]}
    run="$url/business/myclass/myoperation"
    mint="$sallyport token mint --dev --data $data"
    cat <<END

public:   curl $url/items
denied:   curl -i $run
allowed:  curl -i -H 'apikey: $key' -H "Authorization: Bearer \$($mint --sub alice --roles clerk)" $run
not his:  curl -i -H 'apikey: $key' -H "Authorization: Bearer \$($mint --sub bob --roles buyer)" $run
why:      $sallyport why --socket $data/cli.sock last
watch:    $sallyport tap --socket $data/cli.sock
change:   edit $config; $sallyport reload --socket $data/cli.sock
health:   curl 'http://127.0.0.1:${port[admin]}/readyz?verbose'     metrics: curl http://127.0.0.1:${port[admin]}/metrics

END
fi
status=0
wait -n || status=$?
exit "$status"
