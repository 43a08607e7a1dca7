#!/usr/bin/env bash
# The dashboard in a real browser, in front of the mock provider. With SCREENSHOTS=1 it makes docs/images anew.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ui-setup.sh
cargo build --locked --workspace --bins
target=$(realpath "${CARGO_TARGET_DIR:-target}")
export GPT_LOAD=$target/debug/gpt-load MOCK_PROVIDER=$target/debug/mock-provider
NODE_PATH=$target/ui/node_modules node --test --test-reporter=spec tests/ui/dashboard.test.js
