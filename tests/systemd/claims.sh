#!/usr/bin/env bash
# Runs inside, as root; one line a claim.
exec >/root/said 2>&1
claim() { # WORDS, then a command that holds or does not
  local words=$1
  shift
  if "$@" >/tmp/told 2>&1; then echo "ok    $words"; else echo "FAILS $words: $(tail -c 400 /tmp/told)"; fi
}
waxseal() { setpriv --reuid waxseal --regid waxseal --clear-groups /usr/bin/waxseal "$@"; }
asked() { waxseal "$@" --config /etc/waxseal/waxseal.toml; }
greets() { timeout 15 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1; head -n 1 <&3" | grep '^220 mail.example.org'; }
serves_tls() { openssl s_client -connect "127.0.0.1:$1" </dev/null | grep 'TLSv1.3'; }
status() { grep -E "^$2:[[:space:]]*$3\$" "/proc/$1/status"; }
property() { systemctl show "$1" --property="$2" --value; }
worker() { for process in /proc/[0-9]*; do tr '\0' ' ' <"$process/cmdline" | grep -q '^/usr/bin/waxseal extract-worker' && basename "$process" && return; done; return 1; }

install -d -o waxseal -g waxseal -m 700 /etc/waxseal /var/lib/waxseal
waxseal init --yes --directory /etc/waxseal --store /var/lib/waxseal --domain example.org --hostname mail.example.org \
  --smtp 127.0.0.1:10024 --next-hop 127.0.0.1:10025 --web '[::]:443' --base-url https://secure.example.org >/dev/null

claim "the sockets are there before the service" systemctl enable --now waxseal.socket waxseal-submission.socket waxseal-smtps.socket waxseal-https.socket
claim "the first connection starts it" greets 25
claim "port 587 is served" greets 587
claim "port 465 is served under TLS" serves_tls 465
claim "port 443 is served under TLS" serves_tls 443
main=$(property waxseal.service MainPID)
claim "it is nobody with rights" status "$main" Uid '[1-9].*'
claim "it has no capability" status "$main" CapEff 0000000000000000
claim "it can get none" status "$main" NoNewPrivs 1
claim "its system calls are filtered" status "$main" Seccomp 2
claim "a message is taken" swaks --server 127.0.0.1:25 --from emma@example.org --to karin@mail.example --ehlo client.example.org --data @/root/mail.eml
claim "a worker read its file within the same sandbox" status "$(worker)" Seccomp 2
journalctl --boot --unit=waxseal.service >/tmp/log
claim "and what it found made a link of it" grep 'event="accepted".*secured=1' /tmp/log
claim "its reload is the program's" systemctl reload waxseal.service
sleep 35
claim "the watchdog is content" test "$(property waxseal.service NRestarts)$(property waxseal.service ActiveState)" = 0active
claim "it stops in order" systemctl stop waxseal.service
claim "with status 0" test "$(property waxseal.service Result)" = success
claim "and the next connection starts it again" greets 25

mkdir -m 700 /etc/credstore.encrypted
claim "the key becomes a credential" systemd-creds encrypt --name=waxseal.kek /etc/waxseal/keys/kek /etc/credstore.encrypted/waxseal.kek
rm -f /etc/waxseal/keys/kek /etc/waxseal/recovery-sheet.txt
sed -i 's#^\[store\]#&\nkek = "/run/credentials/waxseal.service/waxseal.kek"#' /etc/waxseal/waxseal.toml
claim "the service starts with it" systemctl restart waxseal.service
claim "a new key is made beside it" asked keys rotate
claim "the service starts with the old one still" systemctl restart waxseal.service
claim "the new key becomes the credential" systemd-creds encrypt --name=waxseal.kek /etc/waxseal/keys/kek.new /etc/credstore.encrypted/waxseal.kek
claim "the service starts with the new one" systemctl restart waxseal.service
claim "the rotation comes to its end" asked keys rotate
claim "and leaves nothing beside" test "$(ls /etc/waxseal/keys | tr '\n' ' ')" = "dkim ring "
claim "the service starts once more" systemctl restart waxseal.service
asked queue list >/tmp/queue
claim "with the mail in it" grep '^1 in the queue' /tmp/queue
echo done
