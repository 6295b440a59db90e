#!/usr/bin/env bash
# The command line: help, slips of the finger, exit codes, completion, manual pages.
set -u
export LC_ALL=C.UTF-8
sp=${SALLYPORT:?}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2: ${3:-}"; fi; }

# want NAME EXIT PATTERN ARG…: exit code, and a pattern in what is printed on either stream.
want() {
    local name=$1 code=$2 pattern=$3 out got
    shift 3
    out=$("$sp" "$@" 2>&1)
    got=$?
    [ "$got" = "$code" ] && [[ $out =~ $pattern ]]
    say $? "$name" "exit $got (want $code): ${out:0:200}"
}

want 'no command: short help' 2 'usage: sallyport COMMAND'
want 'help' 0 'Exit: 0 ok' help
want '--help' 0 'usage: sallyport COMMAND' --help
want 'help of a command' 0 'usage: sallyport version' help version
want 'help of a family' 0 'token verify' help token
want 'help of nothing' 2 'no command' help nothing
want '--help of a family' 0 'token verify' token --help
want 'half a command' 2 'token inspect' token
want 'slip in a command' 2 "Did you mean 'sallyport version'" verison
want 'no slip, another word' 2 "'sallyport help' lists" xylophone
want 'slip in an option' 2 'did you mean --json' version --jsno
want 'unknown option' 2 'unknown option --zzz' version --zzz
want 'flag with a value' 2 'takes no argument' version --json=1
want 'option twice' 2 'given twice' version --json --json
want 'too much' 2 "do not know what to do with 'x'" version x
want 'too little' 2 'something is missing' completion
want 'everything behind -- is a word' 2 'do not know what' version -- --json
want 'version' 0 '^sallyport [0-9]+\.[0-9]+\.[0-9]+$' version
want '--version' 0 '^sallyport [0-9]' --version
want 'version as JSON' 0 '^\{"name":"sallyport","version":"[^"]+","compiler":"[^"]+"\}$' version --json
want 'another shell' 2 'bash, zsh and fish' completion tcsh

"$sp" version >/dev/full 2>/dev/null
[ $? = 1 ]
say $? 'a full disk is a failure' "exit $?"

"$sp" help >"$tmp/help"
lines=$(wc -l <"$tmp/help")
wide=$(awk 'length($0) > 80' "$tmp/help")
[ "$lines" -le 24 ] && [ -z "$wide" ]
say $? 'help fits one screen' "$lines lines; wider than 80: $wide"

# Every command: those of the list, and for a family ("token …") those that its own help lists; the administration is
# listed by first words, several a line. A role that is asked things too ("data") lists them behind "Also".
commands=()
while read -r name; do
    if [[ $name == *…* ]]; then
        while read -r _ first second _; do commands+=("$first $second"); done < <(
            "$sp" help "${name%% *}" | awk '/^usage:/ { page = 1 } /^Also$/ { page = 0; next } !page && /^  sallyport /'
        )
    else
        commands+=("$name")
    fi
done < <(awk '/^(Administer|About|One role)/ { words = 1; next } /^[^ ]/ { words = 0 }
              words { gsub(/  +/, "\n"); sub(/^\n/, ""); print; next }
              /^  / { name = substr($0, 3, 14); sub(/ +$/, "", name); print name }' "$tmp/help")
[ "${#commands[@]}" -ge 14 ]
say $? 'help lists commands' "${commands[*]}"
for command in "${commands[@]}"; do
    # shellcheck disable=SC2086
    out=$("$sp" $command --help 2>&1)
    code=$?
    wide=$(awk 'length($0) > 100' <<<"$out")
    [ $code = 0 ] && [[ $out == *"usage: sallyport $command"* ]] && [[ $out == *Examples* ]] && [ -z "$wide" ]
    say $? "$command --help" "exit $code; too wide: $wide"
done

mkdir "$tmp/man"
"$sp" man "$tmp/man"
say $? 'manual pages are written'
[ "$(find "$tmp/man" -name '*.1' | wc -l)" = $((${#commands[@]} + 1)) ]
say $? 'a page a command'
if command -v mandoc >/dev/null; then
    out=$(mandoc -Tlint "$tmp"/man/*.1 2>&1 | grep -v 'referenced manual not found: Xr sallyport')
    [ -z "$out" ]
    say $? 'mandoc finds nothing' "$out"
else
    echo "skip mandoc finds nothing: mandoc is not installed"
fi

"$sp" completion bash >"$tmp/bash"
# complete WORD…: what bash would offer for the last word.
complete_words() {
    bash -c 'source "$1"; shift; COMP_WORDS=(sallyport "$@"); COMP_CWORD=$#; _sallyport; echo "${COMPREPLY[*]}"' \
        bash "$tmp/bash" "$@" 2>&1
}
[[ $(complete_words ver) == version ]]
say $? 'bash completes a command' "$(complete_words ver)"
[[ $(complete_words version --j) == --json ]]
say $? 'bash completes an option' "$(complete_words version --j)"
[[ $(complete_words completion z) == zsh ]]
say $? 'bash completes a shell' "$(complete_words completion z)"
[[ $(complete_words token '') == 'verify inspect mint' ]]
say $? 'bash completes the second word' "$(complete_words token '')"
for shell in zsh fish; do
    if ! command -v $shell >/dev/null; then
        echo "skip $shell reads its completion: $shell is not installed"
        continue
    fi
    "$sp" completion $shell >"$tmp/$shell"
    $shell -n "$tmp/$shell"
    say $? "$shell reads its completion"
done
