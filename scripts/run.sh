#!/usr/bin/env bash
# run.sh release|dev: builds gpt-load and serves with .env and keys.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/prepare.sh
target=${CARGO_TARGET_DIR:-target}
case ${1:-release} in
  dev)
    cargo build --locked
    export LOG_LEVEL=debug
    binary=$target/debug/gpt-load
    ;;
  *)
    cargo build --release --locked
    binary=$target/release/gpt-load
    ;;
esac
# Not `cargo run`: signals go straight to the server, which drains.
exec "$binary"
