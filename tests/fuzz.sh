#!/usr/bin/env bash
# Feeds strangers' octets to every parser, MINUTES (10) for each target; prints executions and findings.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${MINUTES:-10}
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz
# The engine's instrumentation flags are not in the stable channel yet.
export RUSTC_BOOTSTRAP=1
status=0
for target in tests/fuzz/fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  log=$(mktemp)
  # What is found on the way gathers below target; the seeds stay as they are.
  found=target/fuzz/$name
  mkdir -p "$found"
  if cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$name" "$found" "tests/fuzz/seeds/$name" -- -max_total_time=$((minutes * 60)) -print_final_stats=1 -rss_limit_mb=1024 -timeout=10 >"$log" 2>&1; then
    printf '%-20s %12s executions, no finding\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    printf '%-20s FINDING\n' "$name"
    tail -n 30 "$log"
    status=1
  fi
  rm -f "$log"
done
exit $status
