#!/usr/bin/env bash
# The long fault runs: kills, panics, power cuts, memory, TLS in the eyes of testssl.sh, crowds, other mail servers; and the units under a real systemd. Prints what was measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
# First, for it leaves a program that has the features of what only tests depend on.
cargo test --locked --release --quiet --test all a_million_entries -- --ignored --nocapture
cargo build --locked --release --quiet
program=target/release/waxseal
python3 tests/faults/kills.py --kills "${KILLS:-200}" --program $program
python3 tests/faults/sweep.py --program $program
# A debug build: no release has these places.
cargo build --locked --quiet --features failpoints
python3 tests/faults/panics.py --program target/debug/waxseal
python3 tests/faults/powercut.py --cuts "${CUTS:-50}" --program $program
python3 tests/faults/memory.py --program $program
python3 tests/faults/memory.py --messages 50 --megabytes 100 --program $program
python3 tests/faults/tls.py --program $program
python3 tests/faults/download.py --megabytes "${MEGABYTES:-2000}" --program $program
target/peers/bin/python tests/peers/interop.py --program $program --messages 1000
tests/systemd/run.sh $program
# Last, for where few open files are allowed one of its claims fails.
python3 tests/faults/crowds.py --program $program
