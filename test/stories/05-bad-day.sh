#!/usr/bin/env bash
# A bad day at the edge: an instance dies, one slows down, a client floods, a certificate and the binary are replaced
# test: seconds 120
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/tell.bash"

gateway=$(free_port)
admin=$(free_port)
url=https://api.example.test:$gateway
export SALLYPORT_SOCKET=$stage/data/cli.sock

tell "Three instances of one service stand behind one gateway."
ports=() instances=""
for n in 1 2 3; do
    port=$(free_port)
    starts "instance$n" "$BUILD/examples/example-orders" --port "$port"
    waits "instance $n listens" curl -sf "http://127.0.0.1:$port/items"
    ports+=("$port")
    instances+="${instances:+, }\"127.0.0.1:$port\""
done

# certificate NAME: one for api.example.test, by the authority of this story.
cd "$stage" || exit 1
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null &&
        openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$2" -out "$1.pem" \
            -extfile <(echo 'subjectAltName=DNS:api.example.test') 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=authority' -keyout ca.key -out ca.pem 2>/dev/null
certificate first 2 && certificate second 90 || exit 1
cp first.pem public.pem && cp first.key public.key

said=$(sallyport key new shop)
shop=$(grep -oE 'sp_[a-z0-9]+_[A-Za-z0-9_]+' <<<"$said" | head -n 1)
shop_entry=$(grep -oE '\{ *id:.*\}' <<<"$said" | head -n 1)
said=$(sallyport key new partner)
partner=$(grep -oE 'sp_[a-z0-9]+_[A-Za-z0-9_]+' <<<"$said" | head -n 1)
partner_entry=$(grep -oE '\{ *id:.*\}' <<<"$said" | head -n 1)
cat >sallyport.yaml <<END
sallyport: 1
listen:
  gateway: [{address: "127.0.0.1:$gateway", tls: true}]
  admin: "127.0.0.1:$admin"
tls:
  certificates: [{cert: public.pem, key: {file: public.key}}]
data: ./data
limits: {connections: 2000}
authentication: {issuer: "https://api.example.test", audience: [orders]}
products:
  shop: {keys: [$shop_entry], login: password, may: [viewOrder]}
  partner: {keys: [$partner_entry], caller: third-party, may: [listItems], limit: {rate: 20/s, burst: 20, per: key}}
services:
  orders:
    instances: [$instances]
    implicit: false
    health: GET /items every 500ms
actions:
  viewOrder: {match: "GET /orders/{id}", to: orders}
  listItems: {match: "GET /items", to: orders, accept: apikey}
roles: {buyer: [viewOrder]}
END
sed 's/^/    /' sallyport.yaml | cut -c 1-120
# The binary as an administrator has it: a file at a path, that another one can take the place of.
mkdir bin
cp "$SALLYPORT" bin/sallyport
starts gateway bin/sallyport run --config sallyport.yaml
parent=${cast[-1]}
waits "the gateway is ready" curl -sf "http://127.0.0.1:$admin/readyz"
speaks() { curl -s --cacert ca.pem --resolve "api.example.test:$gateway:127.0.0.1" "$@"; }
users=(alice bob carol)
for user in "${users[@]}"; do
    sallyport user add "$user" --roles buyer >"$logs/$user.password" 2>"$logs/$user.added" || exit 1
done

tell "Alice, Bob and Carol work all day; each request is noted down."
keys_there() { [ "$(speaks -o /dev/null -w '%{http_code}' -H "apikey: $shop" "$url/.well-known/jwks.json")" = 200 ]; }
waits "the gateway takes logins" keys_there
works() {
    local user=$1 token
    token=$(speaks -H "apikey: $shop" -H 'Content-Type: application/json' "$url/authentication/login" \
        -d "{\"username\": \"$user\", \"password\": \"$(<"$logs/$user.password")\"}" | sed -nE 's/.*"access_token": ?"([^"]*)".*/\1/p')
    while [ ! -e "$logs/enough" ]; do
        speaks -o /dev/null -w '%{http_code} %{time_total}\n' -H "apikey: $shop" -H "Authorization: Bearer $token" "$url/orders/7?[1-40]" \
            >>"$logs/$user.codes"
        sleep 0.05
    done
}
workers=()
for user in "${users[@]}"; do
    works "$user" &
    workers+=($!)
