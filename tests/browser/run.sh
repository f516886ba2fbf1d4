#!/usr/bin/env bash
# The real gateway with the demo's mailboxes, walked through in Chromium: by recipients, by a scanner, by attackers; and in a text browser.
# Pictures of every page are left in target/walk.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${PROGRAM:-target/debug/waxseal}
[ -n "${PROGRAM:-}" ] || cargo build --locked --quiet
said=$(mktemp)
"$program" demo --smtp-port 0 --web-port 0 --overview-port 0 >"$said" 2>"$said.log" &
gateway=$!
trap 'kill -INT $gateway 2>/dev/null || true; wait $gateway 2>/dev/null || true; rm -f "$said" "$said.log"' EXIT
for _ in $(seq 300); do
  grep -q '^Ctrl-C' "$said" && break
  kill -0 $gateway || { cat "$said.log" >&2; exit 1; }
  sleep 0.1
done
overview=$(sed -n 's|^All mailboxes: *\(http.*\)/$|\1|p' "$said")
smtp=$(sed -n 's|.*gateway on 127.0.0.1:\([0-9]*\)\.$|\1|p' "$said")
status=0
timeout 600 node tests/browser/walk.mjs "$overview" "$smtp" || status=1
timeout 600 node tests/browser/scanner.mjs "$overview" || status=1
timeout 300 node tests/browser/attack.mjs "$overview" "$smtp" || status=1
timeout 300 python3 tests/browser/lynx.py --program "$program" || status=1
timeout 300 python3 tests/browser/canary.py --program "$program" || status=1
exit $status
