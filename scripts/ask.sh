#!/usr/bin/env bash
# ask.sh METHOD PATH: asks the server that .env describes for one of its monitoring pages.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/settings.sh
source scripts/settings.sh

host=$(setting HOST 127.0.0.1)
case $host in
  0.0.0.0 | ::) host=localhost ;;
  *:*) host="[${host//[\[\]]/}]" ;;
esac
scheme=http
[[ -z $(setting TLS_CERT_FILE) ]] || scheme=https
url="$scheme://$host:$(setting PORT 3000)$2"
token=$(setting ADMIN_KEY "$(setting AUTH_KEY)")

# The token goes in by standard input: arguments are for everybody to see. The certificate is not made out to localhost.
{ [[ -z $token ]] || printf 'header = "Authorization: Bearer %s"\n' "${token%%,*}"; } |
  curl --silent --show-error --insecure --max-time 10 --request "$1" --config - "$url" |
  if command -v python3 >/dev/null; then
    python3 -c 'import json, sys
text = sys.stdin.read()
try:
    print(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
except ValueError:
    print(text)'
  else
    cat
  fi
