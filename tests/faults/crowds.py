#!/usr/bin/env python3
"""Crowds that want nothing: more connections than descriptors (D20), thousands that are idle (D21), thousands that are slow
(D22), and guesses at passwords (S27). Prints what was measured.

    tests/faults/crowds.py --program target/release/waxseal [--only idle] [--share 0.1]

`--share` makes the crowds smaller, for a quick look that makes no claim about speed. Where the system allows less than 28,000
open files, what comes of the crowd of D21 is measured, and that it is too small is a claim that fails.
"""

import argparse
import base64
import contextlib
import os
import pathlib
import re
import resource
import shutil
import smtplib
import socket
import ssl
import statistics
import threading
import time

from claims import check, claim
from download import cookie, press
from ledger import Load, fingerprint, mail, settle, text
from memory import kilobytes, send as send_large, text_of

from gateway import Gateway, free_port, workplace
from recipient import Recipient
from sink import Sink


def somewhere(number):
    """One of many addresses on loopback, forty connections each."""
    number //= 40
    return f"127.0.{1 + number // 200}.{1 + number % 200}"


def connect(port, number):
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(somewhere(number), 0))


def greeting(connection):
    """The first line, or nothing where the gateway hung up."""
    with contextlib.suppress(OSError), connection.makefile("rb") as read:
        return read.readline()
    return b""


def memory(gateway):
    return kilobytes(gateway.process.pid, "VmRSS")


class Place:
    """A directory with gateways in it, and how large crowds are."""

    def __init__(self, program, share):
        self.program, self.share, self.path, self.gateways = program, share, workplace(), []

    def crowd(self, people):
        return max(10, int(people * self.share))

    def gateway(self, next_hop, **options):
        made = Gateway(self.program, f"{self.path}/gateway-{len(self.gateways)}", f"127.0.0.1:{next_hop}").set("smtp", **options)
        self.gateways.append(made)
        return made

    def clear(self):
        for gateway in self.gateways:
            if gateway.process and gateway.process.poll() is None:
                gateway.kill()
        shutil.rmtree(self.path, ignore_errors=True)


def descriptors(place, limit=256):
    """D20: more connections than there are descriptors."""
    connections, hop = place.crowd(1_000), free_port()
    gateway = place.gateway(hop)
    gateway.start("prlimit", f"--nofile={limit}:{limit}")
    with smtplib.SMTP("127.0.0.1", gateway.smtp, timeout=60) as client:
        for _ in range(20):
            client.sendmail("ann@example.org", ["bob@example.net"], mail(text(2_000))[1])
    began = time.monotonic()
    crowd = [connect(gateway.smtp, number) for number in range(connections)]
    browsers = [connect(gateway.web, number) for number in range(connections)]
    said = [greeting(connection) for connection in crowd]
    greeted, surplus = sum(line.startswith(b"220") for line in said), sum(line.startswith(b"421 4.3.2") for line in said)
    claim(f"D20 {connections} sessions and as many browsers at {limit} descriptors: 421 to the surplus, at once",
          greeted > 10 and greeted + surplus == connections, f"{greeted} greeted, {surplus} turned away, {connections - greeted - surplus} without a word, in {time.monotonic() - began:.1f} s")
    sink = Sink(hop)
    gateway.retry()
    delivered = len(sink.wait_for(lambda messages: len(messages) >= 20, 60))
    claim("D20 the queue delivers meanwhile", delivered == 20, f"{delivered} of 20")
    opened = len(list(pathlib.Path(f"/proc/{gateway.process.pid}/fd").iterdir()))
    claim("D20 and it is alive, with descriptors to spare", gateway.process.poll() is None and opened < limit, f"{opened} of {limit} in use")
    began = time.monotonic()
    for connection in (*crowd, *browsers):
        connection.close()
    while True:
        with contextlib.suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", gateway.smtp, timeout=10) as client:
            client.sendmail("ann@example.org", ["bob@example.net"], mail(text(2_000))[1])
            break
        if time.monotonic() - began > 30:
            break
        time.sleep(0.1)
    took = time.monotonic() - began
    claim("D20 all is as before within 10 s", took <= 10, f"{took:.1f} s")
    sink.close()


