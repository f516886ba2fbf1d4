#!/usr/bin/env python3
"""The faults that need no long run: one line a claim, in less than three minutes. Needs Linux, strace and root (or user
namespaces, in which it runs itself).

    tests/faults/quick.py --program target/debug/waxseal [--only disk]
"""

import contextlib
import email.headerregistry
import email.message
import email.policy
import html
import io
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib

from claims import claim, run
from ledger import Load, fingerprint, mail, settle, text

from gateway import Gateway, free_port, workplace
from memory import text_of
from recipient import Recipient
from sink import Sink

ANN, BOB = "ann@example.org", "bob@example.net"


class Place:
    """A directory with gateways in it; all of it goes at the end."""

    def __init__(self, program):
        self.program, self.path, self.gateways, self.mounts = program, workplace(), [], []

    def gateway(self, next_hop, extra="", inside=""):
        folder = f"{self.path}/{inside}gateway-{len(self.gateways)}"
        made = Gateway(self.program, folder, f"127.0.0.1:{next_hop}", extra)
        self.gateways.append(made)
        return made

    def tmpfs(self, megabytes):
        folder = f"{self.path}/small"
        os.mkdir(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], check=True)
        self.mounts.append(folder)
        return pathlib.Path(folder)

    def clear(self):
        for gateway in self.gateways:
            if gateway.process and gateway.process.poll() is None:
                gateway.kill()
        for folder in self.mounts:
            subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def connected(gateway):
    with smtplib.SMTP("127.0.0.1", gateway.smtp, local_hostname="client.example.org", timeout=60) as client:
        client.ehlo()
        yield client


def give(client, size, to=(BOB,), sender=ANN):
    """One transaction: the first refusal, or the reply to its dot."""
    for ask in [lambda: client.mail(sender), *[lambda each=each: client.rcpt(each) for each in to]]:
        code, words = ask()
        if code != 250:
            client.rset()
            return f"{code} {words.decode()}"
    code, words = client.data(mail(text(size), to[0])[1])
    return f"{code} {words.decode()}"


def listed(gateway):
    """How many entries the queue has."""
    return int(re.search(r"(\d+) in the queue", gateway.run("queue", "list").stdout).group(1))


def idle(gateway, seconds=60):
    """Waits until the gateway uses less than a twentieth of a core; the share it used last."""
    end = time.monotonic() + seconds
    while True:
        before = spent(gateway)
        time.sleep(1)
        share = spent(gateway) - before
        if share < 0.05 or time.monotonic() > end:
            return share


def spent(gateway):
    fields = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def traced(gateway, log, *options):
    """strace on a running gateway and all of its threads."""
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", log, "-p", str(gateway.process.pid), *options], stderr=subprocess.PIPE)
    end = time.monotonic() + 20
    while "TracerPid:\t0" in pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"strace does not trace: {tracer.stderr.read().decode()}")
        time.sleep(0.05)
    time.sleep(0.5)  # The other threads.
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def order(place):
    """D4: nothing is promised before it is on the disk, in the order that a power cut forgives."""
    gateway, log = place.gateway(free_port()).start(), f"{place.path}/order.log"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,write,writev"
    with traced(gateway, log, "-y", "-s", "64", "-e", calls), connected(gateway) as client:
        replies = [give(client, size) for size in [100_000] * 50 + [2_000] * 50]
    claim("D4 a hundred messages under strace are taken", all(reply.startswith("250") for reply in replies), replies[-1] if replies else "")
    wrong, promises, bodies, seen = [], 0, 0, []
    for line in whole_calls(pathlib.Path(log).read_text(errors="replace")):
        if re.search(r'(sendto|sendmsg|write|writev)\(.*"354', line):
            seen = []
        for name, pattern in STEPS.items():
            if re.search(pattern, line):
                seen.append(name)
        if re.search(r'(sendto|sendmsg|write|writev)\(.*"250 2\.\d\.\d (?!.*(sender|recipient))', line) and seen:
            promises += 1
            blob = "body" in seen
            bodies += blob
            # Other work of the gateway may lie in between.
            if not in_order(list(STEPS) if blob else ["records"], seen):
                wrong.append(seen)
            seen = []
    claim("D4 fsync of the body, rename, fsync of the directory, fsync of the records, and only then 250", (promises, bodies) == (100, 50) and not wrong,
          f"{promises} promises, {bodies} with a body of its own" + (f", wrong {wrong[:3]}" if wrong else ""))


