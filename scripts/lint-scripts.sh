#!/usr/bin/env bash
# Lints the scripts where shellcheck is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v shellcheck >/dev/null; then
  shellcheck -x -P . scripts/*.sh .ci/run
else
  echo "shellcheck is not installed: the scripts are not linted"
fi
