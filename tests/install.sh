#!/usr/bin/env bash
# Installs what an entry point needs beyond the Rust toolchain, on Debian. Does nothing where it is there already.
#   tests/install.sh build|test|bench…
set -euo pipefail
cd "$(dirname "$0")/.."

packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install.sh: as root: apt-get install ${missing[*]}" >&2; exit 1; }
    root=(sudo)
  fi
  echo "installing: ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The Python of the tests' real peers, apart from the system's.
python_peers() {
  local venv=target/peers
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -c 'import aiosmtpd, dkim, nacl, cryptography' 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check 'aiosmtpd==1.4.6' 'dkimpy[ed25519]==1.1.8' 'cryptography'
}

browser() {
  packages chromium fonts-liberation lynx
  # A Node.js from elsewhere brings its own npm, which Debian's package would fight with.
  command -v npm >/dev/null || packages nodejs npm
  [ -d tests/browser/node_modules ] || (cd tests/browser && npm ci --silent --no-audit --no-fund)
}

for what in "$@"; do
  case "$what" in
    build) command -v cc >/dev/null || packages gcc libc6-dev make ;;
    test) packages swaks nmap libnet-ssleay-perl postfix dovecot-lmtpd openssl unzip procps python3-venv strace systemd && python_peers && browser ;;
    systemd) packages debootstrap systemd-container ;;
    bench) packages postfix ;;
    *) echo "install.sh: unknown: $what" >&2; exit 2 ;;
  esac
done
