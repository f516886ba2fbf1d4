"""Clients that write down which messages were acknowledged: Message-ID and SHA-256 of the body.

A message is in the ledger from the moment its 250 was read; one that met an error or a closed
connection is not, whether it was taken or not.
"""

import hashlib
import random
import smtplib
import threading
import time
import uuid

WORDS = "alder birch cedar damson elder fir gorse hazel iris juniper kale larch maple nettle oak pine quince rowan sorrel thyme".split()
# Octets of a body: inside a record, around its border, in a blob.
SIZES = [500, 2_000, 8_000, 66_000, 200_000]
WEIGHTS = [8, 8, 8, 1, 1]


class Ledger:
    """What was acknowledged, by all connections."""

    def __init__(self):
        self.acknowledged = {}
        self.lock = threading.Lock()

    def enter(self, message_id, digest):
        with self.lock:
            self.acknowledged[message_id] = digest

    def entries(self):
        with self.lock:
            return dict(self.acknowledged)


class Client(threading.Thread):
    """One connection that sends until it is told to stop, and comes back when the gateway does."""

    def __init__(self, port, ledger, stop):
        super().__init__(daemon=True)
        self.port, self.ledger, self.stop = port, ledger, stop

    def run(self):
        while not self.stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example.org", timeout=30) as connection:
                    while not self.stop.is_set():
                        self.send(connection)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)  # The gateway is away or just went.

    def send(self, connection):
        message_id = f"<{uuid.uuid4()}@example.org>"
        body = text(random.choices(SIZES, WEIGHTS)[0])
        header = (
            "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: trees\r\n"
            f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: {message_id}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        )
        connection.sendmail("ann@example.org", ["bob@example.net"], (header + body).encode())
        self.ledger.enter(message_id, hashlib.sha256(body.encode()).hexdigest())


def text(size):
    """Words that no rule looks for; some lines begin with a dot."""
    lines, length = [], 0
    while length < size:
        line = ("." if random.random() < 0.05 else "") + " ".join(random.choices(WORDS, k=9)) + "\r\n"
        lines.append(line)
        length += len(line)
    return "".join(lines)
