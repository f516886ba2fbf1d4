#!/usr/bin/env python3
"""D9: one disk of several is full. What needs it is put off, what does not goes on, and nothing that was promised is lost.
One line a claim. Needs Linux and root (or user namespaces, in which it runs itself).

    tests/faults/disks.py --program target/debug/waxseal [--only log]
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

from claims import claim, run
from ledger import fingerprint, mail, text
from memory import text_of
from quick import ANN, BOB, Place, connected, fill, give, listed

from gateway import free_port
from recipient import Recipient
from sink import Sink, whole

DAVE = "dave@elsewhere.example"
# Found by the rules that `init` writes, so what says it leaves as a link.
NUMBER = "The personal number is 850709-9805.\r\n"


def mounted(place, folder, megabytes):
    """A small disk in the place of a folder, with what lay there."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", folder], check=True)
    place.mounts.append(str(folder))
    shutil.copytree(aside, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    shutil.rmtree(aside)
    return folder


def on_small_disk(place, part, hop, megabytes=32):
    """A gateway whose data, or a part of them, lie on a small disk; and that disk."""
    gateway = place.gateway(hop).start()
    gateway.stop()
    disk = mounted(place, gateway.directory / part, megabytes)
    # What is asked for room before a message is taken must not be what this is about.
    gateway.set("store", reserve=0)
    return gateway.start(), disk


def transact(client, body, to):
    """One transaction: its Message-ID, the reply to its dot, and what was sent."""
    message_id, octets = mail(body, to)
    client.mail(ANN)
    client.rcpt(to)
    code, words = client.data(octets)
    return message_id, f"{code} {words.decode()}", octets


def arrives(gateway, sink, promised):
    """Which of the plain messages that were promised do not come whole."""
    end = time.monotonic() + 30
    while True:
        taken = {fingerprint(None, octets)[:2] for _, octets in sink.taken()}
        missing = [message_id for message_id, octets in promised.items() if fingerprint(None, octets)[:2] not in taken]
        if not missing or time.monotonic() > end:
            return missing
        gateway.retry()
        time.sleep(0.5)


def links(sink, to):
    """The links that somebody got, oldest first."""
    bodies = [text_of(octets) for recipients, octets in sink.taken() if recipients == [to]]
    return [found.group() for found in (re.search(r"http://\S+/m/[a-z2-7]{32}", body) for body in bodies) if found]


def password(sink, to, before):
    """The text of the first mail to somebody after so many."""
    mine = lambda messages: [octets for recipients, octets in messages if recipients == [to]]
    return text_of(mine(sink.wait_for(lambda messages: len(mine(messages)) > before, 20))[before])


def spool(place):
    """The spool's disk is full, that of the records and parcels is not."""
    hop = free_port()
    gateway, disk = on_small_disk(place, "data/spool", hop)
    promised = {}
    with connected(gateway) as client:
        message_id, early, octets = transact(client, text(200_000), BOB)
        promised[message_id] = octets
        fill(disk, 0)
        large = [transact(client, text(200_000), BOB) for _ in range(3)]
        small = [transact(client, text(2_000), BOB) for _ in range(3)]
        secured = transact(client, NUMBER + text(2_000), DAVE)
    promised |= {message_id: octets for message_id, reply, octets in small if reply.startswith("250")}
    claim("D9 the spool is full: what needs room there is put off", early.startswith("250") and all(re.match("45[12] ", reply) for _, reply, _ in large), large[0][1])
    claim("D9 and what needs none is taken", len(promised) == 4 and secured[1].startswith("250"), f"{small[0][1]}, secured {secured[1]}")
    (disk / "filler").unlink()
    with connected(gateway) as client:
        message_id, late, octets = transact(client, text(200_000), BOB)
    promised[message_id] = octets
    claim("D9 with room again all is taken", late.startswith("250"), late)
    sink = Sink(hop, keep=whole)
    missing = arrives(gateway, sink, promised)
    claim("D9 of the full spool's mail none is lost", not missing and len(links(sink, DAVE)) == 1, f"{len(promised)} promised, {len(missing)} lost")
    claim("D9 and what was refused is not there", listed(gateway) == 0 and len(sink.taken()) == len(promised) + 1, f"{len(sink.taken())} arrived")
    sink.close()


def parcels(place):
    """The parcels' disk is full, that of the records and the spool is not."""
    sink = Sink()
    gateway, disk = on_small_disk(place, "data/parcels", sink.port)
    with connected(gateway) as client:
        transact(client, NUMBER + text(200_000), DAVE)
        sink.wait_for(lambda messages: len(messages) >= 1, 30)
        fill(disk, 0)
        refused = [transact(client, NUMBER + text(200_000), DAVE)[1] for _ in range(3)]
        plain = [transact(client, text(200_000), BOB)[1] for _ in range(3)]
    claim("D9 the parcels' disk is full: a mail that needs room there is put off", all(re.match("45[12] ", reply) for reply in refused), refused[0])
    claim("D9 and leaves nothing, in the clear least of all", len(sink.taken()) == 4 and not any(b"850709-9805" in octets for _, octets in sink.taken()), f"{len(sink.taken())} arrived")
    claim("D9 a mail that needs none is relayed", all(reply.startswith("250") for reply in plain), plain[0])
    reader = Recipient().enter(links(sink, DAVE)[0], DAVE, lambda: password(sink, DAVE, 1))
    claim("D9 an older link opens", reader.status == 200 and "850709-9805" in reader.page, reader.status)
    (disk / "filler").unlink()
    with connected(gateway) as client:
        late = transact(client, NUMBER + text(200_000), DAVE)[1]
    claim("D9 with room again it is sealed", late.startswith("250"), late)
    sink.wait_for(lambda messages: len(messages) >= 6, 30)
    opened = Recipient().enter(links(sink, DAVE)[-1], DAVE, lambda: password(sink, DAVE, 3))
    claim("D9 and opens", opened.status == 200 and "850709-9805" in opened.page, opened.status)
    sink.close()


def records(place):
    """The disk of everything is full: pages that must write say 503, and say it at once, however often they are asked."""
    sink = Sink()
    gateway, disk = on_small_disk(place, "data", sink.port)
    with connected(gateway) as client:
        transact(client, NUMBER + text(2_000), DAVE)
    sink.wait_for(lambda messages: len(messages) >= 1, 30)
    link, reader = links(sink, DAVE)[0], Recipient()
    reader.get(link)
    reader.submit(link[len(gateway.base_url):], address=DAVE)
    page = reader.page
    fill(disk, 0)
    told, slowest = [], 0.0
    for _ in range(20):
        began = time.monotonic()
        reader.page, reader.url = page, f"{gateway.base_url}/password"
        reader.submit("/password/send")
        slowest = max(slowest, time.monotonic() - began)
        told.append(reader.status)
    claim("D9 no room for records: a page that must write says 503, twenty times of twenty", set(told) == {503}, f"{told}")
    claim("D9 in words, and at once", "<h1" in reader.page and slowest < 1, f"at most {slowest * 1000:.0f} ms")
    looked = Recipient().get(link)
    claim("D9 a page that only reads is there meanwhile", looked.status == 200, looked.status)
    faults = gateway.log().count("trouble")
    time.sleep(5)
    more = gateway.log().count("trouble") - faults
    claim("D9 and the log is not filled by asking again and again", more <= 10, f"{more} lines in 5 s")
    (disk / "filler").unlink()
    entered = Recipient().enter(link, DAVE, lambda: password(sink, DAVE, 1))
    claim("D9 with room again the message opens", entered.status == 200 and "850709-9805" in entered.page, entered.status)
    sink.close()


def log(place):
    """The log's disk is full."""
    sink = Sink(keep=fingerprint)
    gateway = place.gateway(sink.port)
    disk = pathlib.Path(place.path) / "log"
    disk.mkdir()
    mounted(place, disk, 1)
    # The shell opens what the gateway inherits, as a service manager does.
    gateway.start("sh", "-c", f'exec "$@" >>{disk}/gateway.log 2>&1', "sh")
    fill(disk, 0)
    with contextlib.suppress(OSError), open(disk / "gateway.log", "ab") as file:
        while True:
            file.write(b"x" * 512)
            file.flush()
    before = (disk / "gateway.log").stat().st_size
    with connected(gateway) as client:
        replies = [give(client, 2_000) for _ in range(100)]
    grown = (disk / "gateway.log").stat().st_size - before
    claim("D9 the log's disk is full", grown == 0, f"{grown} octets more")
    claim("D9 a hundred messages are relayed all the same", all(reply.startswith("250") for reply in replies) and len(sink.taken()) == 100, f"{len(sink.taken())} arrived, {replies[-1]}")
    (disk / "filler").unlink()
    with connected(gateway) as client:
        give(client, 2_000)
    claim("D9 with room again the log goes on", (disk / "gateway.log").stat().st_size > before)
    code = gateway.stop()
    claim("D9 and it ends as it should", code == 0, f"code {code}")
    sink.close()


CLAIMS = {"spool": spool, "parcels": parcels, "records": records, "log": log}


if __name__ == "__main__":
    run(__doc__, CLAIMS, Place)