# What a body in a blob goes through, by the lines that strace writes when a call has ended.
STEPS = {
    "body": r"fsync\(\d+<[^>]*/spool/making/[0-9a-f]+>\) += 0",
    "rename": r"rename\w*\(.*/spool/making/[0-9a-f]+\".*\) += 0",
    "folder": r"fsync\(\d+<[^>]*/spool/[0-9a-f]{2}>\) += 0",
    "records": r"f(data)?sync\(\d+<[^>]*/records\.redb>\) += 0",
}


def whole_calls(log):
    """Lines in the order in which the calls ended; a call that was interrupted by another thread is put together."""
    begun = {}
    for line in log.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
            # What is sent may be read before the call returns.
            if re.match(r"sendto|sendmsg|write", call):
                yield call
        elif call.startswith("<... "):
            start = begun.pop(thread, "")
            if not re.match(r"sendto|sendmsg|write", start):
                yield start + call.partition("resumed>")[2]
        else:
            yield call


def in_order(expected, seen):
    rest = iter(seen)
    return all(step in rest for step in expected)


def sync_fails(place):
    """D5: a disk that says once that it did not write is not believed afterwards."""
    # Without a next hop at first: what that takes at once needs no disk.
    hop = free_port()
    gateway = place.gateway(hop).start()
    data = f"{gateway.directory}/data"
    for what, path, size in [("the records", f"{data}/records.redb", 2_000), ("the body", f"{data}/spool", 200_000)]:
        inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=1"]
        with connected(gateway) as client:
            where = ["-P", path] if size < 64_000 else []
            with traced(gateway, f"{place.path}/eio.log", *inject, *where):
                refused = give(client, size)
            taken = give(client, size)
        claim(f"D5 EIO at fsync of {what}: refused for now", refused.startswith("451"), refused)
        claim("D5 the next message is taken", taken.startswith("250"), taken)
    sink = Sink(hop, keep=fingerprint)
    gateway.retry()
    sink.wait_for(lambda messages: len(messages) >= 2, 30)
    claim("D5 and what was taken arrives", len(sink.taken()) == 2, f"{len(sink.taken())} arrived")
    sink.close()


def disk_full(place):
    """D6, D7: no room is said before anything is promised, and passes when there is room again."""
    small = place.tmpfs(28)
    gateway = place.gateway(free_port(), inside="small/")
    gateway.set("store", reserve=4194304)
    gateway.start()
    with connected(gateway) as client:
        claim("D6 a small disk is enough at first", give(client, 2_000).startswith("250"))
        fill(small, 3 << 20)
        before = listed(gateway)
        replies = [give(client, 2_000) for _ in range(3)]
        claim("D6 a full disk: 452 4.3.1 at MAIL", all(reply.startswith("452 4.3.1") for reply in replies), replies[0])
        claim("D6 and nothing was taken", listed(gateway) == before)
        (small / "filler").unlink()
        began = time.monotonic()
        while not (reply := give(client, 2_000)).startswith("250") and time.monotonic() - began < 10:
            time.sleep(0.2)
        claim("D6 mail is taken again when there is room", reply.startswith("250"), f"after {time.monotonic() - began:.1f} s")
        fill(small, 16 << 20)
        files = store_files(gateway)
        reply = give(client, 20_000_000)
        claim("D7 20 MB into 16 MiB: refused for now", re.match("45[12] ", reply) is not None, reply)
        time.sleep(1)
        left = store_files(gateway) - files
        claim("D7 no file is left of it", not left, ", ".join(sorted(left)) if left else "")
        reply = give(client, 2_000)
        claim("D7 the connection goes on", reply.startswith("250"), reply)


