#!/usr/bin/env python3
"""D2: one message's whole life, from its first octet to the last trace of it that goes, with SIGKILL at each of the calls
that change a file. What was acknowledged arrives, whole; what was not arrives once at most, and whole. Needs cc.

    tests/faults/sweep.py --program target/debug/waxseal [--every 5] [--only secured]
"""

import argparse
import contextlib
import mmap
import os
import pathlib
import shutil
import smtplib
import struct
import subprocess
import time

from claims import check, claim
from disks import ANN, BOB, DAVE, NUMBER, links, password
from ledger import fingerprint, mail, text
from quick import Place, connected, listed

from gateway import free_port
from recipient import Recipient
from sink import Sink, whole

HERE = pathlib.Path(__file__).parent


class Stopper:
    """What counts a gateway's calls, and kills it at one of them."""

    def __init__(self, folder):
        self.library, path = f"{folder}/stopper.so", f"{folder}/stopper"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, HERE / "stopper.c"], check=True)
        pathlib.Path(path).write_bytes(bytes(4096))
        self.run = ["env", f"STOPPER={path}", f"LD_PRELOAD={self.library}"]
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 4096)

    def arm(self, call):
        """At so many calls from now; 0 is never."""
        self.shared[:] = struct.pack("ii", call, 0) + bytes(4088)

    def calls(self):
        """A letter for each call since."""
        made = struct.unpack_from("ii", self.shared)[1]
        return self.shared[8: 8 + made].decode()


class Life:
    """A message, a gateway that has never seen one, and a next hop that comes when the message is there."""

    def __init__(self, place, body, to):
        self.stopper, self.to, self.hop = Stopper(place.path), to, free_port()
        self.message_id, self.octets = mail(body, to)
        self.gateway = place.gateway(self.hop).start()
        self.gateway.stop()
        self.long_ago = time.time() - 2 * 3600
        self.data, self.fresh = self.gateway.directory / "data", self.gateway.directory / "fresh"
        self.data.rename(self.fresh)

    def send(self):
        """Whether it was acknowledged."""
        with contextlib.suppress(smtplib.SMTPException, OSError), connected(self.gateway) as client:
            client.sendmail(ANN, [self.to], self.octets)
            return True
        return False

    def live(self, call):
        """Its life with a kill at that call: whether it was acknowledged, what came, the calls, and whether it was killed. The
        gateway runs again afterwards."""
        self.stopper.arm(0)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(self.fresh, self.data, ignore=shutil.ignore_patterns("*.sock"))
        self.gateway.start(*self.stopper.run)
        # One that goes before finds stocks empty that last for the next two hundred.
        self.send()
        self.gateway.run("queue", "drop", *self.gateway.waiting())
        self.stopper.arm(call)
        promised = self.send()
        sink = Sink(self.hop, keep=whole)
        if promised:
            self.drain()
        # Whoever ends takes away first what is done with.
        killed = self.gateway.stop() != 0
        for path in spooled(self.gateway):
            os.utime(path, (self.long_ago, self.long_ago))  # Too old to be just about to be named by an entry.
        self.gateway.start()
        self.drain()
        return promised, sink, killed

    def end(self, sink):
        """What is left in the spool of a life that is over."""
        end = time.monotonic() + 5
        while spooled(self.gateway) and time.monotonic() < end:
            time.sleep(0.1)
        self.gateway.stop()
        sink.close()
        return [path.name for path in spooled(self.gateway)]

    def drain(self):
        """Until the queue is empty, or its gateway gone."""
        end = time.monotonic() + 20
        while self.gateway.process.poll() is None and time.monotonic() < end:
            if "0 in the queue" in self.gateway.run("queue", "list").stdout:
                return
            self.gateway.retry()
            time.sleep(0.05)


def spooled(gateway):
    """Files in the spool."""
    return [path for path in (gateway.directory / "data/spool").rglob("*") if path.is_file()]


def swept(place, what, body, to, is_whole):
    """Every N, or some of them; `is_whole(gateway, sink)` tells whether what came is what was sent."""
    life = Life(place, body, to)
    promised, sink, killed = life.live(0)
    calls = life.stopper.calls()
    claim(f"D2 {what}: a life without a kill", promised and not killed and is_whole(life, sink), f"{len(calls)} calls: {calls}")
    life.end(sink)
    kills, kept, wrong = 0, 0, []
    for call in range(place.every, len(calls) + 1, place.every):
        promised, sink, killed = life.live(call)
        came = [recipients for recipients, _ in sink.taken() if recipients == [to]]
        least, most = (1, 2) if promised else (0, 1)
        right = least <= len(came) <= most and (not came or is_whole(life, sink)) and listed(life.gateway) == 0
        rest = life.end(sink)
        if not right or rest:
            wrong.append((call, calls[call - 1], f"{promised=}, {len(came)} came", rest))
        kills, kept = kills + killed, kept + promised
    # What is tidied in the background is so at another time in each life.
    claim(f"D2 {what}: killed at each, nothing is lost, nothing half there, nothing left", not wrong and kills >= 0.8 * (len(calls) // place.every) > 0,
          f"{kills} kills, {kept} of them after the 250" + (f", wrong: {wrong}" if wrong else ""))


def plain(place):
    """As it came."""
    same = lambda life, sink: all(fingerprint(None, octets)[:2] == fingerprint(None, life.octets)[:2] for _, octets in sink.taken())
    swept(place, "a message in a record", text(2_000), BOB, same)


def large(place):
    """As it came, with a file of its own in the spool."""
    same = lambda life, sink: all(fingerprint(None, octets)[:2] == fingerprint(None, life.octets)[:2] for _, octets in sink.taken())
    swept(place, "a message in a blob", text(200_000), BOB, same)


def secured(place):
    """A link, which opens, and never in the clear."""
    def opens(life, sink):
        taken = sink.taken()
        if any(b"850709-9805" in octets for _, octets in taken):
            return False
        reader = Recipient().enter(links(sink, DAVE)[0], DAVE, lambda: password(sink, DAVE, len(taken)))
        return reader.status == 200 and "850709-9805" in reader.page

    swept(place, "a secured message", NUMBER + text(200_000), DAVE, opens)


CLAIMS = {"plain": plain, "large": large, "secured": secured}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=CLAIMS, action="append")
    parser.add_argument("--every", type=int, default=1, help="1: at each call; 5: at each fifth")
    arguments = parser.parse_args()

    def place():
        made = Place(arguments.program)
        made.every = arguments.every
        return made

    check(CLAIMS, arguments.only, place)


if __name__ == "__main__":
    main()
