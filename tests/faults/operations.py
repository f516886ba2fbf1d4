#!/usr/bin/env python3
"""What an operator does to a running gateway: broken configurations, new certificates, backups under load, the journal,
the doctor. One line a claim. Needs Linux, openssl and root (or user namespaces, in which it runs itself).

    tests/faults/operations.py --program target/debug/waxseal [--only rotation]
"""

import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from claims import claim, run
from ledger import Balance, Load, fingerprint, settle
from quick import Place, connected, give

from gateway import Gateway, free_port
from sink import Sink


def edited(gateway, change):
    """The configuration as `change` makes it."""
    path = gateway.directory / "waxseal.toml"
    text = path.read_text()
    path.write_text(change(text))
    return text


# Every way to break a configuration; each must be refused whole, with its words.
BREAKS = [
    ("not TOML", lambda text: text + "[web\n", "not TOML"),
    ("an unknown table", lambda text: text + "\n[smpt]\n", "unknown table"),
    ("an unknown option", lambda text: text.replace("[relay]", "[relay]\nnexthop = 1"), "unknown option"),
    ("a wrong type", lambda text: text.replace("[relay]", '[relay]\nconnections = "many"'), "expected a whole number"),
    ("a table twice", lambda text: text + "\n[web]\n", "second time"),
    ("no domain", lambda text: re.sub(r"domains = .*", "domains = []", text), "no domain is named"),
    ("no host name", lambda text: re.sub(r"hostname = .*", "", text), "not a host name"),
    ("a next hop without a port", lambda text: re.sub(r"next_hop = .*", 'next_hop = "hop"', text), "not host:port"),
    ("a name without a password", lambda text: text.replace("[relay]", '[relay]\nusername = "x"'), "go together"),
    ("links in the clear", lambda text: re.sub(r"base_url = .*", 'base_url = "http://secure.example.org"', text), "not an https address"),
    ("a duplicate listener", lambda text: re.sub(r"(?m)^submission = .*", lambda _: "submission = " + re.search(r"(?m)^listen = (\[.*)", text).group(1), text), "is taken by"),
    ("a limit of nothing", lambda text: text.replace("[smtp]", "[smtp]\nconnections = 0"), "lets nothing through"),
    ("no time zone", lambda text: text.replace("[house]", '[house]\ntime_zone = "Mars"'), "time zone"),
    ("no colour", lambda text: text.replace("[house]", '[house]\naccent = "red"'), "not a colour"),
    ("no level", lambda text: text + '\n[log]\nlevel = "loud"\n', "unknown level"),
    ("half a file", lambda text: text[: len(text) // 2], "waxseal.toml"),
    ("an empty file", lambda text: "", "no domain is named"),
]
# With those that are no matter of the text.
CASES = len(BREAKS) + 3


def reload(place):
    """D18: what is broken changes nothing, whatever it is; what can change does, and the rest is told."""
    sink = Sink(keep=fingerprint)
    gateway = place.gateway(sink.port).start()
    stays, checks, words = 0, 0, []
    with connected(gateway) as session:
        for name, broken, mend, expect in breaks(gateway):
            before = gateway.log().count('place="reload"')
            broken()
            gateway.process.send_signal(signal.SIGHUP)
            heard = wait_until(lambda: gateway.log().count('place="reload"') > before)
            told, checked = gateway.run("reload"), gateway.run("check")
            alive = session.noop()[0] == 250 and give(session, 500).startswith("250")
            refused = told.returncode == 1 and expect in told.stderr
            stays, checks = stays + (heard and refused and alive), checks + (checked.returncode == 1)
            if not (heard and refused and alive and checked.returncode == 1):
                words.append(f"{name}: heard {heard}, alive {alive}: {told.stderr}")
            mend()
        claim("D18 a broken configuration changes nothing, by SIGHUP and by command", stays == CASES, f"{stays}/{CASES} {words or ''}")
        claim("D18 `waxseal check` refuses each", checks == CASES, f"{checks}/{CASES}")
        edited(gateway, lambda text: text.replace("postmaster@example.org", "ask Emma").replace(f"127.0.0.1:{sink.port}", "127.0.0.1:9"))
        told = gateway.run("reload")
        holds = "[house] support: holds" in told.stdout and "[relay] next_hop: needs a restart" in told.stdout
        claim("what can change holds at once, what cannot is told", told.returncode == 0 and holds, told.stdout + told.stderr)
        claim("D18 no session ended", session.noop()[0] == 250)
    claim("the pages say what the configuration says", "ask Emma" in page(gateway, "/help"))


def breaks(gateway):
    """Each way to break what is read again: its name, how, how to mend it, what is said."""
    config, rules = gateway.directory / "waxseal.toml", gateway.directory / "rules"
    key = next((gateway.directory / "certs").glob("*/privkey.pem"))
    text, aside = config.read_text(), gateway.directory / "aside"
    for name, change, expect in BREAKS:
        yield name, lambda change=change: config.write_text(change(text)), lambda: config.write_text(text), expect

    def to_folder():
        config.rename(aside)
        config.mkdir()

    def from_folder():
        config.rmdir()
        aside.rename(config)

    yield "a folder instead of a file", to_folder, from_folder, "cannot be read"
    yield "no rules", lambda: rules.rename(aside), lambda: aside.rename(rules), "rules"
    yield "no key of the certificate", lambda: key.rename(aside), lambda: aside.rename(key), "private key"


def wait_until(holds, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def page(gateway, path, port=None):
    connection = http.client.HTTPConnection("127.0.0.1", port or gateway.web, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def issue(folder, serial):
    """A new self-signed pair beside the old one."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-set_serial", str(serial),
                    "-subj", "/CN=mail.example.org", "-addext", "subjectAltName=DNS:mail.example.org",
                    "-keyout", f"{folder}/next.key", "-out", f"{folder}/next.pem"], check=True, capture_output=True)
    return (pathlib.Path(folder) / "next.pem").read_text(), (pathlib.Path(folder) / "next.key").read_text()


class Handshakes(threading.Thread):
    """Shakes hands with listeners until it is told to stop; with those for `starttls` after a word in the clear."""

    def __init__(self, ports, starttls=()):
        super().__init__(daemon=True)
        self.ports, self.starttls, self.done, self.failed, self.serial, self.stop = ports, starttls, 0, [], {}, threading.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def run(self):
        while not self.stop.is_set():
            for port in self.ports:
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                        if port in self.starttls:
                            self.ask_for_tls(plain)
                        with self.context.wrap_socket(plain, server_hostname="mail.example.org") as secured:
                            self.serial[port] = serial_of(secured.getpeercert(binary_form=True))
                            self.done += 1
                except (OSError, ssl.SSLError) as error:
                    self.failed.append(f"{port}: {error}")
            time.sleep(0.02)

    @staticmethod
    def ask_for_tls(plain):
        with plain.makefile("rb", buffering=0) as read:
            for command in (b"", b"EHLO client.example\r\n", b"STARTTLS\r\n"):
                plain.sendall(command)
                while (line := read.readline())[3:4] == b"-":
                    pass
                if not line.startswith(b"2"):
                    raise OSError(f"{command} was answered with {line}")


def serial_of(der):
    """The serial number of a certificate: the INTEGER after the version. RFC 5280 §4.1."""
    at = der.index(b"\xa0\x03\x02\x01\x02\x02") + 6
    return int.from_bytes(der[at + 1: at + 1 + der[at]], "big")


def rotation(place):
    """D19: ten new certificates under handshakes, each half written first."""
    gateway = place.gateway(free_port())
    edited(gateway, lambda text: text.replace(f'base_url = "http://127.0.0.1:{gateway.web}"', 'base_url = "https://mail.example.org"'))
    gateway.start()
    folder = gateway.directory / "certs" / "mail.example.org"
    hands = Handshakes([gateway.smtps, gateway.smtp, gateway.web], starttls=[gateway.smtp])
    hands.start()
    began, slowest, served = time.monotonic(), 0.0, 0
    for number in range(10):
        serial = 1_000_000 + number
        chain, key = issue(place.path, serial)
        # Half of one file, then all of it without its key, then the key: every state that a careless script leaves.
        (folder / "fullchain.pem").write_text(chain[: len(chain) // 2])
        time.sleep(2.5)
        (folder / "fullchain.pem").write_text(chain)
        time.sleep(0.5)
        (folder / "privkey.pem").write_text(key)
        written = time.monotonic()
        while time.monotonic() - written < 10 and not all(hands.serial.get(port) == serial for port in hands.ports):
            time.sleep(0.02)
        slowest = max(slowest, time.monotonic() - written)
        served += all(hands.serial.get(port) == serial for port in hands.ports)
    hands.stop.set()
    hands.join()
    rate = hands.done / (time.monotonic() - began) * 60
    claim("D19 a thousand handshakes a minute, and none failed", not hands.failed and rate >= 1_000, f"{hands.done} at {rate:.0f} a minute, {len(hands.failed)} failed {hands.failed[:3]}")
    claim("D19 each new certificate serves within 5 s", served == 10 and slowest <= 5, f"{served}/10, slowest {slowest:.1f} s")


def backup(place):
    """D27: backups under load; elsewhere everything is there that was acknowledged before the mark."""
    # A next hop that puts half of the mail off, so that some waits at each mark.
    turns = itertools.count()
    sink = Sink(keep=fingerprint, pause=0.05, answer=lambda verb, _: b"451 4.7.1 later\r\n" if verb == "RCPT" and next(turns) % 2 else None)
    gateway = place.gateway(sink.port).start()
    load = Load(gateway.smtp, 8)
    time.sleep(3)
    lost, told, waited, made = 0, [], 0, 0
    for number in range(3):
        before = load.ledger.before(time.monotonic())
        began = time.monotonic()
        copied = gateway.run("backup", f"{place.path}/backup-{number}")
        took = time.monotonic() - began
        made += copied.returncode == 0
        # What had been relayed before the backup began needs no copy; what was relayed later may come twice.
        arrived = Sink(keep=fingerprint)
        other = Gateway(gateway.program, f"{place.path}/elsewhere-{number}", f"127.0.0.1:{arrived.port}")
        place.gateways.append(other)
        shutil.rmtree(other.directory / "keys")
        shutil.copytree(gateway.directory / "keys", other.directory / "keys")
        (other.directory / "keys/ring").unlink()
        restored = other.run("restore", f"{place.path}/backup-{number}", "--send-queue")
        if copied.returncode or restored.returncode:
            claim("D27 a backup is made and restored", False, copied.stderr + restored.stderr)
            break
        other.start()
        taken = sink.taken()
        missing = {message_id: digest for message_id, digest in before.items() if message_id not in {seen for seen, *_ in taken}}
        other.retry()
        balance = settle(missing, arrived, patience=20)
        waited += len(missing)
        both = Balance(before, [*sink.taken(), *arrived.taken()])
        lost += len(balance.lost) if missing else 0
        told.append(f"{took:.1f} s, {len(before)} before the mark, {len(missing)} of them waited, corrupted {len(both.corrupted)}")
        lost += len(both.corrupted)
        other.kill()
    ledger = load.end().before()
    claim("D27 everything acknowledged before the mark is there", made == 3 and lost == 0 and waited > 0, f"lost {lost}; " + "; ".join(told))
    sink.answer = lambda verb, line: None
    gateway.retry()
    balance = settle(ledger, sink)
    claim("D27 the backups cost the gateway itself nothing", balance.holds(), str(balance))
    canaries(place, gateway)


def canaries(place, gateway):
    """W13, C14 for what an operator sees: nobody is named in metrics, overview or log."""
    seen = page(gateway, "/metrics", gateway.admin) + page(gateway, "/", gateway.admin) + gateway.log()
    names = [name for name in ("ann@", "bob@", "example.net", "trees") if name in seen]
    claim("X4, W13 no address and no subject in metrics, overview, log", not names and "waxseal_events_total" in seen, str(names))


def journal(place):
    """The journal's socket in a namespace of our own."""
    folder = f"{place.path}/journal"
    os.makedirs(f"{folder}/journal")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(f"{folder}/journal/socket")
    listening.settimeout(20)
    gateway = place.gateway(free_port(), '\n[log]\nformat = "journald"\n')
    os.makedirs("/run/systemd", exist_ok=True)
    inside = f"mount --bind {folder} /run/systemd && exec \"$@\""
    gateway.start("unshare", "-m", "sh", "-c", inside, "sh")
    with connected(gateway) as client:
        give(client, 500)
    entries = []
    while not any(entry.get("WAXSEAL_EVENT") == "accepted" for entry in entries):
        entries.append(fields(listening.recv(1 << 20)))
    accepted = next(entry for entry in entries if entry.get("WAXSEAL_EVENT") == "accepted")
    claim("the journal gets each fate as one entry with its ids", accepted["MESSAGE"].startswith("accepted trace=") and accepted["PRIORITY"] == "6" and "WAXSEAL_ENTRIES" in accepted, str(accepted)[:300])
    claim("nothing else is written to standard error", gateway.log() == "", gateway.log()[:300])
    gateway.stop()
    without = place.gateway(free_port(), '\n[log]\nformat = "journald"\n')
    refused = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /run/systemd && exec \"$@\"", "sh", *without.serve()], capture_output=True, text=True, timeout=60)
    claim("without a journal it does not start, and says so", refused.returncode == 1 and "where no journal runs" in refused.stderr, refused.stderr)


def fields(datagram):
    """An entry of the native protocol of systemd-journald, all fields with their length."""
    entry, at = {}, 0
    while at < len(datagram):
        end = datagram.index(b"\n", at)
        size = struct.unpack_from("<Q", datagram, end + 1)[0]
        entry[datagram[at:end].decode()] = datagram[end + 9: end + 9 + size].decode()
        at = end + 10 + size
    return entry


class Zone(threading.Thread):
    """A DNS server that knows a few names and denies all others. RFC 1035 §4."""

    KINDS = {1: "A", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA"}

    def __init__(self, records):
        super().__init__(daemon=True)
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1: at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = self.KINDS.get(struct.unpack_from("!H", query, at + 1)[0])
            name = ".".join(labels).lower()
            answers = [self.rdata(kind, value) for value in self.records.get((name, kind), [])]
            known = any(held == name for held, _ in self.records)
            head = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, len(answers), 0, 0)
            body = b"".join(struct.pack("!HHHIH", 0xC00C, struct.unpack_from("!H", query, at + 1)[0], 1, 60, len(data)) + data for data in answers)
            self.socket.sendto(head + query[12: at + 5] + body, peer)

    def rdata(self, kind, value):
        name = lambda text: b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"
        if kind == "A":
            return socket.inet_aton(value)
        if kind == "MX":
            return struct.pack("!H", 10) + name(value)
        if kind == "PTR":
            return name(value)
        pieces = [value[at: at + 255].encode() for at in range(0, len(value), 255)]
        return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def doctor(place):
    """A gateway that is well, and the same with one thing after another gone wrong."""
    sink = Sink(keep=fingerprint)
    gateway = place.gateway(sink.port)
    edited(gateway, lambda text: text.replace(f'base_url = "http://127.0.0.1:{gateway.web}"', 'base_url = "https://mail.example.org"'))
    gateway.start()
    published = dict(re.findall(r"(\S+)\. IN TXT (.*)", gateway.said))
    records = {(name, "TXT"): ["".join(re.findall(r'"([^"]*)"', text))] for name, text in published.items()}
    records |= {
        ("mail.example.org", "A"): ["192.0.2.1"], ("1.2.0.192.in-addr.arpa", "PTR"): ["mail.example.org"],
        ("example.org", "MX"): ["mail.example.org"], ("example.org", "TXT"): ["v=spf1 include:_spf.example.org -all"],
        ("_spf.example.org", "TXT"): ["v=spf1 ip4:192.0.2.0/28 ?all"],
    }
    zone = Zone(records)
    zone.start()

    def ask(*flags):
        done = gateway.run("doctor", "--json", "--resolver", f"127.0.0.1:{zone.port}", *flags)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def told(findings, verdict, words):
        return any(finding["verdict"] == verdict and words in finding["what"] for finding in findings)

    status, findings = ask()
    wrong = [finding for finding in findings if finding["verdict"] == "wrong" and finding["about"] != "disk"]
    expected = [("ok", "mail.example.org is 192.0.2.1, and back"), ("ok", "_domainkey.example.org is the key here"), ("ok", "example.org lets 192.0.2.1 send"),
                ("ok", "lets us in"), ("ok", "greets"), ("ok", "runs, release"), ("warn", "will not believe it")]
    missing = [words for words in expected if not told(findings, *words)]
    claim("doctor: what is well is told so", not wrong and not missing, f"{len(findings)} findings, exit {status}, wrong {wrong}, missing {missing}")
    text = gateway.run("doctor", "--resolver", f"127.0.0.1:{zone.port}").stdout
    claim("doctor: for people a line each, with what to do", re.search(r"(?m)^warn   certificate", text) and "→ a certificate of a public authority" in text, f"{len(text.splitlines())} lines")

    selector = next(iter(published))
    zone.records[(selector, "TXT")] = ["v=DKIM1; k=rsa; p=AAAA"]
    zone.records[("example.org", "TXT")] = ["v=spf1 ip4:198.51.100.0/24 -all"]
    zone.records[("1.2.0.192.in-addr.arpa", "PTR")] = ["other.example.net"]
    sink.close()
    os.chmod(gateway.directory / "data", 0o755)
    status, findings = ask()
    expected = [("wrong", "is another key than the one here"), ("warn", "does not let 192.0.2.1 send"), ("warn", "but that is other.example.net"),
                ("wrong", f"127.0.0.1:{sink.port}: "), ("wrong", "others may use it (mode 0755)")]
    missing = [words for words in expected if not told(findings, *words)]
    mends = all(finding.get("mend") for finding in findings if finding["verdict"] != "ok")
    claim("doctor: each thing that is wrong is told, with how to mend it, and the exit says so", status == 1 and not missing and mends, f"missing {missing} in {findings if missing else ''}")
    os.chmod(gateway.directory / "data", 0o700)
    zone.records.clear()
    gateway.stop()
    status, findings = ask()
    expected = [("wrong", "does not answer at"), ("wrong", "mail.example.org has no address"), ("wrong", "is not published")]
    missing = [words for words in expected if not told(findings, *words)]
    claim("doctor: a gateway that is down and names that are gone", status == 1 and not missing, f"missing {missing}")


CLAIMS = {"reload": reload, "rotation": rotation, "backup": backup, "journal": journal, "doctor": doctor}


if __name__ == "__main__":
    run(__doc__, CLAIMS, Place)