def fill(folder, free):
    """Leaves so many octets free."""
    room = os.statvfs(folder)
    with open(folder / "filler", "wb") as file:
        file.write(b"\0" * max(0, room.f_bavail * room.f_frsize - free))


def store_files(gateway):
    return {str(path) for path in (gateway.directory / "data").rglob("*") if path.is_file()}


def fates(place):
    """D10: each recipient of one envelope has its own fate."""
    late = {"left": 1}

    def answer(verb, line):
        if verb == "RCPT" and b"<later@" in line and late["left"] > 0:
            late["left"] -= 1
            return b"450 4.2.1 not now\r\n"
        return b"550 5.1.1 nobody of that name\r\n" if verb == "RCPT" and b"<never@" in line else None

    sink = Sink(answer=answer)
    gateway = place.gateway(sink.port).start()
    with connected(gateway) as client:
        reply = give(client, 2_000, ["now@example.org", "later@example.org", "never@example.org"])
    claim("D10 an envelope of three is taken", reply.startswith("250"), reply)
    sink.wait_for(lambda messages: len(messages) >= 2, 30)
    gateway.retry()
    sink.wait_for(lambda messages: len(messages) >= 3, 30)
    time.sleep(1)
    count = lambda address: sum(address in to for to, _ in sink.taken())
    claim("D10 250 is delivered once, 450 is delivered once later", (count("now@example.org"), count("later@example.org")) == (1, 1))
    reports = [octets for to, octets in sink.taken() if to == [ANN]]
    claim("D10 550 is reported once", len(reports) == 1 and b"never@example.org" in reports[0] and b"5.1.1" in reports[0], f"{len(reports)} reports")
    claim("D10 the queue is empty", listed(gateway) == 0)
    sink.close()


def no_programs(place):
    """M15: whatever names, formats and templates say, no program is started but a worker of our own."""
    sink = Sink()
    gateway, log, trap = place.gateway(sink.port).start(), f"{place.path}/exec.log", f"{place.path}/trap"
    tricks = [f"$(touch {trap})", f"`touch {trap}`", f"; touch {trap} #", f"| touch {trap}", f"'; touch {trap}; '", f"&& touch {trap}", f"%0atouch {trap}",
              f"{{{{{SUM}}}}}", "{% for x in (1).__class__ %}", f"${{{SUM}}}", f"<%= {SUM} %>", f"#{{{SUM}}}", "{{ config }}", "%n%s%x"]
    with traced(gateway, log, "-s", "200", "-e", "trace=execve,execveat,fork,vfork,clone,clone3"), connected(gateway) as client:
        replies = [send(client, trick, kind) for trick in tricks for kind in ("plain", "zip", "tar", "rar", "xlsx")]
    claim("M15 mails full of tricks are taken", all(reply.startswith("250") for reply in replies), f"{len(replies)} mails, {replies[-1]}")
    sink.wait_for(lambda messages: len(messages) >= len(replies), 60)
    started = re.findall(r'execve(?:at)?\(.*', pathlib.Path(log).read_text(errors="replace"))
    ours = [line for line in started if f'"{gateway.program}", ["{gateway.program}", "extract-worker"]' in line]
    claim("M15 a worker is started, so the tracer would see others", len(ours) > 0, f"{len(ours)} workers")
    claim("M15 and nothing else", len(started) == len(ours), [line[:120] for line in started if line not in ours][:3] or f"{len(started) - len(ours)} others")
    claim("M15 nothing was touched and nothing reckoned", not os.path.exists(trap) and not any(RECKONED in octets for _, octets in sink.taken()))
    sink.close()


# So long that no identifier and no signature has it by chance.
SUM = "104729*7919"
RECKONED = b"829348951"


