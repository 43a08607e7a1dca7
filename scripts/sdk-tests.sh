#!/usr/bin/env bash
# The official SDKs and curl through the real server, in front of the mock provider: what the client got, and what the
# provider saw.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/sdk-setup.sh
cargo build --locked --workspace --bins
target=$(realpath "${CARGO_TARGET_DIR:-target}")
export GPT_LOAD=$target/debug/gpt-load MOCK_PROVIDER=$target/debug/mock-provider

# Nothing of this shell's may steer the SDKs or the server.
for name in $(compgen -e); do
  case $name in
    OPENAI_* | ANTHROPIC_* | *_PROXY | *_proxy) unset "$name" ;;
  esac
done

echo "== Python: openai, anthropic, google-genai, and curl"
PYTHONDONTWRITEBYTECODE=1 "$target/sdk/venv/bin/python" -m pytest -q -p no:cacheprovider tests/sdk/python
echo "== Node: openai"
NODE_PATH=$target/sdk/node/node_modules node --test tests/sdk/node/*.test.js
