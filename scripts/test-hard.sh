#!/usr/bin/env bash
# Hostile clients, failing providers and the incidents of other proxies, the long tests too, one after the other so that their
# figures are their own. Ends with a table of what came of each.
set -euo pipefail
cd "$(dirname "$0")/.."
table=$(mktemp)
trap 'rm -f "$table"' EXIT
status=0
HARD_TABLE=$table "${CARGO:-cargo}" test --locked --test hard -- --include-ignored --test-threads 1 || status=$?
echo
sort "$table" | awk -F '\t' '{printf "%-72s %s\n", $1, $2}'
echo
if [ "$status" -eq 0 ]; then
  echo "$(wc -l <"$table") attacks and faults, each with its outcome: docs/reliability.md says how to read them."
else
  echo "A test failed: what it says is above the table." >&2
fi
exit "$status"
