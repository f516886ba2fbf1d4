#!/usr/bin/env python3
"""C2: the raw image of the disk on which the gateway ran says nothing of anybody's mail: not in its files, and not in what
was deleted, renamed or never had a name. Needs root, for its loop mount.

    tests/faults/stolen.py --program target/debug/waxseal
"""

import argparse
import base64
import mmap
import os
import secrets
import shutil
import smtplib
import subprocess
import sys

from powercut import mounted

from gateway import Gateway, free_port, workplace
from sink import Sink

# Octets of the file in each message: inside a record, in a blob of its own, more than is held in memory on the way in.
SIZES = [500, 200_000, 20_000_000]
# Octets of it.
DISK = 200 << 20
PLACES = ["sender", "recipient", "author", "subject", "body", "file-name", "file"]


def canaries():
    return {place: f"canary{secrets.token_hex(9)}" for place in PLACES}


def message(of, size):
    filling = (f"{of['file']} " + secrets.token_hex(500) + "\r\n").encode()
    file = base64.encodebytes((filling * (size // len(filling) + 1))[: max(size, len(filling))]).replace(b"\n", b"\r\n")
    return (
        f"From: {of['author']} <{of['sender']}@example.org>\r\nTo: {of['recipient']}@elsewhere.example\r\nSubject: {of['subject']}\r\n"
        f"Message-ID: <{secrets.token_hex(8)}@example.org>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=frontier\r\n\r\n--frontier\r\nContent-Type: text/plain\r\n\r\n"
        f"[secure] {of['body']}\r\n--frontier\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment; filename=\"{of['file-name']}.bin\"\r\n\r\n").encode() + file + b"--frontier--\r\n"


def spellings(word):
    """As it is, in UTF-16, and in base64 wherever it begins in a group."""
    yield word.encode()
    yield word.encode("utf-16-le")
    for phase in range(3):
        # Letters at both ends depend on their neighbours.
        yield base64.b64encode(b"\0" * phase + word.encode())[4 if phase else 0: -4]


def found(image, words):
    """Which of the words stand somewhere in the image, by place."""
    with open(image, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        return sorted({place for place, word in words for spelling in spellings(word) if octets.find(spelling) >= 0})


def live(program, folder):
    """Mails that wait, leave and are refused; then a stop."""
    hop, sent = free_port(), []
    gateway = Gateway(program, f"{folder}/gateway", f"127.0.0.1:{hop}", extra='\n[log]\nlevel = "debug"\n').start()
    try:
        for size in SIZES:
            of = canaries()
            with smtplib.SMTP("127.0.0.1", gateway.smtp, timeout=120) as client:
                client.sendmail(f"{of['sender']}@example.org", [f"{of['recipient']}@elsewhere.example"], message(of, size))
            sent.append(of)
        waited = len(gateway.waiting())
        sink = Sink(hop)
        gateway.retry()
        sink.wait_for(lambda messages: len(messages) >= len(SIZES), 60)
        sink.close()
    finally:
        gateway.stop()
    return waited, [word for of in sent for word in of.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    place = workplace()
    image, folder, control = f"{place}/disk", f"{place}/mounted", canaries()["body"]
    try:
        with open(image, "wb") as file:
            file.truncate(DISK)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        with mounted(image, folder):
            with open(f"{folder}/deleted", "w") as file:
                file.write(control)
                file.flush()
                os.fsync(file.fileno())
            os.unlink(f"{folder}/deleted")
            waited, words = live(arguments.program, folder)
        hits, seen = found(image, words), found(image, [("control", control)])
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(f"C2 {len(words)} canaries of {waited} mails that waited and left, in {DISK >> 20} MiB of raw disk: found {hits or 0}; "
          f"the control, deleted before: {'found' if seen else 'NOT FOUND'}")
    sys.exit(0 if waited == len(SIZES) and not hits and seen else 1)


if __name__ == "__main__":
    main()
