#!/usr/bin/env bash
# The one way in: ./do VERB. Each verb is a file in tools/do/; this only finds it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. tools/do/lib.sh

verb=${1:-help}
[ $# -gt 0 ] && shift
case $verb in
-h | --help | help) verb=help ;;
esac
if [[ ! $verb =~ ^[a-z]+$ || $verb == lib || ! -f tools/do/$verb.sh ]]; then
    echo "./do: there is no verb '$verb'" >&2
    . tools/do/help.sh >&2
    exit 2
fi
# shellcheck disable=SC1090
. "tools/do/$verb.sh"
