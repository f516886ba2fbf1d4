#!/usr/bin/env bash
# Real peers: swaks and smtplib in, Postfix as next hop, dkimpy and openssl as judges; then Postfix, Exim, OpenSMTPD
# and aiosmtpd on both sides.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --locked --quiet
target/peers/bin/python tests/peers/walk.py --program target/debug/waxseal
target/peers/bin/python tests/peers/interop.py --program target/debug/waxseal --messages 100
