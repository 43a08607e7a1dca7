#!/usr/bin/env bash
# docker-run.sh IMAGE: runs an image with .env and the keys file, read-only and without privileges.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/prepare.sh
# shellcheck source=scripts/settings.sh
source scripts/settings.sh
port=$(setting PORT 3000)
keys=$(setting KEYS_FILE keys.txt)
[[ $keys == /* ]] || keys=$PWD/$keys
# As the user who owns the keys: nobody else may read them. gpt-load reads .env itself.
exec docker run --rm --name gpt-load --read-only --cap-drop ALL --security-opt no-new-privileges \
  --user "$(id -u):$(id -g)" --publish "$port:$port" --env HOST=0.0.0.0 --env KEYS_FILE=/app/keys.txt \
  --volume "$keys:/app/keys.txt:ro" --volume "$PWD/.env:/app/.env:ro" "$1"
