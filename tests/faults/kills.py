#!/usr/bin/env python3
"""Kills a gateway under load, again and again, and asks the next hop what arrived.

    tests/faults/kills.py --kills 50 --program target/debug/waxseal

Passes when of all acknowledged messages none is lost and none is changed, and there is at most one
duplicate for each kill and each connection to the next hop.
"""

import argparse
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from ledger import Client, Ledger
from sink import Sink

# Connections to the next hop that the gateway has at once, by its default.
RELAY_CONNECTIONS = 20
# Seconds without any arrival after which what is missing counts as lost.
PATIENCE = 90


class Gateway:
    """The program under test; every command line that is used stands here."""

    def __init__(self, program, directory, next_hop):
        self.program, self.directory = program, directory
        self.smtp, web = free_port(), free_port()
        self.log = open(directory / "gateway.log", "ab")
        self.process = None
        self.run(
            "init", "--directory", str(directory / "waxseal"), "--domain", "example.org", "--hostname", "mail.example.org",
            "--next-hop", f"127.0.0.1:{next_hop}", "--smtp", f"127.0.0.1:{self.smtp}", "--web", f"127.0.0.1:{web}", "--yes",
        )  # fmt: skip

    def run(self, *arguments):
        subprocess.run([self.program, *arguments], check=True, stdout=self.log, stderr=self.log)

    def start(self):
        config = str(self.directory / "waxseal" / "waxseal.toml")
        self.process = subprocess.Popen([self.program, "serve", "--config", config], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.smtp), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"the gateway ended with {self.process.returncode}; see {self.log.name}")
                if time.monotonic() > deadline:
                    sys.exit(f"the gateway does not answer; see {self.log.name}")
                time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """As an operator would; 30 s is what a stop may take."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=35)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def drain(ledger, sink):
    """Waits until everything acknowledged has arrived, or nothing arrives any more."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < PATIENCE:
        if all(sink.copies(message_id) for message_id in ledger.entries()):
            return
        if sink.count() != last:
            last, since = sink.count(), time.monotonic()
        time.sleep(0.2)


def verdict(ledger, sink, kills):
    entries = ledger.entries()
    copies = {message_id: sink.copies(message_id) for message_id in entries}
    lost = [message_id for message_id, seen in copies.items() if not seen]
    corrupted = [message_id for message_id, seen in copies.items() if any(digest != entries[message_id] for digest in seen)]
    with sink.lock:
        duplicates = sum(len(seen) - 1 for seen in sink.taken.values())
    allowed = kills * RELAY_CONNECTIONS
    print(f"kills {kills}  acked {len(entries)}  lost {len(lost)}  corrupted {len(corrupted)}  duplicates {duplicates} (of {allowed} allowed)")
    for message_id in (lost + corrupted)[:10]:
        print("  ", message_id)
    return bool(entries) and not lost and not corrupted and duplicates <= allowed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="waxseal-kills-") as directory:
        sink, ledger, stop = Sink(pause=0.02), Ledger(), threading.Event()
        gateway = Gateway(arguments.program.resolve(), pathlib.Path(directory), sink.port)
        gateway.start()
        clients = [Client(gateway.smtp, ledger, stop) for _ in range(arguments.connections)]
        for client in clients:
            client.start()
        for _ in range(arguments.kills):
            time.sleep(moments.uniform(0.05, 1.5))
            gateway.kill()
            gateway.start()
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join(timeout=60)
        drain(ledger, sink)
        passed = verdict(ledger, sink, arguments.kills)
        gateway.end()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
