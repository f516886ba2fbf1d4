#!/usr/bin/env bash
# The whole test command: format, lints, unit and whole-product tests, broken configurations, real peers, the browser walk, quick faults, abuse of HTTP/2, five kills.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

step "format and lints"
cargo fmt --check
cargo clippy --locked --all-targets --quiet -- -D warnings

step "unit tests and whole-product tests"
cargo test --locked

step "the systemd unit"
tests/unit-score.sh

step "real peers"
tests/peers/run.sh

step "the browser walk"
tests/browser/run.sh

step "quick faults"
python3 tests/faults/quick.py --program target/debug/waxseal

step "a kill at every seventh call of a message's life"
python3 tests/faults/sweep.py --every 7 --program target/debug/waxseal

step "one full disk of several"
python3 tests/faults/disks.py --program target/debug/waxseal

step "the disk in other hands"
python3 tests/faults/stolen.py --program target/debug/waxseal

step "what an operator does to a running gateway"
python3 tests/faults/operations.py --program target/debug/waxseal

step "HTTP/2 in bad hands"
python3 tests/faults/http2.py --program target/debug/waxseal

step "a download that is cut off and resumed"
python3 tests/faults/download.py --megabytes 200 --program target/debug/waxseal

step "twenty large messages at once"
python3 tests/faults/memory.py --program target/debug/waxseal

step "five kills under load"
python3 tests/faults/kills.py --kills 5 --program target/debug/waxseal

step "done"