def send(client, trick, kind):
    """A mail that says it everywhere."""
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = email.headerregistry.Address(trick, addr_spec=ANN), BOB, f"About {trick}"
    message.set_content(f"{trick} 850709-9805\n" if kind == "plain" else f"{trick}\n")
    if kind != "plain":
        message.add_attachment(packed(trick, kind), maintype="application", subtype="octet-stream", filename=f"{trick}.{kind}")
    code, words = client.mail(ANN)
    code, words = client.rcpt(BOB) if code == 250 else (code, words)
    code, words = client.data(message.as_bytes(policy=email.policy.SMTP)) if code == 250 else (code, words)
    return f"{code} {words.decode()}"


def packed(trick, kind):
    """A file of this kind that has the trick as a name, in its content and, for a workbook, as the format of a number."""
    if kind == "rar":
        return rar(trick.encode())
    made = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=made, mode="w") as archive:
            for name in (trick, f"../{trick}/{trick}.txt"):
                member = tarfile.TarInfo(name)
                member.size = len(trick)
                archive.addfile(member, io.BytesIO(trick.encode()))
        return made.getvalue()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "xlsx":
            safe = html.escape(trick, quote=True)
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", f'<workbook><sheets><sheet name="{safe}" sheetId="1"/></sheets></workbook>')
            archive.writestr("xl/_rels/workbook.xml.rels", "<Relationships/>")
            archive.writestr("xl/styles.xml", f'<styleSheet><numFmts><numFmt numFmtId="164" formatCode="{safe}"/></numFmts></styleSheet>')
            archive.writestr("xl/worksheets/sheet1.xml", f'<worksheet><sheetData><row r="1"><c r="A1" t="str"><f>{safe}</f><v>1</v></c></row></sheetData></worksheet>')
        else:
            archive.writestr(trick, trick)
            archive.writestr(f"../{trick}/{trick}.txt", "x" * 1000)
    return made.getvalue()


def rar(name):
    """An archive of RAR 5 with one member that is stored as it is: its name."""
    crc = lambda octets: zlib.crc32(octets).to_bytes(4, "little")
    block = lambda body: crc(bytes([len(body)]) + body) + bytes([len(body)]) + body
    size = bytes([len(name)])
    # type, flags (a data area follows), its size; flags (a checksum), size, attributes, checksum, stored, Unix, the name
    member = b"\x02\x02" + size + b"\x04" + size + b"\x00" + crc(name) + b"\x00\x01" + size + name
    return b"Rar!\x1a\x07\x01\x00" + block(b"\x01\x00\x00") + block(member) + name + block(b"\x05\x00\x00")


def bounce_of_a_bounce(place):
    """S13: a notification that cannot be delivered causes no other, refused at once or later."""
    hop = free_port()
    gateway = place.gateway(hop).start()
    with connected(gateway) as client:
        reply = give(client, 1_000, ["gone@example.org"], "")
    claim("S13 a bounce is taken while the next hop is away", reply.startswith("250"), reply)
    sink = Sink(hop, answer=lambda verb, line: b"550 5.1.1 nobody\r\n" if verb == "RCPT" and b"<gone@" in line else None)
    end = time.monotonic() + 30
    while listed(gateway) > 0 and time.monotonic() < end:
        gateway.retry()
        time.sleep(1)
    claim("S13 and causes no mail when it cannot be delivered", not sink.taken() and listed(gateway) == 0, f"{len(sink.taken())} sent, {listed(gateway)} wait")
    with connected(gateway) as client:
        reply = give(client, 1_000, ["gone@example.org"], "")
    claim("S13 one that the next hop refuses at once is refused by us", reply.startswith("550 5.1.1") and listed(gateway) == 0, reply)
    sink.close()


