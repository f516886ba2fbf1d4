"""Twenty large messages at once, their files into the vault and out again: bounded memory, right checksums."""

import argparse
import base64
import email
import email.policy
import hashlib
import os
import pathlib
import random
import re
import shutil
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from gateway import Gateway, workplace  # noqa: E402
from recipient import Recipient  # noqa: E402
from sink import Sink  # noqa: E402

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
        say(b"", b"220")
        say(b"EHLO client\r\n", b"250")
        say(b"MAIL FROM:<emma@example.org>\r\n", b"250")
        say(f"RCPT TO:<{to}>\r\n".encode(), b"250")
        say(b"DATA\r\n", b"354")
        client.sendall(HEADER.format(to=to, number=number).encode())
        for piece in content(number, octets):
            client.sendall(base64.encodebytes(piece).replace(b"\n", b"\r\n"))
        say(b"--b--\r\n.\r\n", b"250")


def peak(process):
    """Peak resident memory of the gateway and of its workers together, in MiB."""
    total, children = 0, pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for pid in [str(process), *children]:
        try:
            total += int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


def text_of(octets):
    message = email.message_from_bytes(octets, policy=email.policy.default)
    return message.get_body(("plain",)).get_content()


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
    try:
        threads = [threading.Thread(target=send, args=(gateway.smtp, number, octets)) for number in range(arguments.messages)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        arrived = sink.wait_for(lambda messages: len(messages) >= arguments.messages)
        right = 0
        for to, mail in arrived[:arguments.messages]:
            number = int(re.match(r"r(\d+)@", to[0]).group(1))
            link = re.search(r"http://\S+/m/[a-z2-7]{32}", text_of(mail)).group()
            before = len(sink.messages)
            recipient = Recipient()
            recipient.enter(link, to[0], lambda: text_of(sink.wait_for(lambda messages: len(messages) > before)[-1][1]))
            digest, length = recipient.download(recipient.items()[0])
            wanted = hashlib.sha256()
            for piece in content(number, octets):
                wanted.update(piece)
            right += digest == wanted.hexdigest() and length == octets
        used = peak(gateway.process.pid)
        print(f"{arguments.messages} messages of {arguments.megabytes} MB at once: peak {used:.0f} MiB (limit {arguments.limit}), "
              f"{right} of {arguments.messages} checksums right")
        if right != arguments.messages or used > arguments.limit:
            raise SystemExit(1)
    except BaseException:
        sys.stderr.write(gateway.log()[-4000:])
        raise
    finally:
        gateway.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
