# run: build the product and start it with sample services and a browser client; Ctrl-C ends everything
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
for wanted in gateway:8080 admin:8081 business:9001 orders:9002 web:9003; do
    name=${wanted%:*}
    port[$name]=$(free_port "${wanted#*:}")
    PORTS_GIVEN+=" ${port[$name]}"
done

# What is secret is made on this machine, once, and never leaves the data folder: the partner's key, the API keys, and
# later the password of alice.
mkdir -p "$data" && chmod 0700 "$data"
"$sallyport" token mint --dev --init --data "$data" --aud demo-api >/dev/null || die "cannot make an issuer in $data"
for product in shop web; do
    [ -s "$data/$product.json" ] && continue
    (umask 077 && "$sallyport" key new $product --env dev --json >"$data/$product.json") || die "cannot make a key"
done
# member PRODUCT NAME: of its key.
member() { sed -nE "s/.*\"$2\":\"([^\"]*)\".*/\1/p" "$data/$1.json"; }
entry() { echo "[{id: \"$(member "$1" id)\", sha256: \"$(member "$1" sha256)\"}]"; }
key=$(member shop key)

# The same file as examples/run/sallyport.yaml with the key's line, this machine's ports, and relative to its folder.
sed -e "s/\[KEY\]/$(entry shop)/;s/\[WEBKEY\]/$(entry web)/" \
    -e "s/:8080\b/:@gateway@/g;s/:8081\b/:@admin@/g;s/:9001\b/:@business@/g;s/:9002\b/:@orders@/g;s/:9003\b/:@web@/g" \
    -e "s/@gateway@/${port[gateway]}/g;s/@admin@/${port[admin]}/g;s/@web@/${port[web]}/g" \
    -e "s/@business@/${port[business]}/g;s/@orders@/${port[orders]}/g" \
    -e "s|file: \.sallyport/|file: |;s|^data: .*|data: .|" \
    -e "s/^# KEY and.*/# Made anew from examples\/run\/sallyport.yaml by each .\/do run./" examples/run/sallyport.yaml >"$config"

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
start "$build"/examples/example-web --port "${port[web]}" --apikey "$(member web key)"
start "$sallyport" run --config "$config"

# The first user, once; her password is kept where curl can read it without its being on a command line.
first_user() {
    local said
    [ -s "$data/alice.json" ] && return
    said=$("$sallyport" user add alice --roles clerk --json --socket "$data/cli.sock") || return
    (umask 077 && sed -nE 's/.*"generated_password":"([^"]*)".*/{"username":"alice","password":"\1"}/p' <<<"$said" >"$data/alice.json")
    [ -s "$data/alice.json" ]
}

# Commands to paste, once it is ready.
ready=
for _ in {1..200}; do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:${port[admin]}/readyz")" = 200 ] && ready=1 && break
    kill -0 "${children[3]}" 2>/dev/null || break
    sleep 0.05
done
if [ -n "$ready" ]; then
    first_user || die "cannot add the user alice"
    url=http://127.0.0.1:${port[gateway]}
    run="$url/business/myclass/myoperation"
    login="curl -s -H 'apikey: $key' --json @$data/alice.json $url/authentication/login"
    mint="$sallyport token mint --dev --data $data"
    cat <<END

browser:  $url/web/     log in as alice, password $(sed -nE 's/.*"password":"([^"]*)".*/\1/p' "$data/alice.json")
public:   curl $url/items
denied:   curl -i $run
log in:   TOKEN=\$($login | sed -E 's/.*"access_token":"([^"]+).*/\1/')
allowed:  curl -i -H 'apikey: $key' -H "Authorization: Bearer \$TOKEN" $run
not hers: curl -i -X POST -H 'apikey: $key' -H "Authorization: Bearer \$TOKEN" $url/orders/7/pay
partner:  curl -i -H 'apikey: $key' -H "Authorization: Bearer \$($mint --sub bob --roles buyer)" $url/orders/7
why:      $sallyport why --socket $data/cli.sock last
watch:    $sallyport tap --socket $data/cli.sock
revoke:   $sallyport revoke user alice --socket $data/cli.sock
change:   edit $config; $sallyport reload --socket $data/cli.sock
health:   curl 'http://127.0.0.1:${port[admin]}/readyz?verbose'     metrics: curl http://127.0.0.1:${port[admin]}/metrics

END
fi
status=0
wait -n || status=$?
exit "$status"