def terminated(place):
    """D24: SIGTERM under load."""
    sink = Sink(keep=fingerprint, pause=0.02, answer=lambda verb, line: time.sleep(15) if verb == "." and b"X-Slow:" in line else None)
    gateway = place.gateway(sink.port).start()
    load = Load(gateway.smtp)
    idle, within, waiting = [smtplib.SMTP("127.0.0.1", gateway.smtp, timeout=40) for _ in range(3)]
    for client in (within, waiting):
        client.ehlo()
        client.mail(ANN)
        client.rcpt(BOB)
        client.putcmd("data")
        client.getreply()
    message_id, octets = mail("half of it\r\n")
    within.send(octets)
    waiting.send(b"X-Slow: yes\r\n" + octets + b".\r\n")
    time.sleep(3)
    began = time.monotonic()
    code = gateway.stop()
    took = time.monotonic() - began
    claim("D24 SIGTERM under load ends it within 30 s", code == 0 and took <= 30, f"{took:.1f} s, code {code}")
    farewells = [client.getreply() for client in (idle, within, waiting)]
    claim("D24 an idle session and one within DATA hear 421", [code for code, _ in farewells[:2]] == [421, 421], farewells[:2])
    claim("D24 one that waits for its reply gets 250", farewells[2][0] == 250, farewells[2])
    claim("D24 and then hears 421 as well", waiting.getreply()[0] == 421)
    promised = {**load.end().before(), message_id: fingerprint(BOB, octets)[1]}
    gateway.start()
    balance = settle(promised, sink, 30)
    claim("D24 nothing is lost, changed or doubled", balance.holds() and balance.duplicates == 0, balance)
    sink.close()


@contextlib.contextmanager
def watched(gateway):
    """How many octets of memory the gateway has at most beyond what it had, and how many lie in its nameless files."""
    process, peak, over = pathlib.Path(f"/proc/{gateway.process.pid}"), {"memory": 0, "disk": 0}, threading.Event()

    def kilobytes(name):
        return int(re.search(rf"{name}:\s+(\d+) kB", (process / "status").read_text()).group(1))

    def look():
        while not over.wait(0.005):
            disk = 0
            for file in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if f"{gateway.directory}/data" in os.readlink(file) and "(deleted)" in os.readlink(file):
                        disk += file.stat().st_blocks * 512
            peak["disk"] = max(peak["disk"], disk)

    (process / "clear_refs").write_text("5")  # The peak is counted from now.
    before, looking = kilobytes("VmRSS"), threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        over.set()
        looking.join()
        peak["memory"] = (kilobytes("VmHWM") - before) * 1024


def greedy(place):
    """S3, S8, S10: what a client sends without end is neither kept in memory nor on the disk."""
    gateway = place.gateway(free_port()).start()
    with connected(gateway) as client:
        give(client, 2_000)
    limit, megabyte = 104_857_600, b"x" * (1 << 20)
    line = b"y" * 76 + b"\r\n"
    cases = [
        ("S3 a line of 100 MB", "DATA", [megabyte] * 99 + [b"\r\n.\r\n"], "554 5.6.0", 2 << 20, 0),
        ("S8 a command of 100 MB without an end", None, [megabyte] * 100, "500 5.5.2", 1 << 20, 0),
        ("S8 a command of 513 octets", None, [b"NOOP " + b"z" * 506 + b"\r\n"], "500 5.5.2", 1 << 20, 0),
        ("S10 200 MB where 10 KB were declared", "DATA", [line * 13_443] * 200 + [b".\r\n"], "552 5.3.4", None, limit + (64 << 10)),
    ]
    for words, begin, pieces, expect, memory, disk in cases:
        with socket.create_connection(("127.0.0.1", gateway.smtp), timeout=60) as connection, connection.makefile("rb") as read:
            for command in ["EHLO client.example.org", *([f"MAIL FROM:<{ANN}> SIZE=10000", f"RCPT TO:<{BOB}>", begin] if begin else [])]:
                while read.readline()[3:4] == b"-":
                    pass
                connection.sendall(command.encode() + b"\r\n")
            while read.readline()[3:4] == b"-":
                pass
            with watched(gateway) as peak:
                with contextlib.suppress(OSError):  # The gateway hangs up before it has heard all of it.
                    for piece in pieces:
                        connection.sendall(piece)
                reply = read.readline().decode().strip()
        claim(f"{words}: refused", reply.startswith(expect), reply)
        if memory is not None:
            claim(f"{words}: memory grows by {memory >> 20} MiB at most", peak["memory"] <= memory, f"{peak['memory'] >> 10} KiB")
        claim(f"{words}: at most {disk} octets lie on the disk", peak["disk"] <= disk, f"{peak['disk']}")
    with connected(gateway) as client:
        claim("S3, S8, S10 and the next message is taken", give(client, 2_000).startswith("250"))


