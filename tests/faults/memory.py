"""Twenty large messages at once, their files into the vault and out again: bounded memory, right checksums."""

import argparse
import base64
import concurrent.futures
import email
import email.policy
import hashlib
import pathlib
import random
import re
import socket
import threading
import time

import ledger  # noqa: F401  The peers are found by it.

from gateway import Gateway, ending, workplace
from recipient import Recipient
from sink import Sink

HEADER = """From: Emma <emma@example.org>\r
To: {to}\r
Subject: number {number}\r
Message-ID: <{number}@example.org>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
A large file.\r
--b\r
Content-Type: application/octet-stream; name="large-{number}.bin"\r
Content-Disposition: attachment; filename="large-{number}.bin"\r
Content-Transfer-Encoding: base64\r
\r
"""


def content(number, octets):
    """The same random octets each time they are asked for, in pieces whose base64 needs no padding in between."""
    source = random.Random(number)
    while octets > 0:
        piece = source.randbytes(min(octets, 57 * 1024))
        octets -= len(piece)
        yield piece


def send(port, number, octets):
    to = f"r{number}@mail.example"
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as read:
        def say(line, expect):
            client.sendall(line)
            while True:
                reply = read.readline()
                if reply[3:4] != b"-":
                    break
            if not reply.startswith(expect):
                raise SystemExit(f"number {number}: {reply!r}")
            return reply
        say(b"", b"220")
        say(b"EHLO client\r\n", b"250")
        say(b"MAIL FROM:<emma@example.org>\r\n", b"250")
        say(f"RCPT TO:<{to}>\r\n".encode(), b"250")
        say(b"DATA\r\n", b"354")
        client.sendall(HEADER.format(to=to, number=number).encode())
        for piece in content(number, octets):
            client.sendall(base64.encodebytes(piece).replace(b"\n", b"\r\n"))
        return say(b"--b--\r\n.\r\n", b"")


class Peak(threading.Thread):
    """The most that the gateway and its workers held together, in MiB, looked at twenty times a second."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.seen, self.done = process, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.05):
            # A worker is the child of whichever thread started it.
            lists = [read(path) for path in pathlib.Path(f"/proc/{self.process}/task").glob("*/children")]
            workers = [pid for text in lists for pid in text.split()]
            self.seen = max(self.seen, sum(kilobytes(pid, "VmRSS") for pid in [self.process, *workers]))

    def end(self):
        self.done.set()
        self.join()
        return max(self.seen, kilobytes(self.process, "VmHWM")) / 1024


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""  # It ended meanwhile.


def kilobytes(pid, what):
    found = re.search(rf"{what}:\s+(\d+)", read(f"/proc/{pid}/status"))
    return int(found.group(1)) if found else 0


def text_of(octets):
    message = email.message_from_bytes(octets, policy=email.policy.default)
    return message.get_body(("plain",)).get_content()


def fetch(sink, to, mail, octets):
    """Whether what the recipient gets by the link is what was sent."""
    link = re.search(r"http://\S+/m/[a-z2-7]{32}", text_of(mail)).group()
    before = len(sink.messages)
    recipient = Recipient()
    recipient.enter(link, to, lambda: text_of(sink.wait_for(lambda messages: len(messages) > before)[-1][1]))
    digest, length = recipient.download(recipient.items()[0])
    wanted = hashlib.sha256()
    for piece in content(int(re.match(r"r(\d+)@", to).group(1)), octets):
        wanted.update(piece)
    return digest == wanted.hexdigest() and length == octets


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--messages", type=int, default=20)
    arguments.add_argument("--megabytes", type=int, default=50, help="on the wire")
    arguments.add_argument("--limit", type=int, default=512, help="MiB of peak resident memory")
    arguments = arguments.parse_args()
    octets = arguments.megabytes * 1_000_000 * 57 // 78
    place = workplace()
    sink = Sink()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{sink.port}").start()
    with ending(gateway, place):
        began, peak = time.monotonic(), Peak(gateway.process.pid)
        with concurrent.futures.ThreadPoolExecutor(arguments.messages) as clients:
            sent = list(clients.map(lambda number: send(gateway.smtp, number, octets), range(arguments.messages)))
        taken = time.monotonic()
        arrived = sink.wait_for(lambda messages: len(messages) >= arguments.messages)
        right = sum(fetch(sink, to[0], mail, octets) for to, mail in arrived[:arguments.messages])
        used, read_at = peak.end(), time.monotonic()
        refused = [reply for reply in sent if not reply.startswith(b"250")]
        print(f"{arguments.messages} messages of {arguments.megabytes} MB at once: peak {used:.0f} MiB (limit {arguments.limit}), "
              f"{right} of {arguments.messages} checksums right, taken in {taken - began:.0f} s, read in {read_at - taken:.0f} s")
        if refused or right != arguments.messages or used > arguments.limit:
            raise SystemExit(f"refused: {refused}")


if __name__ == "__main__":
    main()
