#!/usr/bin/env bash
# The exposure of the service by systemd's own measure, at most 1.5.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc/systemd/system" "$root/usr/bin"
cp systemd/waxseal*.service systemd/waxseal*.socket "$root/etc/systemd/system/"
printf '#!/bin/true\n' >"$root/usr/bin/waxseal"
chmod +x "$root/usr/bin/waxseal"
systemd-analyze security --offline=true --root="$root" --no-pager --threshold=15 waxseal.service | tail -n 1