def blind(place):
    """S23: who is in Bcc is named to nobody else, whatever becomes of the others."""
    sink = Sink(answer=lambda verb, line: b"550 5.1.1 nobody\r\n" if verb == "RCPT" and b"<bob@" in line else None)
    gateway = place.gateway(sink.port).start()
    hidden, others = "hidden@blind.example", [BOB, "carol@example.org"]
    message = mail("The personal number is 850709-9805.\r\n" + text(1_000), BOB)[1]
    message = message.replace(b"Subject:", f"Cc: {others[1]}\r\nBcc: {hidden}\r\nSubject:".encode(), 1)
    with connected(gateway) as client:
        refused = client.sendmail(ANN, [*others, hidden], message)
    taken = sink.wait_for(lambda messages: len(messages) >= 3, 30)
    time.sleep(1)
    kinds = sorted("report" if to == [ANN] else "blind" if to == [hidden] else "inside" for to, _ in taken)
    claim("S23 three recipients, two fates and a report", not refused and kinds == ["blind", "inside", "report"], kinds)
    seen = [to for to, octets in taken if to != [hidden] and b"blind.example" in octets.lower()]
    claim("S23 no other mail and no report names who was in Bcc", not seen, seen)
    own = next(octets for to, octets in taken if to == [hidden])
    claim("S23 and the own mail has no Bcc field", b"\nbcc:" not in own.lower())
    with connected(gateway) as client:
        client.sendmail(ANN, ["dave@example.net", hidden], message)
    of_dave = lambda count: [text_of(octets) for to, octets in sink.wait_for(
        lambda messages: sum(to == ["dave@example.net"] for to, _ in messages) >= count, 30) if to == ["dave@example.net"]]
    link = re.search(r"http://\S+/m/[a-z2-7]{32}", of_dave(1)[0]).group()
    dave = Recipient().enter(link, "dave@example.net", lambda: of_dave(2)[1])
    shown, saved = dave.page, dave.submit("/message/save").page
    pages = [shown, saved + text_of(saved.encode()), dave.get(f"{gateway.base_url}/message/print").page]
    claim("S23 nor does a page, a print or a saved message of somebody else", all("850709-9805" in page for page in pages)
          and not any("blind.example" in page for page in pages), [len(page) for page in pages])
    claim("S23 nor does the log name anybody", not any(name in gateway.log() for name in ("blind.example", "bob@", "carol@", "ann@")))
    sink.close()


def rotations(place):
    """C9: a new key-encryption key, killed at every call that changes a file; the keys that are there always open the store."""
    gateway = place.gateway(free_port()).start()
    with connected(gateway) as client:
        give(client, 2_000)
    gateway.stop()
    paper, calls = gateway.directory / "recovery-sheet.txt", "openat,write,fsync,link,linkat,unlink,rename,renameat,renameat2"
    paths = [word for path in key_files(gateway) for word in ("-P", path)]
    rotate = [gateway.program, "keys", "rotate", "--config", str(gateway.directory / "waxseal.toml")]
    kills, closed, unfinished = 0, [], []
    while True:
        paper.unlink(missing_ok=True)
        inject = [*paths, "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={kills + 1}"]
        if subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", *inject, *rotate], capture_output=True).returncode == 0:
            break
        kills += 1
        if gateway.run("check").returncode != 0:
            closed.append(kills)
        if left(gateway):
            ended = gateway.run("keys", "rotate")
            if ended.returncode != 0 or left(gateway):
                unfinished.append((kills, ended.stderr))
    claim("C9 killed at any step, the keys that are there open the store", kills > 10 and not closed, f"{kills} kills" + (f", closed after {closed}" if closed else ""))
    claim("C9 and the next try comes to its end", not unfinished, unfinished or "")
    gateway.start()
    claim("C9 with the last key the mail is there", listed(gateway) == 1)
    began = time.monotonic()
    paper.unlink(missing_ok=True)
    rotated = gateway.run("keys", "rotate")
    claim("C9 a rotation while it runs", rotated.returncode == 0 and listed(gateway) == 1, f"{(time.monotonic() - began) * 1000:.0f} ms{rotated.stderr}")


