#!/usr/bin/env bash
# Installs what an entry point needs beyond the Rust toolchain, on Debian. Does nothing where it is there already.
#   tests/install.sh build|test|bench…
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "install.sh: as root: $*" >&2
    exit 1
  fi
}

packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The Python of the tests' real peers, apart from the system's.
python_peers() {
  local venv=target/peers
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -c 'import aiosmtpd, dkim, nacl, cryptography' 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check 'aiosmtpd==1.4.6' 'dkimpy[ed25519]==1.1.8' 'cryptography'
}

# Mail servers that Debian does not install beside Postfix: their programs apart, with the users that they change to.
mail_servers() {
  local home=target/mtas package
  if [ ! -d "$home/exim4-daemon-light" ] || [ ! -d "$home/opensmtpd" ]; then
    as_root apt-get update -qq
    mkdir -p "$home/packages"
    (cd "$home/packages" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" exim4-daemon-light opensmtpd)
    for package in exim4-daemon-light opensmtpd; do
      dpkg -x "$home/packages/$package"_*.deb "$home/$package"
    done
  fi
  # shellcheck disable=SC2046 # one word a package
  packages $(apt-cache depends exim4-daemon-light opensmtpd | sed -n 's/^ *Depends: \(lib[^:]*\)$/\1/p' | sort -u)
  for package in Debian-exim opensmtpd opensmtpq; do
    id "$package" >/dev/null 2>&1 || as_root useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$package"
  done
  # Where OpenSMTPD shuts its processes in is compiled in.
  [ -d /var/lib/opensmtpd/empty ] || as_root install -d -m 755 /var/lib/opensmtpd/empty
}

# A Node.js from elsewhere brings its own npm, which Debian's package would fight with.
npm_there() {
  command -v npm >/dev/null || packages nodejs npm
}

# Haraka, with the Node.js that it needs.
haraka() {
  local home=target/haraka
  npm_there
  # npm writes its own list last.
  cmp -s benches/haraka/package-lock.json "$home/package-lock.json" && [ -f "$home/node_modules/.package-lock.json" ] && return
  mkdir -p "$home"
  cp benches/haraka/package.json benches/haraka/package-lock.json "$home"
  (cd "$home" && npm ci --ignore-scripts --omit=optional --loglevel=error --no-audit --no-fund) ||
    { echo "install.sh: Haraka could not be installed; npm says why" >&2; exit 1; }
}

browser() {
  packages chromium fonts-liberation lynx
  npm_there
  [ -d tests/browser/node_modules ] || (cd tests/browser && npm ci --silent --no-audit --no-fund)
}

for what in "$@"; do
  case "$what" in
    build) command -v cc >/dev/null || packages gcc libc6-dev make ;;
    test) packages bind9 bind9-utils unbound swaks nmap libnet-ssleay-perl postfix haproxy dovecot-lmtpd openssl unzip procps python3-venv strace systemd && python_peers && mail_servers && browser ;;
    faults) packages testssl.sh ;;
    systemd) packages debootstrap systemd-container ;;
    bench) packages postfix nginx libnginx-mod-stream && haraka ;;
    *) echo "install.sh: unknown: $what" >&2; exit 2 ;;
  esac
done
