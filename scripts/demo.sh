#!/usr/bin/env bash
# Shows gpt-load at work without a key or a network: a mock provider plays six keys, three of them bad, and gpt-load
# stands in front. Sends some traffic, tells what happened, and stays up to play with. DEMO_ONCE=1 ends instead.
set -euo pipefail
set -m # The servers don't get this terminal's Ctrl-C: they are ended in order.
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

bold=$'\e[1m' plain=$'\e[0m'
[[ -t 1 ]] || bold='' plain=''
say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

say "Building gpt-load and the mock provider"
cargo build --locked --workspace --bins
target=$(realpath "${CARGO_TARGET_DIR:-target}")
binaries=$target/debug
# Not here: a .env that is yours must not steer the demo.
work=$target/demo
rm -rf "$work"
mkdir -p "$work"
cd "$work"

mock='' proxy=''
end() {
  trap - EXIT INT TERM
  for server in $proxy $mock; do
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
}
trap end EXIT
trap 'end; exit 0' INT TERM

# started LOG PID PATTERN: waits until a server has printed where it listens, and prints that.
started() {
  local found
  for _ in {1..500}; do
    found=$(sed -nE "s|.*$3.*|\1|p" "$1" | head -n 1)
    [[ -z $found ]] || { echo "$found"; return; }
    kill -0 "$2" 2>/dev/null || break
    sleep 0.01
  done
  echo "It did not start:" >&2
  cat "$1" >&2
  return 1
}

port=${PORT:-3000}
if [[ -z ${PORT:-} ]] && (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null; then
  port=0 # Somebody is there already: any other port will do.
fi

# There before whoever looks into it, whichever of the two is quicker.
: >mock.log
: >gpt-load.log
env -i "$binaries/mock-provider" --keys "$root/scripts/demo/plays.txt" --pace 40 >mock.log 2>&1 &
mock=$!
provider=$(started mock.log "$mock" 'listening on (http://[^ ]+)')

began=$(date +%s%N)
env -i HOST=127.0.0.1 PORT="$port" OPENAI_BASE_URL="$provider" KEYS_FILE="$root/scripts/demo/keys.txt" \
  "$binaries/gpt-load" >gpt-load.log 2>&1 &
proxy=$!
address=$(started gpt-load.log "$proxy" 'gpt-load is serving .*address=([^ ]+)')
url=http://$address

# ask PATH [curl's arguments]: prints the status; the answer is in answer.txt.
ask() {
  local path=$1
  shift
  curl --silent --show-error --max-time 20 --output answer.txt --write-out '%{http_code}' "$url$path" "$@"
}
# Not --json: curls before 7.82 don't know it.
json=(--header 'content-type: application/json' --data)
hello='{"model": "demo-model", "messages": [{"role": "user", "content": "Hello"}]}'
broken='{"model": "demo-model", "messages": "this is no JSON'

say "gpt-load serves on $url; its six keys are ${root}/scripts/demo/keys.txt"
statuses=$(ask /v1/chat/completions "${json[@]}" "$hello")
echo "The first answer was there $((($(date +%s%N) - began) / 1000000)) ms after gpt-load was started:"
cut -c 1-160 answer.txt

say "Eleven more chats, a stream, and a request that is broken"
for _ in {1..11}; do
  statuses+=" $(ask /v1/chat/completions "${json[@]}" "$hello")"
done
statuses+=" $(ask /v1/chat/completions "${json[@]}" "${hello/\{/\{\"stream\": true, }")"
events=$(grep -c '^data: ' answer.txt)
statuses+=" $(ask /v1/chat/completions "${json[@]}" "$broken")"
echo "What the clients got: $statuses"
echo "The stream came in $events events. The 400 is the request's own fault: it was told at once, and no key was blamed."

# number NAME FILE: the first number of that name in a JSON file.
number() { grep -oE "\"$1\":[0-9]+" "$2" | head -n 1 | cut -d : -f 2; }

ask /stats >status.txt && cp answer.txt stats.json
ask /blacklist >status.txt && cp answer.txt blacklist.json
say "What the clients did not see"
echo "$(number total_count stats.json) requests took $(number attempts stats.json) attempts: $(number healed stats.json) failed with their first key and succeeded with the next."
sed -nE 's|.*key_index=([0-9]+) key_preview=([^ ]+) .*verdict=([a-z_]+) .*error="(.*)"$|  key \1 (\2): \3. The provider said: \4|p' gpt-load.log

say "Which keys are out (GET /blacklist), and until when"
{ cat blacklist.json && echo; } | sed 's/},{/}\n{/g' | sed -nE \
  's/.*"index":([0-9]+),"preview":"([^"]+)","reason":"([^"]+)",.*"recovers_at":"?([^",]+)"?,.*"model":"?([^",]+)"?,"rule":"([^"]+)".*/  key \1 (\2)  \3  until \4  for \5  (rule \6)/p' |
  sed -e 's/ for null  (/  (/' -e 's/ for \([^ ]*\)  (rule/ for the model \1 alone  (rule/' -e 's/until null/for good/'
echo "$(number healthy stats.json) of $(number total stats.json) keys take turns for every model. POST /reset-keys brings all of them back."

if [[ -n ${DEMO_ONCE:-} ]]; then
  exit 0
fi
say "It stays up. Watch it at $url/dashboard, and try, in another terminal:"
cat <<HINTS
  curl $url/v1/chat/completions -H 'Content-Type: application/json' -d '{"model": "demo-model", "messages": []}'
  curl -N $url/v1/chat/completions -H 'Content-Type: application/json' -d '{"model": "demo-model", "messages": [], "stream": true, "max_tokens": 40}'
  curl $url/blacklist
  curl $url/stats
  curl -X POST $url/reset-keys
  curl $provider/_mock/play -d '{"key": "sk-key-0-answers-well-good", "play": "revoked"}'  # pull a key's plug
  curl $provider/_mock/phase -d '{"play": "fails 503"}'  # an outage …
  curl $provider/_mock/phase -d '{"play": null}'  # … and its end
  tail -f ${PWD}/gpt-load.log
Any OpenAI SDK works too: base_url = $url/v1, api_key = anything. Ctrl-C ends it all.
HINTS
wait "$proxy"