def left(gateway):
    """What a rotation that is not at its end leaves."""
    return [path for path in gateway.directory.rglob("*") if path.suffix in (".new", ".making")]


def key_files(gateway):
    keys = gateway.directory / "keys"
    return [str(keys), str(keys / "kek"), *(str(keys / name) for name in ("kek.new", "ring", "ring.new", "ring.making")),
            str(gateway.directory / "recovery-sheet.making")]


def loops(place):
    """S12: mail that goes round in circles stops."""
    alone = place.gateway(free_port())
    reroute(alone, alone.smtp)
    alone.start()
    one, two = place.gateway(free_port()), place.gateway(free_port())
    reroute(one, two.smtp)
    reroute(two, one.smtp)
    one.start()
    two.start()
    for name, first, all_of_them in [("the next hop is the gateway itself", alone, [alone]), ("two gateways are each other's next hop", one, [one, two])]:
        with connected(first) as client:
            reply = give(client, 1_000)
        time.sleep(3)
        share = max(idle(gateway) for gateway in all_of_them)
        copies = sum(gateway.log().count("accepted") for gateway in all_of_them)
        failed = sum(len(re.findall(r'"failed"|event=failed|failed', gateway.log())) for gateway in all_of_them)
        waiting = sum(listed(gateway) for gateway in all_of_them)
        claim(f"S12 {name}: it ends, and its sender hears so", reply.startswith("554 5.4.6") and copies <= 31 and waiting == 0 and share < 0.05,
              f"{reply}, {copies} copies, {failed} failures, {waiting} wait, {share:.2f} of a core")


def reroute(gateway, port):
    config = gateway.directory / "waxseal.toml"
    config.write_text(re.sub(r'next_hop = ".*"', f'next_hop = "127.0.0.1:{port}"', config.read_text()))


def keys(place):
    """C10: no key is ever made anew over data that exists."""
    sink_port = free_port()
    gateway, other = place.gateway(sink_port), place.gateway(sink_port)
    gateway.start()
    with connected(gateway) as client:
        give(client, 2_000)
    gateway.stop()
    kek = gateway.directory / "keys" / "kek"
    right, others = kek.read_bytes(), (other.directory / "keys" / "kek").read_bytes()

    def attempt(octets, mode):
        kek.unlink(missing_ok=True)
        if octets is not None:
            kek.write_bytes(octets)
            kek.chmod(mode)
        before = {path: path.read_bytes() for path in kek.parent.iterdir() if path.is_file()}
        ended = subprocess.run(gateway.serve(), capture_output=True, text=True, timeout=20)
        after = {path: path.read_bytes() for path in kek.parent.iterdir() if path.is_file()}
        return ended.returncode != 0 and before == after, (ended.stderr or ended.stdout).strip().splitlines()[-2:]

    for name, octets, mode in [("missing", None, 0), ("another one's", others, 0o400), ("cut", right[:10], 0o400), ("readable by everybody", right, 0o444)]:
        refused, words = attempt(octets, mode)
        claim(f"C10 the key-encryption key is {name}: no start, no new key", refused, " / ".join(words))
    kek.unlink()
    kek.write_bytes(right)
    kek.chmod(0o400)
    gateway.start()
    claim("C10 with the right one the mail is there", listed(gateway) == 1)


