#!/usr/bin/env bash
# Sees to it that .env and a keys file are there, made from the examples where they are missing. Exit status 2 with a
# hint if there is no key in the latter.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/settings.sh
source scripts/settings.sh
umask 077 # They hold secrets.

if [[ ! -e .env ]]; then
  cp .env.example .env
  echo "Made .env from .env.example: every setting with its default. AUTH_KEY is the first to think of." >&2
fi
keys=$(setting KEYS_FILE keys.txt)
if [[ ! -e $keys ]]; then
  cp keys.txt.example "$keys"
  echo "Made $keys from keys.txt.example." >&2
fi
if ! grep -qE '^[[:space:]]*[^#[:space:]]' "$keys"; then
  cat >&2 <<HINT
There is no key in $keys yet. Write your API keys into it, one a line:
  echo sk-… >> $keys
and start again. Without a key, 'make demo' shows everything with a mock provider.
HINT
  exit 2
fi
