#!/usr/bin/env bash
# Scenario two: a token from an outside provider opens an operation for her role and not for his
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/tell.bash"

export SALLYPORT_SOCKET=$stage/data/cli.sock
gateway=$(free_port) provider=$(free_port) business=$(free_port)

tell "A company has a business service. It has never heard of tokens:"
starts business "$BUILD/examples/example-business" --port "$business"
waits "the business service listens" curl -sf "http://127.0.0.1:$business/myclass/myoperation"
shows "curl -s http://127.0.0.1:$business/myclass/myoperation"
expects "it runs the operation for whoever reaches it" '"operation": "MyClass.MyOperation"'

tell "Its users log in elsewhere, at a provider of which we know only the address of its public keys."
(
    cd "$stage" || exit 1
    mkdir idp
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=The provider's CA" -keyout ca.key -out ca.pem \
        -addext basicConstraints=critical,CA:TRUE
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out tls.pem \
        -extfile <(echo subjectAltName=DNS:localhost)
    openssl genrsa -out signing.key 2048
) >/dev/null 2>&1

b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

n=$(openssl rsa -in "$stage/signing.key" -noout -modulus | sed 's/^Modulus=//' | sed 's/../\\x&/g' |
    { read -r hex; printf '%b' "$hex"; } | b64url)
cat >"$stage/idp/jwks.json" <<END
{"keys": [{"kty": "RSA", "kid": "2024-1", "alg": "RS256", "use": "sig", "e": "AQAB", "n": "$n"}]}
END
cat >"$stage/idp.py" <<END
import functools, http.server, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("$stage/tls.pem", "$stage/tls.key")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="$stage/idp")
server = http.server.ThreadingHTTPServer(("localhost", $provider), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
starts provider python3 "$stage/idp.py"
waits "the provider answers" curl -sf --cacert "$stage/ca.pem" "https://localhost:$provider/jwks.json"

# token SUBJECT ROLE: what the provider gives that user when she has logged in there.
token() {
    local now head body
    now=$(date +%s)
    head=$(printf '{"alg":"RS256","typ":"at+jwt","kid":"2024-1"}' | b64url)
    body=$(printf '{"iss":"https://localhost:%s","aud":"business-api","sub":"%s","client_id":"web","iat":%s,"exp":%s,"realm_access":{"roles":["%s"]}}' \
        "$provider" "$1" "$now" "$((now + 300))" "$2" | b64url)
    printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign "$stage/signing.key" | b64url)"
}

tell "They put Sallyport in front. First a key for the product, then the file:"
shows "sallyport key new portal"
key=$(grep -oE 'sp_[a-z0-9]+_[A-Za-z0-9_]+' <<<"$said" | head -n 1)
entry=$(grep -oE '\{ *id:.*\}' <<<"$said" | head -n 1)
holds "a key and the line for the file are printed" test -n "$key" -a -n "$entry"

cat >"$stage/sallyport.yaml" <<END
sallyport: 1
listen: {gateway: "127.0.0.1:$gateway", admin: none}
data: ./data
issuers:
  corp:
    issuer: "https://localhost:$provider"
    audience: business-api
    algorithms: [RS256]
    keys: {url: "https://localhost:$provider/jwks.json", ca: ca.pem, private: true}
    claims: {roles: realm_access.roles}
    default: true
    products: [portal]
    roles: [clerk, visitor]
products:
  portal: {keys: [$entry], may: ["business:invoke"]}
services:
  business: {instances: ["127.0.0.1:$business"]}
roles: {clerk: ["business:invoke"], visitor: []}
END
sed 's/^/    /' "$stage/sallyport.yaml"
shows "sallyport lint sallyport.yaml"
holds "lint has nothing against it" test "$status" -eq 0

starts gateway sallyport run --config "$stage/sallyport.yaml"
waits "the gateway is there" test -S "$stage/data/cli.sock"
url=http://127.0.0.1:$gateway/business/myclass/myoperation
alice=$(token alice clerk) bob=$(token bob visitor)
knows_keys() { [ "$(curl -s -o /dev/null -w '%{http_code}' -H "apikey: $key" -H "Authorization: Bearer $alice" "$url")" = 200 ]; }
waits "the gateway has the provider's keys" knows_keys

tell "Alice is a clerk. Her token opens the operation, and the service learns who she is, from headers alone:"
shows "curl -s -H 'apikey: $key' -H 'Authorization: Bearer $alice' $url"
expects "MyClass.MyOperation() runs for Alice" '"operation": "MyClass.MyOperation"'
expects "the service knows her name" '"user": "alice"'
expects "and her role" '"roles": "clerk"'
expects "and for which product she calls" '"product": "portal"'
expects "and saw no token and no key" '"credential_seen": false'

tell "Bob is a visitor. His token is as genuine as hers, and opens nothing here:"
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $bob' $url"
expects "Bob is refused" "HTTP/1.1 403"
expects "with a reason that a program can read" '"code"'
refuses "which names no rule" 'clerk'
id=$(grep -oE '[0-7][0-9A-HJKMNP-TV-Z]{25}' <<<"$said" | head -n 1)
tell "The operator can have it explained, by the decision's id:"
shows "sallyport why $id"
expects "it names the action" 'business:invoke'
expects "and who would be let in" 'clerk'

tell "Bob has read about headers:"
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $bob' -H 'X-User-Roles: clerk' -H 'X-User-Roles: admin' -H 'X-User-ID: alice' $url"
expects "Bob is refused as before" "HTTP/1.1 403"
tell "and Alice has, too:"
shows "curl -s -H 'apikey: $key' -H 'Authorization: Bearer $alice' -H 'X-User-Roles: admin' -H 'x_user_id: root' -H 'X-USER-ID: root' $url"
expects "she is still Alice" '"user": "alice"'
expects "and still a clerk" '"roles": "clerk"'
refuses "nothing of it reached the service" 'admin'

tell "A token that was tampered with, no token, no key:"
middle=${bob#*.} middle=${middle%.*}
forged=${bob%%.*}.$(printf '%s' "$middle" | tr -- '-_' '+/' | { base64 -d 2>/dev/null || true; } | sed 's/visitor/clerk/' | b64url).${bob##*.}
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $forged' $url"
expects "a changed token is refused" "HTTP/1.1 401"
shows "curl -si -H 'apikey: $key' $url"
expects "no token: refused" "HTTP/1.1 401"
shows "curl -si -H 'Authorization: Bearer $alice' $url"
expects "no key of the product: refused" "HTTP/1.1 401"
shows "curl -si -H 'apikey: $key' -H 'Authorization: Bearer $alice' http://127.0.0.1:$gateway/elsewhere"
expects "what was never declared is not there" '"status":40'

the_end