def restart(place, count=2_000):
    """What waits is there after a kill, soon, and leaves."""
    hop = free_port()
    gateway = place.gateway(hop).start()
    load = Load(gateway.smtp)
    while len(load.ledger.before()) < count:
        time.sleep(0.2)
    promised = load.end().before()
    gateway.kill()
    sink = Sink(hop, keep=fingerprint)
    began = time.monotonic()
    gateway.start()
    opened = time.monotonic() - began
    balance = settle(promised, sink, 75)
    took = time.monotonic() - began
    claim(f"D1 a restart with {count} waiting opens its ports within 5 s", opened < 5, f"{opened:.1f} s")
    claim("D1 all of it leaves once", balance.holds() and balance.duplicates == 0, f"{balance} in {took:.0f} s")
    sink.close()


def descriptors(place):
    """D20: whoever holds connections has none of the descriptors that queue, operator and stores need."""
    hop = free_port()
    gateway = place.gateway(hop).start("prlimit", "--nofile=64:256")
    limits = pathlib.Path(f"/proc/{gateway.process.pid}/limits").read_text()
    claim("D20 as many descriptors as the system allows", re.search(r"Max open files\s+256\s+256", limits) is not None)
    with connected(gateway) as early:
        claim("D20 a message waits for its next hop", give(early, 200_000).startswith("250") and listed(gateway) == 1)
        sink = Sink(hop)
        browsers, sessions = hold(gateway.web, 320), hold(gateway.smtp, 1_000)
        time.sleep(1)
        surplus = sum(told(session).startswith(b"421") for session in sessions)
        closed = sum(gone(browser) for browser in browsers)
        open_now = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        claim("D20 320 idle browsers and 1,000 sessions at 256 descriptors: the surplus is sent away", surplus > 900 and closed > 250 and open_now < 200,
              f"{surplus} sessions heard 421, {closed} browsers closed, {open_now} descriptors open")
        claim("D20 the operator is served", listed(gateway) == 1)
        gateway.retry()
        sink.wait_for(lambda messages: len(messages) >= 1, 20)
        claim("D20 the queue delivers", True)
        reply = give(early, 200_000)
        claim("D20 who was there first is served", reply.startswith("250"), reply)
        began = time.monotonic()
        while browsers and time.monotonic() - began < 25:
            browsers = [browser for browser in browsers if not gone(browser)]
            time.sleep(0.5)
        claim("D20 a browser that asks for nothing loses its place", not browsers, f"{len(browsers)} left after {time.monotonic() - began:.0f} s")
    for session in sessions:
        session.close()
    began = time.monotonic()
    while time.monotonic() - began < 10:
        with contextlib.suppress(smtplib.SMTPException, OSError), connected(gateway) as client:
            if (reply := give(client, 2_000)).startswith("250"):
                break
        time.sleep(0.2)
    claim("D20 and afterwards everybody", reply.startswith("250"), f"after {time.monotonic() - began:.1f} s")
    sink.close()


def hold(port, count):
    """Connections from many addresses that say nothing."""
    held = []
    for number in range(count):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(f"127.0.2.{1 + number // 50}", 0)))
    return held


def told(connection):
    """What a connection was greeted with."""
    with contextlib.suppress(OSError):
        connection.settimeout(0.01)
        return connection.recv(1_000, socket.MSG_PEEK)
    return b""


def gone(connection):
    """Whether the other side closed it."""
    connection.settimeout(0.001)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def crowds(place):
    """D21, S27 with a tenth of the people."""
    small = [sys.executable, pathlib.Path(__file__).parent / "crowds.py", "--program", place.program, "--share", "0.1"]
    ran = subprocess.run([*small, "--only", "idle", "--only", "guesses"])
    claim("D21, S27 in small", ran.returncode == 0)


CLAIMS = {
    "order": order, "sync": sync_fails, "disk": disk_full, "fates": fates, "bounce": bounce_of_a_bounce,
    "term": terminated, "greedy": greedy, "blind": blind, "programs": no_programs, "descriptors": descriptors, "loops": loops,
    "keys": keys, "rotations": rotations, "restart": restart, "crowds": crowds,
}  # fmt: skip


if __name__ == "__main__":
    run(__doc__, CLAIMS, Place)
