#!/usr/bin/env bash
# Installs what the dashboard's test needs: playwright-core in target/ui, in the version that tests/ui pins, and Debian's
# Chromium. Does nothing if that was done already.
set -euo pipefail
cd "$(dirname "$0")/.."
ui=${CARGO_TARGET_DIR:-target}/ui
mkdir -p "$ui"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
fc-list 2>/dev/null | grep -qi cjk || missing+=(fonts-noto-cjk)
if ((${#missing[@]} > 0)); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "The dashboard's test needs ${missing[*]} (names of Debian's packages): please install." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! cmp -s tests/ui/package-lock.json "$ui/installed.json"; then
  cp tests/ui/package.json tests/ui/package-lock.json "$ui/"
  npm ci --prefix "$ui" --no-audit --no-fund --loglevel=error
  cp tests/ui/package-lock.json "$ui/installed.json"
fi
