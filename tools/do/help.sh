# help: list the verbs
# shellcheck shell=bash
echo "usage: ./do VERB"
for verb in run test story soak bench package lint format sanitize fuzz coverage docs help; do
    [ -f "tools/do/$verb.sh" ] || continue
    printf '  %-9s %s\n' "$verb" "$(sed -n "1s/^# $verb: //p" "tools/do/$verb.sh")"
done
