#!/usr/bin/env bash
# A release build whose code is laid out by what a busy gpt-load does (profile-guided optimisation): one that counts, the
# load of the benches upon it, and one by those counts. Takes two whole builds and half a minute; ends with the path of the
# binary. Needs `llvm-profdata`: rustup's llvm-tools, or Debian's llvm-19 or newer.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
cargo=${CARGO:-cargo}
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')

profdata=
tools=$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$host/bin
for candidate in "$tools/llvm-profdata" llvm-profdata-{22,21,20,19} /usr/lib/llvm-{22,21,20,19}/bin/llvm-profdata; do
  if command -v "$candidate" >/dev/null; then
    profdata=$candidate
    break
  fi
done
if [ -z "$profdata" ]; then
  echo "No llvm-profdata: rustup component add llvm-tools, or apt-get install llvm-19" >&2
  exit 1
fi

# The flags are for gpt-load, not for what builds it: that is why the host is named as a target.
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $1" "$cargo" build --release --locked --target "$host" --target-dir "$2" --package gpt-load --bin gpt-load
}

"$cargo" build --release --locked --package load --bins
counts=$target/pgo/counts
rm -rf "$counts"
build "-Cprofile-generate=$counts" "$target/pgo/counting"
GPT_LOAD=$target/pgo/counting/$host/release/gpt-load scripts/pgo-load.py
"$profdata" merge -o "$target/pgo/counts.profdata" "$counts"
build "-Cprofile-use=$target/pgo/counts.profdata" "$target/pgo/guided"
mkdir -p "$target/release-pgo"
cp "$target/pgo/guided/$host/release/gpt-load" "$target/release-pgo/gpt-load"
echo "$target/release-pgo/gpt-load"
