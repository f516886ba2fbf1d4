"""A next hop in threads: takes everything, or what it is told to take, and remembers it."""

import random
import socket
import threading
import time


def whole(to, octets):
    """Remember all of it."""
    return to, octets


class Sink:
    """What `keep(recipients, octets)` gave for each message, in the order in which they were acknowledged.

    `answer(verb, line)` may refuse: a reply to MAIL, RCPT, DATA or the final dot (`.`), or None for the usual one.
    It says 250 only after it has remembered, as a next hop does that stores mail; `pause` seconds at most lie in between.
    """

    def __init__(self, port=0, keep=whole, answer=lambda verb, line: None, pause=0.0):
        self.messages = []
        self.lock = threading.Lock()
        self.keep, self.answer, self.pause = keep, answer, pause
        self.server = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        try:
            with connection, connection.makefile("rb") as read:
                self._talk(connection, read)
        except OSError:
            pass  # The gateway was killed; what was not complete was not taken.

    def _talk(self, connection, read):
        connection.sendall(b"220 sink ESMTP\r\n")
        to = []
        while line := read.readline():
            verb = line[:4].upper().decode("ascii", "replace").strip()
            refused = self.answer(verb, line) if verb in ("MAIL", "RCPT", "DATA") else None
            if refused:
                connection.sendall(refused)
            elif verb == "EHLO":
                connection.sendall(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n")
            elif verb == "MAIL":
                to = []
                connection.sendall(b"250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                to.append(line.split(b"<", 1)[1].split(b">", 1)[0].decode())
                connection.sendall(b"250 2.1.5 ok\r\n")
            elif verb == "DATA" and not to:
                connection.sendall(b"554 5.5.1 for nobody\r\n")
            elif verb == "DATA":
                connection.sendall(b"354 go on\r\n")
                octets = self._message(read)
                if octets is None:
                    return
                time.sleep(random.random() * self.pause)
                refused = self.answer(".", octets)
                if not refused:
                    kept = self.keep(to, octets)
                    with self.lock:
                        self.messages.append(kept)
                connection.sendall(refused or b"250 2.0.0 kept\r\n")
            elif verb == "QUIT":
                connection.sendall(b"221 2.0.0 bye\r\n")
                return
            else:
                connection.sendall(b"250 2.0.0 ok\r\n")

    @staticmethod
    def _message(read):
        lines = []
        while (line := read.readline()) != b".\r\n":
            if not line:
                return None
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def taken(self):
        with self.lock:
            return list(self.messages)

    def close(self):
        """No new connection; the port is free again."""
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def wait_for(self, holds, seconds=120):
        """The messages, as soon as `holds(messages)`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            messages = self.taken()
            if holds(messages):
                return messages
            time.sleep(0.05)
        raise SystemExit(f"{len(self.messages)} messages arrived, and not those that were waited for, within {seconds} s")