done
cast+=("${workers[@]}")
calls() { cat "$logs"/*.codes 2>/dev/null | wc -l; }
busy() { [ "$(calls)" -gt 100 ]; }
waits "they work" busy
shows "sallyport upstreams"
expects "three instances serve" "127.0.0.1:${ports[2]}"

tell "Nine o'clock: the first instance dies."
kill -9 "${cast[0]}"
out_of() { curl -s "http://127.0.0.1:$admin/metrics" | grep -q "^sallyport_upstream_serves{.*:$1\"} 0"; }
waits "the gateway leaves it out" out_of "${ports[0]}"
shows "sallyport check"
expects "check names it" "127.0.0.1:${ports[0]}"

tell "Ten o'clock: the second one gets slow, for it sleeps most of the time."
(
    trap 'kill -CONT ${cast[1]}; exit' TERM
    while [ ! -e "$logs/awake" ]; do
        kill -STOP "${cast[1]}"
        sleep 0.15
        kill -CONT "${cast[1]}"
        sleep 0.05
    done
) &
cast+=($!)
before=$(calls)
sleep 1.5
answered() { curl -s "http://127.0.0.1:$admin/metrics" | sed -nE "s/^sallyport_upstream_requests_total\{.*:$1\",outcome=\"answered\"\} //p"; }
shows "sallyport upstreams"
holds "the third has most of the work ($(answered "${ports[1]}") to $(answered "${ports[2]}"))" test "$(answered "${ports[2]}")" -gt "$(answered "${ports[1]}")"
holds "the users go on ($(($(calls) - before)) calls meanwhile)" test "$(calls)" -gt "$((before + 100))"

tell "Noon: a partner's program runs wild. Its limit is twenty a second."
for _ in 1 2 3 4; do
    speaks -o /dev/null -w '%{http_code}\n' -H "apikey: $partner" "$url/items?[1-300]" >>"$logs/flood" &
    floods+=($!)
done
wait "${floods[@]}"
uniq -c <(sort "$logs/flood") | sed "s/^/    /"
holds "it gets what it may, and 429 for the rest" test "$(grep -c 429 "$logs/flood")" -gt 900 -a "$(grep -c 200 "$logs/flood")" -ge 20
holds "and nothing else" test "$(grep -vcE '^(200|429)$' "$logs/flood")" -eq 0
shows "curl -s -i --cacert ca.pem --resolve api.example.test:$gateway:127.0.0.1 -H 'apikey: $partner' $url/items | grep -iE '^(HTTP|retry-after|ratelimit)'"
expects "it is told about its limit" imit

tell "Two o'clock: the certificate ends in two days. Check has said so; here is the new one."
serial() { openssl s_client -connect "127.0.0.1:$gateway" -servername api.example.test </dev/null 2>/dev/null | openssl x509 -noout -serial; }
old=$(serial)
shows "sallyport check"
expects "the certificate is named" "public.pem expires soon"
cp second.key public.key && cp second.pem public.pem
shows "sallyport reload"
expects "taken" "in force"
new=$(serial)
holds "clients are shown the new one" test "$old" != "$new" -a -n "$new"
shows "sallyport check"
refuses "nothing more to be said of it" "expires soon"

tell "Four o'clock: another version of the gateway."
child=$(pgrep -P "$parent" | head -n 1)
cp bin/sallyport bin/next && mv bin/next bin/sallyport
shows "bin/sallyport upgrade"
holds "it serves" test "$status" -eq 0
changed() {
    local now
    now=$(pgrep -P "$parent" | grep -vx "$child" | head -n 1)
    [ -n "$now" ] && ! kill -0 "$child" 2>/dev/null
}
waits "the old one has ended what it had, and is gone" changed
holds "the process that was started is still the same" kill -0 "$parent"

tell "Five o'clock: the second instance has slept enough, the first is started again."
touch "$logs/awake"
starts instance1-again "$BUILD/examples/example-orders" --port "${ports[0]}"
back() { ! out_of "${ports[0]}" && curl -s "http://127.0.0.1:$admin/metrics" | grep -q "^sallyport_upstream_serves{.*:${ports[0]}\"} 1"; }
waits "it serves again" back
sleep 0.5
touch "$logs/enough"
wait "${workers[@]}"

tell "What the three have noticed of this day:"
cut -d ' ' -f 1 "$logs"/*.codes | sort | uniq -c | sed 's/^/    /'
bad=$(cut -d ' ' -f 1 "$logs"/*.codes | grep -vc '^200$')
slowest=$(cut -d ' ' -f 2 "$logs"/*.codes | sort -n | tail -n 1)
holds "nothing: not one of $(calls) calls failed (the slowest took $slowest s)" test "$bad" -eq 0 -a "$(calls)" -gt 500

the_end
