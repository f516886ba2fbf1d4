"""A next hop that takes everything and remembers what it took: Message-ID and SHA-256 of the body.

It says 250 only after it has remembered, as a next hop does that stores mail.
"""

import asyncio
import hashlib
import random
import threading


class Sink:
    """Runs in a thread of its own until the process ends."""

    def __init__(self, pause=0.0):
        self.pause = pause
        self.taken = {}  # Message-ID -> list of SHA-256, one for each copy
        self.lock = threading.Lock()
        self.port = None
        self._ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait()

    def copies(self, message_id):
        with self.lock:
            return list(self.taken.get(message_id, ()))

    def count(self):
        with self.lock:
            return sum(len(copies) for copies in self.taken.values())

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        server = await asyncio.start_server(self._session, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await server.serve_forever()

    async def _session(self, reader, writer):
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The gateway was killed; what was not complete was not taken.
        finally:
            writer.close()

    async def _talk(self, reader, writer):
        writer.write(b"220 sink.example.net ESMTP\r\n")
        while line := await reader.readline():
            verb = line.split(b" ", 1)[0].strip().upper()
            if verb == b"EHLO":
                writer.write(b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE 104857600\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                message = await self._message(reader)
                if message is None:
                    return
                if self.pause:
                    await asyncio.sleep(random.random() * self.pause)
                self._remember(message)
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")
            await writer.drain()

    async def _message(self, reader):
        lines = []
        while line := await reader.readline():
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        return None

    def _remember(self, message):
        header, _, body = message.partition(b"\r\n\r\n")
        message_id = None
        for line in header.split(b"\r\n"):
            if line.lower().startswith(b"message-id:"):
                message_id = line.split(b":", 1)[1].strip().decode()
        with self.lock:
            self.taken.setdefault(message_id, []).append(hashlib.sha256(body).hexdigest())
