#!/usr/bin/env bash
# The units under a real systemd, in a container of its own with nothing but loopback: sockets, sandbox, worker, reload,
# watchdog, stop, and the key-encryption key as a credential. Needs root; the first run fetches a Debian.
#   tests/systemd/run.sh target/release/waxseal
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "$1")
debian=target/debian
if [ ! -e "$debian/.whole" ]; then
  rm -rf "$debian"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,openssl,swaks bookworm "$debian" >target/debootstrap.log
  chroot "$debian" useradd --system --home-dir /var/lib/waxseal --shell /usr/sbin/nologin waxseal
  touch "$debian/.whole"
fi
# What a run changes goes with it.
place=$(mktemp -d) root=$place/root
trap 'umount -l "$root" "$place/changes" 2>/dev/null; rm -rf "$place"' EXIT
mkdir "$root" "$place/changes"
mount -t tmpfs -o mode=755 none "$place/changes"
mkdir "$place/changes/files" "$place/changes/work"
mount -t overlay -o "lowerdir=$debian,upperdir=$place/changes/files,workdir=$place/changes/work" none "$root"
install -m 755 "$program" "$root/usr/bin/waxseal"
cp systemd/*.service systemd/*.socket tests/systemd/claims.service "$root/etc/systemd/system/"
install -m 755 tests/systemd/claims.sh "$root/root/claims.sh"
python3 tests/systemd/mail.py >"$root/root/mail.eml"
ln -s /etc/systemd/system/claims.service "$root/etc/systemd/system/multi-user.target.wants/claims.service"
timeout 300 systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$root" --boot >"$place/console" 2>&1 || true
if ! cat "$root/root/said" 2>/dev/null; then
  tail -n 40 "$place/console"
  exit 1
fi
grep -q '^done$' "$root/root/said" && ! grep -q '^FAILS' "$root/root/said"
