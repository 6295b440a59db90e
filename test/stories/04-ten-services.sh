#!/usr/bin/env bash
# Ten services, one algorithm change: signing moves from RS256 to ES256 under load, and nobody notices
# test: seconds 180
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/tell.bash"

export SALLYPORT_SOCKET=$stage/data/cli.sock
gateway=$(free_port)
url=http://127.0.0.1:$gateway
names=(accounts billing catalog delivery events files groups history invoices jobs)

tell "Ten services stand behind one gateway. None of them knows what a token is:"
services="" may="" targets=()
for name in "${names[@]}"; do
    port=$(free_port)
    starts "$name" "$BUILD/examples/example-business" --port "$port"
    waits "$name listens" curl -sf "http://127.0.0.1:$port/myclass/myoperation"
    services+="  $name: {instances: [\"127.0.0.1:$port\"]}"$'\n'
    may+="${may:+, }\"$name:invoke\""
    targets+=("$url/$name/myclass/myoperation")
done
said=$(sallyport key new portal)
key=$(grep -oE 'sp_[a-z0-9]+_[A-Za-z0-9_]+' <<<"$said" | head -n 1)
entry=$(grep -oE '\{ *id:.*\}' <<<"$said" | head -n 1)
cat >"$stage/sallyport.yaml" <<END
sallyport: 1
listen: {gateway: "127.0.0.1:$gateway", admin: none}
data: ./data
authentication:
  issuer: "https://api.example.com"
  audience: [apis]
  algorithm: RS256
  access_token: 6s
  publish_ahead: 2s
products:
  portal: {keys: [$entry], login: password, may: [$may]}
services:
${services}roles: {clerk: [$may]}
END
sed 's/^/    /' "$stage/sallyport.yaml" | cut -c 1-140
cd "$stage" || exit 1
starts gateway sallyport run --config sallyport.yaml
waits "the gateway is there" test -S data/cli.sock
users=(alice bob carol dave)
for user in "${users[@]}"; do
    sallyport user add "$user" --roles clerk >"$logs/$user.password" 2>"$logs/$user.added" || exit 1
done

# post WHAT JSON
post() { curl -s -H "apikey: $key" -H 'Content-Type: application/json' "$url/authentication/$1" -d "$2"; }
login() { post login "{\"username\": \"$1\", \"password\": \"$(<"$logs/$1.password")\"}"; }
member() { sed -nE "s/.*\"$1\": ?\"([^\"]*)\".*/\1/p" <<<"$2"; }
algorithm() { cut -d . -f 1 <<<"$1" | tr -- '-_' '+/' | { base64 -d 2>/dev/null || true; } | sed -nE 's/.*"alg":"([A-Z0-9]+)".*/\1/p'; }

# works USER: logs in, calls all ten again and again, and refreshes every second or so, as a page would. What it got is
# in $logs/USER.codes, the algorithm of each of its tokens in $logs/USER.algs.
works() {
    local user=$1 answer access refresh round=0
    answer=$(login "$user")
    while [ ! -e "$logs/enough" ]; do
        access=$(member access_token "$answer") refresh=$(member refresh_token "$answer")
        if [ -z "$access" ]; then
            echo "no token: $answer" >>"$logs/$user.codes"
            return
        fi
        printf '%s\n' "$(algorithm "$access")" >>"$logs/$user.algs" # one a line
        for ((round = 0; round < 8; round++)); do
            curl -s -o /dev/null -w '%{http_code}\n' -H "apikey: $key" -H "Authorization: Bearer $access" "${outs[@]}" \
                "${targets[@]}" >>"$logs/$user.codes"
        done
        answer=$(post refresh "{\"refresh_token\": \"$refresh\"}")
    done
}
outs=()
for _ in "${names[@]:1}"; do outs+=(-o /dev/null); done

tell "Four people work; their pages renew their tokens about every second."
takes_logins() { [ "$(curl -s -o /dev/null -w '%{http_code}' -H "apikey: $key" "$url/.well-known/jwks.json")" = 200 ]; }
waits "the gateway takes logins" takes_logins
shows "curl -s $url/.well-known/jwks.json | grep -o '\"alg\":\"[A-Z0-9]*\"'"
expects "tokens are signed by RS256" RS256
pids=("${cast[@]}")
for user in "${users[@]}"; do
    works "$user" &
    workers+=($!)
done
cast+=("${workers[@]}")
sleep 4
shows "sallyport keys list"

tell "The order comes: ES256 from now on. One command, at full load:"
shows "sallyport keys rotate --alg ES256"
holds "taken" test "$status" -eq 0
signs_es256() { sallyport keys list | grep current | grep -q ES256; }
waits "the new key signs (it was published first)" signs_es256
shows "sallyport keys list"
sleep 3
tell "The last tokens of the old key run out …"
alone() { ! sallyport keys list | grep -q RS256; }
i=0
until alone || [ $((i += 1)) -gt 300 ]; do sleep 0.1; done
shows "sallyport keys list"
refuses "the old key is gone" RS256
shows "curl -s $url/.well-known/jwks.json | grep -o '\"alg\":\"[A-Z0-9]*\"'"
expects "what is published is the new one" ES256
refuses "and nothing else" RS256
sleep 1
touch "$logs/enough"
wait "${workers[@]}"

tell "What the four have seen:"
sort "$logs"/*.codes | uniq -c | sed 's/^/    /'
calls=$(cat "$logs"/*.codes | wc -l)
bad=$(cat "$logs"/*.codes | grep -vc '^200$')
holds "no request failed ($calls calls, $bad failures)" test "$bad" -eq 0 -a "$calls" -gt 500
for user in "${users[@]}"; do
    holds "$user went from RS256 to ES256 without logging in again ($(uniq -c "$logs/$user.algs" | xargs))" \
        test "$(uniq "$logs/$user.algs" | xargs)" = "RS256 ES256"
done
alive() {
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" || return 1; done
}
holds "nobody was restarted: all eleven processes are those of the beginning" alive

tell "The services have noticed nothing: they see what they saw before."
answer=$(login alice)
shows "curl -s -H 'apikey: $key' -H 'Authorization: Bearer $(member access_token "$answer")' ${targets[9]}"
expects "a name" '"user": "alice"'
expects "and no token" '"credential_seen": false'

the_end
