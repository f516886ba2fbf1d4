#!/usr/bin/env python3
"""D29: a panic at one place after another, under load. The gateway serves on or is started again within two seconds, no client
waits for a reply that never comes, nothing acknowledged is lost, and nothing stays in hands that are gone.

    cargo build --features failpoints && tests/faults/panics.py --program target/debug/waxseal [--only smtp.reply]
"""

import argparse
import contextlib
import itertools
import os
import pathlib
import smtplib
import subprocess
import threading
import time
import urllib.error

from claims import check, claim
from disks import DAVE, NUMBER
from ledger import Balance, Client, Ledger, fingerprint, mail, text
from quick import ANN, BOB, Place, connected, give, listed

from recipient import Recipient
from sink import Sink

# In the order in which a message, a link and an operator come by.
PLACES = [
    "smtp.accept", "smtp.command", "smtp.message", "intake.inspect", "vault.seal", "intake.sealed", "relay.take_on", "offer.dot", "offer.heard",
    "queue.seal", "store.commit", "queue.committed", "relay.committed", "smtp.reply", "relay.start", "queue.lease", "relay.attempt", "queue.settle",
    "queue.settled", "queue.tidy", "relay.tidy", "web.accept", "web.page", "web.act", "control.converse", "control.verb", "gateway.reload",
    "gateway.sweep", "gateway.clock", "monitor.metrics", "monitor.ask",
]  # fmt: skip
# Parts that serve everybody or work in the background: whoever goes on without one does not notice, so all starts anew.
PARTS = {"smtp.accept", "relay.start", "relay.tidy", "web.accept", "control.converse", "gateway.sweep", "gateway.clock"}
# Seconds after which the unit has a service started again that failed.
RESTART = 1


class Service:
    """A gateway in the hands of a service manager: one that fails is started again."""

    def __init__(self, gateway, place):
        self.gateway, self.over, self.starts = gateway, threading.Event(), 0
        self.start({**os.environ, "WAXSEAL_FAILPOINT": place})
        self.watch = threading.Thread(target=self.keep)
        self.watch.start()

    def start(self, environment):
        with open(self.gateway.directory / "log", "ab") as log:
            self.gateway.process = subprocess.Popen(self.gateway.serve(), stdout=log, stderr=log, env=environment)
        self.starts += 1

    def keep(self):
        while not self.over.wait(0.01):
            if self.gateway.process.poll() is not None:
                time.sleep(RESTART)
                self.start(None)

    def end(self):
        self.over.set()
        self.watch.join()
        return self.gateway.stop()


class Sender(Client):
    """Says how long it waited for its replies at most; every third mail leaves as a link."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.longest, self.turn, self.secured = 0.0, itertools.count(), set()

    def send(self, connection, message_id, octets):
        began = time.monotonic()
        try:
            if next(self.turn) % 3 == 2:
                to = f"{message_id[1:9]}@elsewhere.example"
                connection.sendmail(ANN, [to], mail(NUMBER + text(500), to)[1])
                self.secured.add(to)
            super().send(connection, message_id, octets)
        finally:
            self.longest = max(self.longest, time.monotonic() - began)
        time.sleep(0.02)


def provoke(gateway, link):
    """What a recipient and an operator do."""
    with contextlib.suppress(OSError, SystemExit, urllib.error.URLError):
        Recipient().get(f"{gateway.base_url}/")
    with contextlib.suppress(OSError, SystemExit, urllib.error.URLError):
        Recipient().get(link)
    for path in ("/metrics", "/"):
        with contextlib.suppress(OSError, urllib.error.URLError):
            Recipient().get(f"http://127.0.0.1:{gateway.admin}{path}")
    for verb in (["queue", "list"], ["reload"]):
        gateway.run(*verb)
    gateway.retry()


def serves(gateway):
    """Whether everybody is: client, recipient, operator, monitor."""
    with contextlib.suppress(OSError, smtplib.SMTPException, urllib.error.URLError), connected(gateway) as client:
        pages = [f"{gateway.base_url}/", f"http://127.0.0.1:{gateway.admin}/metrics"]
        return give(client, 500).startswith("250") and all(Recipient().get(page).status == 200 for page in pages) and gateway.run("queue", "list").returncode == 0
    return False


def panic(place, name):
    """One place."""
    sink = Sink(keep=fingerprint_or_link, answer=moody())
    gateway = place.gateway(sink.port)
    service = Service(gateway, name)
    ledger, stop = Ledger(), threading.Event()
    senders = [Sender(gateway.smtp, ledger, stop) for _ in range(4)]
    for sender in senders:
        sender.start()
    end = time.monotonic() + 15
    while 'place="panic"' not in gateway.log() and time.monotonic() < end:
        provoke(gateway, f"{gateway.base_url}/m/{'a' * 32}")
    hit, began = 'place="panic"' in gateway.log(), time.monotonic()
    while not serves(gateway) and time.monotonic() - began < 10:
        time.sleep(0.02)
    took = time.monotonic() - began
    time.sleep(0.5)
    stop.set()
    for sender in senders:
        sender.join(timeout=40)
    sink.answer = lambda verb, line: None
    secured = set().union(*(sender.secured for sender in senders))
    waiting, balance, links = drain(gateway, sink, ledger, secured)
    code = service.end()
    longest = max(sender.longest for sender in senders)
    lost = len(balance.lost) + len(balance.corrupted) + len(secured - links)
    restarted = service.starts > 1
    claim(f"D29 a panic at {name}: all are served within 2 s, nothing lost, nothing stuck, nobody left waiting",
          hit and (restarted or name not in PARTS) and took <= 2 and balance.holds() and lost == 0 and waiting == 0 and longest < 5 and code == 0,
          f"{'started again' if restarted else 'served on'}, {took:.1f} s, {balance}, {len(secured)} links, {waiting} wait, longest reply {longest:.1f} s, ended with {code}"
          + ("" if hit else ", never reached"))
    if not hit or waiting or lost:
        print(gateway.log()[-3000:])
    sink.close()


def moody():
    """Half of the mail is put off, and now and then nothing is taken at all, so that the queue has its part."""
    turns = itertools.count()

    def answer(verb, _):
        turn = next(turns)
        if verb == "MAIL" and turn % 5 == 0:
            return b"421 4.3.2 away\r\n"
        return b"451 4.7.1 later\r\n" if verb == "RCPT" and turn % 2 else None

    return answer


def fingerprint_or_link(to, octets):
    return (to[0], None, None) if to[0].endswith("@elsewhere.example") else fingerprint(to, octets)


def drain(gateway, sink, ledger, secured, seconds=20):
    """What still waits when all should have left, and what came."""
    end = time.monotonic() + seconds
    while True:
        gateway.retry()
        time.sleep(0.2)
        waiting, taken = listed(gateway), sink.taken()
        balance = Balance(ledger.before(), [copy for copy in taken if copy[1] is not None])
        links = {to for to, digest, _ in taken if digest is None}
        if (waiting == 0 and not balance.lost and secured <= links) or time.monotonic() > end:
            return waiting, balance, links


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=PLACES, action="append")
    arguments = parser.parse_args()
    check({name: lambda place, name=name: panic(place, name) for name in PLACES}, arguments.only, lambda: Place(arguments.program))


if __name__ == "__main__":
    main()
