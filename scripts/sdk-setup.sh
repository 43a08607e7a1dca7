#!/usr/bin/env bash
# Installs what the SDK tests need, in the versions that tests/sdk pins: a Python venv in target/sdk/venv and
# node_modules in target/sdk/node. Does nothing if that was done already.
set -euo pipefail
cd "$(dirname "$0")/.."
sdk=${CARGO_TARGET_DIR:-target}/sdk
mkdir -p "$sdk"

missing=()
command -v curl >/dev/null || missing+=(curl)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]} > 0)); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "The SDK tests need ${missing[*]} (names of Debian's packages): please install." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# fresh FILE STAMP: whether what STAMP stands for was made from FILE as it is.
fresh() { cmp -s "$1" "$2"; }

if ! fresh tests/sdk/requirements.txt "$sdk/venv/requirements.txt"; then
  python3 -m venv --clear "$sdk/venv"
  "$sdk/venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
  cp tests/sdk/requirements.txt "$sdk/venv/requirements.txt"
fi
if ! fresh tests/sdk/package-lock.json "$sdk/node/installed.json"; then
  mkdir -p "$sdk/node"
  cp tests/sdk/package.json tests/sdk/package-lock.json "$sdk/node/"
  npm ci --prefix "$sdk/node" --no-audit --no-fund --loglevel=error
  cp tests/sdk/package-lock.json "$sdk/node/installed.json"
fi
