"""Clients that write down which messages were acknowledged, and what became of those.

A message is in the ledger from the moment its 250 was read. One that met an error or a closed connection is sent again,
as a mail server does it, and the ledger has how often: it may have been taken the time before.
"""

import hashlib
import pathlib
import random
import smtplib
import sys
import threading
import time
import uuid

# The gateway, the next hop and the recipient are the same for all tests with a real program.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))

WORDS = "alder birch cedar damson elder fir gorse hazel iris juniper kale larch maple nettle oak pine quince rowan sorrel thyme".split()
# Octets of a body: inside a record, around its border, in a blob.
SIZES = [500, 2_000, 8_000, 66_000, 200_000]
WEIGHTS = [8, 8, 8, 1, 1]
# Seconds without any arrival after which what is missing counts as lost.
PATIENCE = 90


class Ledger:
    """What was acknowledged, by all connections: Message-ID, SHA-256 of the body, and when; and how often a message was sent again."""

    def __init__(self):
        self.acknowledged, self.again = {}, {}
        self.lock = threading.Lock()

    def enter(self, message_id, digest):
        with self.lock:
            self.acknowledged[message_id] = (digest, time.monotonic())

    def repeat(self, message_id):
        with self.lock:
            self.again[message_id] = self.again.get(message_id, 0) + 1

    def before(self, moment=float("inf")):
        """Digest by Message-ID of what was acknowledged before then."""
        with self.lock:
            return {message_id: digest for message_id, (digest, at) in self.acknowledged.items() if at < moment}


class Client(threading.Thread):
    """One connection that sends until it is told to stop, and comes back when the gateway does."""

    def __init__(self, port, ledger, stop, to="bob@example.net"):
        super().__init__(daemon=True)
        self.port, self.ledger, self.stop, self.to = port, ledger, stop, to

    def run(self):
        unsettled = None
        while not self.stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example.org", timeout=30) as connection:
                    while not self.stop.is_set():
                        if unsettled:
                            self.ledger.repeat(unsettled[0])
                        unsettled = unsettled or mail(text(random.choices(SIZES, WEIGHTS)[0]), self.to)
                        self.send(connection, *unsettled)
                        unsettled = None
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)  # The gateway is away or just went.

    def send(self, connection, message_id, octets):
        connection.sendmail("ann@example.org", [self.to], octets)
        self.ledger.enter(message_id, hashlib.sha256(octets.partition(b"\r\n\r\n")[2]).hexdigest())


def mail(body, to="bob@example.net", author="ann@example.org"):
    """A message that no policy touches, with its Message-ID."""
    message_id = f"<{uuid.uuid4()}@example.org>"
    header = (
        f"From: {author}\r\nTo: {to}\r\nSubject: trees\r\n"
        f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: {message_id}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    return message_id, (header + body).encode()


def text(size):
    """Words that no rule looks for; some lines begin with a dot."""
    lines, length = [], 0
    while length < size:
        line = ("." if random.random() < 0.05 else "") + " ".join(random.choices(WORDS, k=9)) + "\r\n"
        lines.append(line)
        length += len(line)
    return "".join(lines)


def fingerprint(_, octets):
    """What a sink remembers of a message: Message-ID, SHA-256 of the body, and by which connection it came."""
    header, _, body = octets.partition(b"\r\n\r\n")
    found = [line.split(b":", 1)[1].strip().decode() for line in header.split(b"\r\n") if line.lower().startswith(b"message-id:")]
    # A sink has a thread for each connection, and no two of them have one name.
    return found[0] if found else None, hashlib.sha256(body).hexdigest(), threading.current_thread().name


class Load:
    """So many clients at once, until `end`."""

    def __init__(self, port, connections=8, to="bob@example.net"):
        self.ledger, self.stop = Ledger(), threading.Event()
        self.clients = [Client(port, self.ledger, self.stop, to) for _ in range(connections)]
        for client in self.clients:
            client.start()

    def end(self):
        self.stop.set()
        for client in self.clients:
            client.join(timeout=60)
        return self.ledger


class Balance:
    """What was promised against what a sink of fingerprints took."""

    def __init__(self, promised, taken):
        self.copies = {}
        for message_id, digest, connection in taken:
            self.copies.setdefault(message_id, []).append((digest, connection))
        self.promised = promised
        self.lost = [message_id for message_id in promised if message_id not in self.copies]
        self.corrupted = [
            message_id for message_id, digest in promised.items() if any(seen != digest for seen, _ in self.copies.get(message_id, ()))
        ]
        self.duplicates = sum(len(seen) - 1 for seen in self.copies.values())

    def worst(self, again):
        """The most messages that one connection to the next hop took and that came once more, although no client had sent
        them once more. A connection lives no longer than its gateway: one is what a kill may cost it."""
        doubled = {}
        for message_id, seen in self.copies.items():
            # A client that heard nothing sends again: a message that it sent twice may be there twice.
            for _, connection in seen[: max(0, len(seen) - 1 - again.get(message_id, 0))]:
                doubled[connection] = doubled.get(connection, 0) + 1
        return max(doubled.values(), default=0)

    def holds(self):
        return bool(self.promised) and not self.lost and not self.corrupted

    def __str__(self):
        return f"acked {len(self.promised)}  lost {len(self.lost)}  corrupted {len(self.corrupted)}  duplicates {self.duplicates}"


def settle(promised, sink, patience=PATIENCE):
    """The balance once everything promised has arrived, or nothing arrives any more."""
    count, since = -1, time.monotonic()
    while True:
        taken = sink.taken()
        balance = Balance(promised, taken)
        if not balance.lost or time.monotonic() - since > patience:
            return balance
        if len(taken) != count:
            count, since = len(taken), time.monotonic()
        time.sleep(0.2)
