"""Verifies every DKIM signature of the messages in a folder against records in a file."""

import pathlib
import sys

import dkim

RECORDS = dict(line.split("\t", 1) for line in pathlib.Path(sys.argv[2]).read_text().splitlines())


def record(name, timeout=5):
    return RECORDS.get(name.decode().rstrip("."))


for path in sorted(pathlib.Path(sys.argv[1]).glob("*.eml")):
    octets = path.read_bytes()
    count = octets.count(b"DKIM-Signature: v=1; a=rsa-sha256; c=") + octets.count(b"DKIM-Signature: v=1; a=ed25519-sha256; c=")
    for index in range(count):
        try:
            passed = dkim.DKIM(octets, minkey=2048).verify(idx=index, dnsfunc=record)
        except dkim.DKIMException:
            passed = False
        print(path.stem, index, "pass" if passed else "fail")