def idle(place):
    """D21: connections that wait."""
    sessions, browsers, sink = place.crowd(10_000), place.crowd(5_000), Sink(keep=fingerprint)
    gateway = place.gateway(sink.port, connections=20_000, command_timeout=1_800)
    gateway.set("web", connections=20_000, request_seconds=1_800)
    config = gateway.directory / "waxseal.toml"
    config.write_text(config.read_text().replace('base_url = "http:', 'base_url = "https:'))
    gateway.start()
    most = int(re.search(r"Max open files\s+(\d+)", pathlib.Path(f"/proc/{gateway.process.pid}/limits").read_text()).group(1))
    shared = (most - max(most // 10, 72)) // 5
    wanted, (sessions, browsers) = (sessions, browsers), (min(sessions, 2 * shared - 50), min(browsers, shared - 10))
    claim(f"D21 {wanted[0]} sessions and {wanted[1]} browsers at once", (sessions, browsers) == wanted, f"{sessions} and {browsers}: {most} open files are allowed")
    deliver(gateway, 50)
    alone = p95(deliver(gateway, 100))
    empty = memory(gateway)
    crowd = [connect(gateway.smtp, number) for number in range(sessions)]
    greeted = sum(greeting(connection).startswith(b"220") for connection in crowd)
    for connection in crowd:
        connection.sendall(b"EHLO client.example\r\n")
    for connection in crowd:
        connection.recv(1_000)
    time.sleep(2)
    with_sessions = memory(gateway)
    context = ssl._create_unverified_context()
    crowd += [context.wrap_socket(connect(gateway.web, number)) for number in range(browsers)]
    time.sleep(2)
    with_browsers = memory(gateway)
    each, each_tls = (with_sessions - empty) / sessions, (with_browsers - with_sessions) / browsers
    claim(f"D21 {sessions} idle sessions take 20 KiB each at most", greeted == sessions and each <= 20, f"{each:.1f} KiB")
    claim(f"D21 {browsers} idle browsers under TLS take 60 KiB each at most", each_tls <= 60, f"{each_tls:.1f} KiB")
    among = p95(deliver(gateway, 100))
    claim("D21 new mail meanwhile is taken within 200 ms (p95)", among <= 0.2 or place.share < 1, f"{among * 1000:.0f} ms; alone {alone * 1000:.0f} ms")
    for connection in crowd:
        connection.close()
    sink.close()


def deliver(gateway, count):
    """Seconds that each of so many new sessions with a message took."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        with smtplib.SMTP("127.0.0.1", gateway.smtp, timeout=60) as client:
            client.sendmail("ann@example.org", ["bob@example.net"], mail(text(2_000))[1])
        took.append(time.monotonic() - began)
    return took


def p95(values):
    return sorted(values)[int(len(values) * 0.95)]


# What a gateway needs to give places to 10,000 sessions and 5,000 browsers.
FILES = 32_768
# Readers of one download: what is set apart for each is 8 MiB, and all together get three times the file.
READERS = 10
# Seconds: of the configuration below.
COMMAND, SLOW, REQUEST, STALL = 40, 40, 20, 30


def slow(place):
    """D22: clients that send or read an octet in ten seconds."""
    clients, sink = place.crowd(2_000), Sink(keep=link_or_fingerprint)
    gateway = place.gateway(sink.port, connections=4_000, command_timeout=COMMAND, slow_after=SLOW)
    gateway.set("web", connections=4_000, request_seconds=REQUEST, stall_seconds=STALL)
    gateway.start()
    readers = clients // 20
    part = (clients - readers) // 4
    downloads = [download(gateway, sink, number) for number in range(-(-readers // READERS))]
    link, _ = downloads[0]
    form = f"POST {link} HTTP/1.1\r\nHost: localhost\r\nOrigin: {gateway.base_url}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 200\r\n\r\n"
    before = throughput(gateway, sink)
    # Of readers there are half as many at an address: 32 downloads are one client's share.
    crowds = [
        Crowd("commands", COMMAND, [(greeted(connect(gateway.smtp, number)), b"", b"NOOP " + b"x" * 100) for number in range(part)]),
        Crowd("DATA", SLOW, [(in_data(connect(gateway.smtp, part + number)), b"", b"Subject: " + b"x" * 100) for number in range(part)]),
        Crowd("headers of requests", REQUEST, [(connect(gateway.web, number), b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-Slow: " + b"x" * 100) for number in range(part)]),
        Crowd("bodies of requests", REQUEST, [(connect(gateway.web, part + number), form.encode(), b"address=" + b"x" * 100) for number in range(part)]),
        Crowd("reading of a download", STALL, [(connect(gateway.web, 2 * (part + number)), downloads[number // READERS][1], None) for number in range(readers)]),
    ]
    meanwhile = throughput(gateway, sink)
    for crowd in crowds:
        crowd.join()
    claim(f"D22 {clients} slow clients leave 90 % of the throughput", meanwhile >= 0.9 * before, f"{meanwhile:.0f} messages/s, {before:.0f} without them")
    for crowd in crowds:
        first, last = min(crowd.lasted), max(crowd.lasted)
        claim(f"D22 slow {crowd.what}: cut off after {crowd.limit} s", 0.9 * crowd.limit <= first and last <= 1.1 * crowd.limit, f"after {first:.1f} to {last:.1f} s")
    claim("D22 it is alive", gateway.process.poll() is None)
    sink.close()


def link_or_fingerprint(to, octets):
    return (to[0], octets, None) if to[0].endswith("@mail.example") else fingerprint(to, octets)


def download(gateway, sink, number, octets=30_000_000):
    """The target of a link, and a request for a large file behind it that was granted."""
    send_large(gateway.smtp, number, octets)
    to = f"r{number}@mail.example"
    mails = lambda taken: [octets for kind, octets, _ in taken if kind == to]
    link = re.search(r"http://\S+/m/[a-z2-7]{32}", text_of(mails(sink.wait_for(mails))[0])).group()
    recipient = Recipient()
    recipient.enter(link, to, lambda: text_of(mails(sink.wait_for(lambda taken: len(mails(taken)) > 1))[-1]))
    path = press(recipient).split("/", 3)[3]
    return link[len(gateway.base_url):], f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie(recipient)}\r\n\r\n".encode()


class Crowd(threading.Thread):
    """Connections that say a beginning, then an octet of the rest in ten seconds, until they are cut off."""

    def __init__(self, what, limit, members):
        super().__init__(daemon=True)
        self.what, self.limit, self.lasted = what, limit, []
        self.open = {connection: (rest, time.monotonic()) for connection, _, rest in members}
        for connection, beginning, _ in members:
            if beginning:
                connection.sendall(beginning)
        self.start()

    def run(self):
        turn = 0
        while self.open and turn < 60:
            for connection, (rest, since) in list(self.open.items()):
                if self.over(connection, rest, turn):
                    self.lasted.append(time.monotonic() - since)
                    del self.open[connection]
                    connection.close()
            turn += 1
            time.sleep(1)
        self.lasted += [float("inf")] * len(self.open)

    @staticmethod
    def over(connection, rest, turn):
        try:
            if turn % 10 == 9 and rest is None:
                connection.recv(1)
            elif turn % 10 == 9:
                connection.sendall(rest[turn // 10:turn // 10 + 1])
            return closed(connection)
        except OSError:
            return True


def closed(connection):
    """Whether the other side is gone, whatever is still to be read."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED


def greeted(connection):
    greeting(connection)
    return connection


def in_data(connection):
    """A session that has been told to go on with its message."""
    with connection.makefile("rb") as read:
        for line in (b"", b"HELO client\r\n", b"MAIL FROM:<ann@example.org>\r\n", b"RCPT TO:<bob@example.net>\r\n", b"DATA\r\n"):
            connection.sendall(line)
            read.readline()
    return connection


def throughput(gateway, sink, seconds=8):
    """Messages a second by four clients that behave."""
    load, began = Load(gateway.smtp, 4), time.monotonic()
    time.sleep(seconds)
    taken = len(load.ledger.before()) / (time.monotonic() - began)
    settle(load.end().before(), sink, 60)
    return taken


def guesses(place):
    """S27: passwords tried by the thousand, and what the time of an answer tells."""
    tries = place.crowd(1_000)
    gateway = place.gateway(free_port(), users_file='"users"', relay_networks="[]", error_delay=0, connections_per_address=200)
    (gateway.directory / "users").touch(0o600)
    for name in ("ann@example.org", "bob@example.org"):
        gateway.run("user", "add", name, input="correct horse battery\n")
    gateway.start()
    replies, began = [], time.monotonic()
    guessers = [threading.Thread(target=lambda: guess(gateway, "127.0.9.9", tries // 10, replies)) for _ in range(10)]
    for guesser in guessers:
        guesser.start()
    for guesser in guessers:
        guesser.join()
    minutes = (time.monotonic() - began) / 60
    evaluated = sum(code == 535 for code in replies)
    claim(f"S27 {len(replies)} guesses from one address: 10 a minute are looked at", 0 < evaluated <= 10 * (1 + int(minutes)) and len(replies) >= tries,
          f"{evaluated} in {minutes * 60:.0f} s")
    took = {"ann@example.org": [], "nobody@example.org": []}
    for number in range(place.crowd(200)):
        for name, times in took.items():
            source = f"127.2.{number % 200 + 1}.{len(name)}" if number < 200 else f"127.3.{number % 200 + 1}.{len(name)}"
            with session(gateway, source) as client:
                began = time.perf_counter()
                code, _ = client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{name}\0wrong horse".encode()).decode())
                times.append(time.perf_counter() - began)
                if code != 535:
                    raise SystemExit(f"{name} from {source}: {code}")
    known, unknown = (statistics.median(times) * 1000 for times in took.values())
    claim("S27 a name that exists and one that does not are answered alike (medians within 5 ms)", abs(known - unknown) <= 5 or place.share < 1,
          f"{known:.1f} and {unknown:.1f} ms")
    with session(gateway, "127.4.1.1") as client:
        claim("S27 the right password still works", client.login("ann@example.org", "correct horse battery")[0] == 235)
    secrets = ("horse", base64.b64encode(b"\0ann@example.org\0wrong horse").decode())
    claim("S27 no password stands in the log", not any(secret in gateway.log() for secret in secrets))


@contextlib.contextmanager
def session(gateway, source):
    context = ssl._create_unverified_context()
    with smtplib.SMTP_SSL("127.0.0.1", gateway.smtps, timeout=120, source_address=(source, 0), context=context, local_hostname="client.example") as client:
        client.ehlo()
        yield client


def guess(gateway, source, tries, replies):
    """Guesses in as many sessions as it takes: three are allowed in each."""
    claimed = "PLAIN " + base64.b64encode(b"\0ann@example.org\0wrong horse").decode()
    done = 0
    while done < tries:
        with contextlib.suppress(smtplib.SMTPServerDisconnected), session(gateway, source) as client:
            said = []
            while 421 not in said and done < tries:
                said.append(client.docmd("AUTH", claimed)[0])
                done += 1
            # The third wrong one ends the session, whether it was looked at or was one too many.
            replies += [535 if code == 421 and set(said[:-1]) == {535} else code for code in said]


CLAIMS = {"descriptors": descriptors, "idle": idle, "slow": slow, "guesses": guesses}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", choices=CLAIMS, action="append")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(ValueError):  # More than it was given takes a privilege.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, FILES), max(most, FILES)))
    check(CLAIMS, arguments.only, lambda: Place(os.path.abspath(arguments.program), arguments.share))


if __name__ == "__main__":
    main()
