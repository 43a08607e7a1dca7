#!/usr/bin/env bash
# Builds the release binary for every target that this machine can build for, into target/dist. TARGETS narrows it down.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
read -ra wanted <<<"${TARGETS:-x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl \
aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin}"
libraries=$(rustc --print sysroot)/lib/rustlib
mkdir -p "$target/dist"
built=0
for triple in "${wanted[@]}"; do
  if [[ ! -d $libraries/$triple/lib ]]; then
    echo "skipped $triple: rustup target add $triple"
    continue
  fi
  cargo build --release --locked --bin gpt-load --target "$triple"
  cp "$target/$triple/release/gpt-load" "$target/dist/gpt-load-$triple"
  built=$((built + 1))
done
echo "Windows has no binary of its own: gpt-load lives by Unix signals and file descriptors. It runs there in WSL 2 and in Docker."
((built > 0)) || { echo "nothing was built" >&2; exit 1; }
(cd "$target/dist" && sha256sum gpt-load-* >SHA256SUMS && ls -l)
