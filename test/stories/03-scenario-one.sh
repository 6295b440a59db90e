#!/usr/bin/env bash
# Scenario one: Alice logs in, works, is refreshed unseen; a stolen token ends it; next door a revocation is known at once
# test: seconds 180
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/tell.bash"

export SALLYPORT_SOCKET=$stage/data/cli.sock
gateway=$(free_port) next=$(free_port) business=$(free_port)

tell "A company has a business service, a browser product, and users of its own:"
starts business "$BUILD/examples/example-business" --port "$business"
waits "the business service listens" curl -sf "http://127.0.0.1:$business/myclass/myoperation"
shows "sallyport key new portal"
key=$(grep -oE 'sp_[a-z0-9]+_[A-Za-z0-9_]+' <<<"$said" | head -n 1)
entry=$(grep -oE '\{ *id:.*\}' <<<"$said" | head -n 1)

# configuration PORT DATA
configuration() {
    cat <<END
sallyport: 1
listen: {gateway: "127.0.0.1:$1", admin: none}
data: ./$2
authentication:
  issuer: "https://api.example.com"
  audience: [business-api]
  access_token: 12s
products:
  portal: {keys: [$entry], login: password, may: ["business:invoke"]}
services:
  business: {instances: ["127.0.0.1:$business"]}
roles: {clerk: ["business:invoke"]}
END
}
configuration "$gateway" data >"$stage/sallyport.yaml"
sed 's/^/    /' "$stage/sallyport.yaml"
shows "sallyport lint sallyport.yaml"
holds "lint has nothing against it" test "$status" -eq 0
cd "$stage" || exit 1
starts gateway sallyport run --config sallyport.yaml
waits "the gateway is there" test -S data/cli.sock

tell "The administrator is whoever may use the socket on that machine; there is no default password. He adds Alice:"
shows "sallyport user add alice --roles clerk"
holds "she is there" test "$status" -eq 0
password=$(grep -xE '[A-Za-z0-9]{16,}' <<<"$said")
holds "her password is printed, once" test -n "$password"
shows "sallyport user show alice"
refuses "and nobody is told it again" "$password"

url=http://127.0.0.1:$gateway
run="$url/business/myclass/myoperation"
# post WHAT JSON [HOST]: what the product's page sends.
post() { printf "curl -si -H 'apikey: %s' -H 'Content-Type: application/json' %s/authentication/%s -d '%s'" "$key" "${3:-$url}" "$1" "$2"; }
login() { post login "{\"username\": \"alice\", \"password\": \"$password\"}" "$@"; }
member() { sed -nE "s/.*\"$1\": ?\"([^\"]*)\".*/\1/p" <<<"$said" | head -n 1; }
takes_logins() { curl -s -o /dev/null -w '%{http_code}' -H "apikey: $key" "$url/authentication/login" -d '{}' | grep -q 400; }

tell "Before she logs in:"
shows "curl -si -H 'apikey: $key' $run"
expects "without a token: refused" "HTTP/1.1 401"
tell "Somebody else tries her name, and one that nobody has; the answers are the same:"
shows "$(post login '{"username": "alice", "password": "alice123"}')"
expects "refused" "HTTP/1.1 401"
expects "with a reason" login_failed
first=$(grep -o '"code":"[^"]*"' <<<"$said")
shows "$(post login '{"username": "mallory", "password": "alice123"}')"
holds "nobody learns which names exist" test "$first" = "$(grep -o '"code":"[^"]*"' <<<"$said")"

tell "Alice logs in through the product's key:"
shows "$(login)"
expects "she is in" "HTTP/1.1 200"
expects "nobody may keep the answer" "no-store"
access=$(member access_token) stolen=$(member refresh_token)
shows "curl -s -H 'apikey: $key' -H 'Authorization: Bearer $access' $run"
expects "MyClass.MyOperation() runs for her" '"operation": "MyClass.MyOperation"'
expects "the service knows her by header" '"user": "alice"'
expects "and her role" '"roles": "clerk"'
expects "and saw no token" '"credential_seen": false'

tell "Her page renews the token before it ends; she sees nothing of it:"
shows "$(post refresh "{\"refresh_token\": \"$stolen\"}")"
expects "new tokens" "HTTP/1.1 200"
access=$(member access_token) refresh=$(member refresh_token)
holds "the refresh token is another one each time" test "$refresh" != "$stolen"
shows "curl -s -o /dev/null -w '%{http_code}\n' -H 'apikey: $key' -H 'Authorization: Bearer $access' $run"
expects "she works on" 200

tell "She logs out. What she had is worth nothing any more:"
shows "$(post logout "{\"refresh_token\": \"$refresh\"}")"
expects "done" "HTTP/1.1 204"
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $access' $run"
expects "the access token, though its time is not over" "HTTP/1.1 401"
shows "$(post refresh "{\"refresh_token\": \"$refresh\"}")"
expects "the refresh token" "HTTP/1.1 401"

tell "The next day somebody has copied her refresh token out of her browser. She renews as ever …"
shows "$(login)"
stolen=$(member refresh_token)
shows "$(post refresh "{\"refresh_token\": \"$stolen\"}")"
access=$(member access_token) refresh=$(member refresh_token)
tell "… and a while later the thief comes with the copy:"
sleep 11
shows "$(post refresh "{\"refresh_token\": \"$stolen\"}")"
expects "refused, for it was used before" "HTTP/1.1 401"
expects "and that is what it says" refresh_reused
tell "Two have had the same token, so the whole family ends: nobody can tell the thief from her."
shows "$(post refresh "{\"refresh_token\": \"$refresh\"}")"
expects "the newest refresh token" "HTTP/1.1 401"
shows "sallyport audit tail"
expects "it is on record" refresh_reused

tell "There is a second gateway, a process of its own. It shares the store, nothing else:"
mkdir next
ln -s ../data/data.sock ../data/authentication.sock next/
configuration "$next" next >next.yaml
starts next sallyport gateway --config next.yaml
there=http://127.0.0.1:$next
waits "it answers" curl -s "$there/"
shows "$(login "$there")"
expects "Alice logs in there" "HTTP/1.1 200"
access=$(member access_token)
run_next="$there/business/myclass/myoperation"
shows "curl -s -o /dev/null -w '%{http_code}\n' -H 'apikey: $key' -H 'Authorization: Bearer $access' $run_next"
expects "and works there" 200
shows "sallyport session list alice"
session=$(grep -oE '\b[0-9A-Za-z]{16}\b' <<<"$said" | tail -n 1)
holds "her session is listed" test -n "$session"

tell "The administrator ends it. His command returns when every gateway has confirmed:"
began=$(date +%s%N)
shows "sallyport session revoke $session"
took=$((($(date +%s%N) - began) / 1000000))
holds "in less than a second ($took ms)" test "$took" -lt 1000 -a "$status" -eq 0
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $access' $run_next"
expects "the gateway next door refuses at once" "HTTP/1.1 401"
id=$(grep -oE '[0-7][0-9A-HJKMNP-TV-Z]{25}' <<<"$said" | head -n 1)
shows "sallyport why --socket next/cli.sock $id"
expects "and can say why" revoked

tell "Everything that happened is on record, and the record has not been altered:"
shows "sallyport audit verify"
holds "the chain holds" test "$status" -eq 0

the_end
