# run: build the product and start it with two sample services; Ctrl-C ends everything
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD
say "building (the first time takes a minute)"
build_product

config=examples/run/sallyport.yaml
PORTS_GIVEN=
declare -A port
for wanted in gateway:8080 admin:8081 business:9001 orders:9002; do
    name=${wanted%:*}
    port[$name]=$(free_port "${wanted#*:}")
    PORTS_GIVEN+=" ${port[$name]}"
done
if [ "$PORTS_GIVEN" != " 8080 8081 9001 9002" ]; then
    # The same file with other ports, beside the original so that its relative paths still hold.
    sed -e "s/:8080\b/:@gateway@/g;s/:8081\b/:@admin@/g;s/:9001\b/:@business@/g;s/:9002\b/:@orders@/g" \
        -e "s/@gateway@/${port[gateway]}/g;s/@admin@/${port[admin]}/g" \
        -e "s/@business@/${port[business]}/g;s/@orders@/${port[orders]}/g" "$config" >examples/run/sallyport.local.yaml
    config=examples/run/sallyport.local.yaml
fi

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

start build/examples/example-business --port "${port[business]}"
start build/examples/example-orders --port "${port[orders]}"
start build/sallyport run --config "$config"
status=0
wait -n || status=$?
exit "$status"
