"""A next hop in threads that takes everything and remembers it."""

import socket
import threading
import time


class Sink:
    """Messages in the order in which they were acknowledged: (recipients, octets)."""

    def __init__(self, port=0):
        self.messages = []
        self.lock = threading.Lock()
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
        with connection, connection.makefile("rb") as read:
            connection.sendall(b"220 sink ESMTP\r\n")
            to = []
            while line := read.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    connection.sendall(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n")
                elif verb == b"MAIL":
                    to = []
                    connection.sendall(b"250 2.1.0 ok\r\n")
                elif verb == b"RCPT":
                    to.append(line.split(b"<", 1)[1].split(b">", 1)[0].decode())
                    connection.sendall(b"250 2.1.5 ok\r\n")
                elif verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    octets = []
                    while (text := read.readline()) != b".\r\n":
                        if not text:
                            return
                        octets.append(text[1:] if text.startswith(b".") else text)
                    with self.lock:
                        self.messages.append((to, b"".join(octets)))
                    connection.sendall(b"250 2.0.0 kept\r\n")
                elif verb == b"QUIT":
                    connection.sendall(b"221 2.0.0 bye\r\n")
                    return
                else:
                    connection.sendall(b"250 2.0.0 ok\r\n")

    def wait_for(self, holds, seconds=120):
        """The messages, as soon as `holds(messages)`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                messages = list(self.messages)
            if holds(messages):
                return messages
            time.sleep(0.05)
        raise SystemExit(f"{len(self.messages)} messages arrived, and not those that were waited for, within {seconds} s")
