#!/usr/bin/env bash
# First five minutes: one command in front of an app; denied, allowed, and why
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/tell.bash"

app=$(free_port)

tell "Somebody has an application that asks nobody who they are:"
starts app "$BUILD/examples/example-orders" --port "$app"
waits "the application listens" curl -sf "http://127.0.0.1:$app/items"
shows "curl -s http://127.0.0.1:$app/orders/7"
expects "whoever asks is answered" '"order": "7"'

tell "One command puts an entry in front of it, without a file:"
echo "  $ sallyport dev --to :$app"
began=$(date +%s%N)
cd "$stage" || exit 1
starts dev sallyport dev --to ":$app"
waits "the banner is printed" grep -q 'DEV MODE' "$logs/dev.out"
took=$((($(date +%s%N) - began) / 1000000))
mapfile -t banner <"$logs/dev.out"
printf '    %s\n' "${banner[@]}" | shortens
holds "it took less than a second ($took ms)" test "$took" -lt 1000
holds "it says what there is to say in at most ten lines (${#banner[@]})" test "${#banner[@]}" -le 10

# command LABEL: what the banner says behind that label.
command_of() { sed -nE "s/^$1: +//p" "$logs/dev.out"; }
pasted=()
paste() {
    local command
    command=$(command_of "$1")
    holds "the banner has a command for \"$1\"" test -n "$command"
    pasted+=("$1")
    shows "$command"
    holds "\"$1\" works when pasted" test "$status" -eq 0
}

tell "A curl without a key is refused, and says why:"
paste denied
expects "refused" "HTTP/1.1 401"
expects "with a reason" '"code":"no_credential"'
refused=$(grep -oE '[0-7][0-9A-HJKMNP-TV-Z]{25}' <<<"$said" | head -n 1)

tell "The last decision is explained:"
paste why
expects "why the first was refused" no_credential
expects "and what to do" remedy

tell "With the printed key it passes; the application itself has nothing at / and says so:"
paste allowed
expects "the application answered" '"service": "orders"'
gateway=$(sed -nE 's|^gateway (http://[^ ]+).*|\1|p' "$logs/dev.out")
key=$(grep -oE 'sp_dev_[A-Za-z0-9_]+' "$logs/dev.out" | head -n 1)
shows "curl -si -H 'apikey: $key' $gateway/orders/7"
expects "allowed" "HTTP/1.1 200"
allowed=$(grep -oE '[0-7][0-9A-HJKMNP-TV-Z]{25}' <<<"$said" | head -n 1)
expects "what the application has, it gives" '"order": "7"'

tell "The same with a user, whose token the throw-away issuer makes:"
paste "a user"
expects "the application answered" '"service": "orders"'
shows "curl -s -H 'apikey: $key' -H \"Authorization: Bearer \$(sallyport token mint --dev --sub alice --roles user)\" $gateway/orders/7"
expects "the application is told who asks" '"asked_by": "alice"'
tell "(Nobody else can say so:)"
shows "curl -s -H 'apikey: $key' -H 'X-User-ID: alice' $gateway/orders/7"
expects "a forged header is gone" '"asked_by": null'

tell "A user can log in, too, with a password; the answer is a token of the gateway's own and one to renew it with:"
paste login
expects "logged in" '"access_token":"'
expects "and stays so" '"refresh_token":"sr_'

tell "why explains both: what was refused …"
shows "sallyport why $refused"
expects "the refusal" 'denied'
tell "… and what was allowed:"
shows "sallyport why $allowed"
expects "the permission" 'permitted'

tell "What happens can be watched, while somebody calls:"
{
    sleep 1
    curl -s "$gateway/watched" >/dev/null
} &
cast+=($!)
paste watch
expects "the call was seen" /watched

tell "It is worth keeping:"
paste keep
shows "cat sallyport.yaml"
expects "the file is what ran" "127.0.0.1:$app"
shows "sallyport lint sallyport.yaml"
holds "and is a valid file" test "$status" -eq 0

tell "Every command of the banner was pasted:"
labels=$(sed -nE 's/^([a-z ]+): .*/\1/p' "$logs/dev.out" | sort | tr '\n' ' ')
known=$(printf '%s\n' "${pasted[@]}" | sort | tr '\n' ' ')
holds "none is left out (${labels% })" test "$labels" = "$known"

tell "It listened on loopback only, and wrote nothing but its own folder and what was asked for:"
shows "ls -A"
left=$(cd "$stage" && find . -maxdepth 1 -mindepth 1 ! -name .sallyport ! -name sallyport.yaml)
holds "nothing else was written${left:+: $left}" test -z "$left"
pid=${cast[1]} # the application came first
outside=$(
    # listening sockets of the process; 0100007F is 127.0.0.1
    for inode in $(find "/proc/$pid/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n'); do
        awk -v i="$inode" '$4 == "0A" && $10 == i && $2 !~ /^0100007F:/' /proc/net/tcp
        awk -v i="$inode" '$4 == "0A" && $10 == i' /proc/net/tcp6
    done
)
holds "nothing listens elsewhere${outside:+: $outside}" test -z "$outside"

the_end
