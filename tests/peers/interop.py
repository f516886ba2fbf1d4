"""In both directions with other mail servers: what a client gives them goes by TLS to the gateway, comes back by TLS
(but to OpenSMTPD), and arrives with the octets that it was sent with, below the trace fields of those that it passed.

    tests/peers/interop.py --program target/debug/waxseal [--messages 1000] [--only Exim]

Needs root: Exim and OpenSMTPD change to users of their own. One line a server; what fails names the message.
"""

import argparse
import asyncio
import base64
import concurrent.futures
import os
import pathlib
import queue
import random
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import threading
import time

from aiosmtpd.smtp import SMTP as Conversation

from gateway import Gateway, Postfix, authority, free_port, wait_for_port, workplace
from sink import Sink

HOME = pathlib.Path(__file__).resolve().parents[2] / "target" / "mtas"
CONNECTIONS = 8


class Peer:
    """A mail server with two ports: what comes to `port` goes on to the gateway, what comes to `back`, by TLS, to the sink."""

    tls = "verified"

    def __init__(self, place, sink):
        self.place, self.sink = pathlib.Path(place), sink
        self.port, self.back = free_port(), free_port()
        self.process = None
        authority(place)
        self.root, self.certificate, self.key = (f"{place}/{name}" for name in ("root.pem", "hop.pem", "hop.key"))

    def run(self, *command):
        with open(self.place / "peer.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for_port(self.port, self.process)
        wait_for_port(self.back, self.process)

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)

    def said(self):
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in self.place.glob("*log"))


class Exim(Peer):
    def start(self, gateway):
        spool = self.place / "spool"
        spool.mkdir()
        for path in (spool, self.place, self.key):
            shutil.chown(path, "Debian-exim", "Debian-exim")
        configuration = self.place / "exim.conf"
        configuration.write_text(f"""
exim_path = {HOME}/exim4-daemon-light/usr/sbin/exim4
primary_hostname = exim.example.org
spool_directory = {spool}
log_file_path = {self.place}/%slog
pid_file_path = {self.place}/exim.pid
local_interfaces = <; 127.0.0.1
daemon_smtp_ports = {self.port} : {self.back}
tls_advertise_hosts = *
tls_certificate = {self.certificate}
tls_privatekey = {self.key}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
queue_run_max = 2
begin acl
rcpt:
  deny condition = ${{if eq{{$received_port}}{{{self.back}}}}}
       ! encrypted = *
  accept
begin routers
on:
  driver = manualroute
  condition = ${{if eq{{$received_port}}{{{self.port}}}}}
  route_list = * 127.0.0.1 byname
  self = send
  transport = on
out:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = out
begin transports
on:
  driver = smtp
  port = {gateway.smtp}
  hosts_require_tls = *
  tls_verify_certificates = {gateway.certificate}
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
out:
  driver = smtp
  port = {self.sink}
  hosts_avoid_tls = *
begin retry
* * F,1h,1s
""")
        self.run(HOME / "exim4-daemon-light/usr/sbin/exim4", "-C", configuration, "-bdf", "-q2s")


class OpenSMTPD(Peer):
    # 6.8, built with OpenSSL 3, ends every handshake that it takes part in as a server: OpenSMTPD issue 1171.
    tls = "none"

    def start(self, gateway):
        configuration = self.place / "smtpd.conf"
        configuration.write_text(f"""
queue ttl 1h
listen on 127.0.0.1 port {self.port} tag IN
listen on 127.0.0.1 port {self.back} tag BACK
action "on" relay host smtp+tls://127.0.0.1:{gateway.smtp} tls no-verify
action "out" relay host smtp://127.0.0.1:{self.sink}
match tag IN from any for any action "on"
match tag BACK from any for any action "out"
""")
        # Where its queue and its socket are is compiled in: file systems of its own stand there, for it alone.
        alone = 'mount -t tmpfs none /var/spool && mount -t tmpfs none /run && mkdir -m 711 /var/spool/smtpd && exec "$@"'
        self.run("unshare", "--mount", "sh", "-c", alone, "sh", HOME / "opensmtpd/usr/sbin/smtpd", "-d", "-f", configuration)


class PostfixPeer(Peer):
    def start(self, gateway):
        self.server = Postfix(self.place / "postfix", "\n".join([
            f"127.0.0.1:{self.port} inet n - n - - smtpd -o content_filter=on:[127.0.0.1]:{gateway.smtp}",
            f"127.0.0.1:{self.back} inet n - n - - smtpd -o content_filter=out:[127.0.0.1]:{self.sink}",
            "    -o smtpd_tls_security_level=encrypt",
            f"    -o smtpd_tls_cert_file={self.certificate} -o smtpd_tls_key_file={self.key}",
            "on unix - - n - - smtp -o smtp_tls_security_level=encrypt",
            "out unix - - n - - smtp",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
        ])).start()
        wait_for_port(self.back)

    def stop(self):
        self.server.stop()


class Aiosmtpd(Peer):
    def start(self, gateway):
        contexts = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts.load_cert_chain(self.certificate, self.key)
        loop = asyncio.new_event_loop()

        async def listen():
            plain = {"hostname": "aiosmtpd.example.org", "enable_SMTPUTF8": True, "data_size_limit": 1 << 26}
            on, out = Forward(gateway.smtp, ssl.create_default_context(cafile=gateway.certificate)), Forward(self.sink, None)
            await loop.create_server(lambda: Conversation(on, loop=loop, **plain), "127.0.0.1", self.port)
            await loop.create_server(lambda: Conversation(out, loop=loop, tls_context=contexts, require_starttls=True, **plain), "127.0.0.1", self.back)

        loop.run_until_complete(listen())
        threading.Thread(target=loop.run_forever, daemon=True).start()
        self.loop = loop

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


class Forward:
    """Says 250 once the next server has said it."""

    def __init__(self, port, tls):
        # Each way has threads of its own: what waits for the gateway must not be in the way of what it waits for.
        self.port, self.tls, self.threads = port, tls, concurrent.futures.ThreadPoolExecutor(50)
        if tls:
            tls.check_hostname = False

    async def handle_DATA(self, _server, _session, envelope):
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.give, envelope)

    def give(self, envelope):
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="aiosmtpd.example.org", timeout=60) as client:
            if self.tls:
                client.starttls(context=self.tls)
            client.sendmail(envelope.mail_from, envelope.rcpt_tos, envelope.original_content, ["BODY=8BITMIME"])
        return "250 2.0.0 gone on"


PEERS = {"Postfix": PostfixPeer, "Exim": Exim, "OpenSMTPD": OpenSMTPD, "aiosmtpd": Aiosmtpd}


def mails(count):
    """Messages of the shapes that servers have been seen to change: dots, long lines, eight bits, white space at the end."""
    made = {}
    for number in range(count):
        name = f"<{number}.{random.getrandbits(64):x}@example.org>"
        lines = [random.choice([".", "..", ". ", "From here", "", "text ", "\ttabs\t", "grüße, 日本", "x" * 998, "y" * random.randrange(900), "-- "])
                 for _ in range(random.randrange(60))]
        text = "".join(line + "\r\n" for line in lines).encode()
        file = base64.encodebytes(random.randbytes(random.choice([0, 1, 500, 40_000, 300_000] if number % 20 == 0 else [0, 700, 9_000]))).replace(b"\n", b"\r\n")
        made[name] = (
            f"From: Ann <ann@example.org>\r\nTo: =?utf-8?q?B=C3=B6b?= <bob@example.org>,\r\n  \"Long, folded\" <carl@example.org>\r\nSubject:\r\n folded at once\r\n"
            f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: {name}\r\nX-Odd:  two  blanks \r\nMIME-Version: 1.0\r\n"
            f"Content-Type: multipart/mixed; boundary=\"=_{number}\"\r\n\r\npreamble\r\n--=_{number}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n").encode() + text + (
            f"\r\n--=_{number}\r\nContent-Type: application/octet-stream; name=\"f.bin\"\r\nContent-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment; filename=\"f.bin\"\r\n\r\n").encode() + file + f"\r\n--=_{number}--\r\nepilogue\r\n".encode()
    return made


def send(port, made):
    """By several connections; a message that is refused for now is given again, as any client does."""
    waiting = queue.Queue()
    for mail in made.values():
        waiting.put(mail)

    def give():
        while True:
            try:
                with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example.org", timeout=60) as client:
                    while True:
                        mail = waiting.get_nowait()
                        try:
                            client.sendmail("ann@example.org", ["bob@example.org"], mail, ["BODY=8BITMIME"])
                        except (OSError, smtplib.SMTPException):
                            waiting.put(mail)
                            raise
            except queue.Empty:
                return
            except (OSError, smtplib.SMTPException):
                time.sleep(0.2)

    threads = [threading.Thread(target=give, daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def name_of(octets):
    found = re.search(rb"^Message-ID: (<[^>]*>)", octets, re.M | re.I)
    return found[1].decode() if found else None


def compare(made, taken):
    """What is missing, changed, doubled, and what went without TLS."""
    arrived = {}
    for _, octets in taken:
        arrived.setdefault(name_of(octets), []).append(octets)
    missing = [name for name in made if name not in arrived]
    changed, bare = [], []
    for name, original in made.items():
        for octets in arrived.get(name, []):
            trace = octets[: len(octets) - len(original)]
            fields = re.sub(rb"\r\n[ \t]+", b" ", trace)
            if not octets.endswith(original) or not re.fullmatch(rb"((Received|X-Peer|Return-Path|DKIM-Signature):[^\r\n]*\r\n)+", fields):
                changed.append(name)
            # The one that the gateway adds says how the message came to it.
            if not re.search(rb"Received: from [^\r\n]* by mail\.example\.org with (UTF8SMTP|ESMTP)S ", fields):
                bare.append(name)
    doubled = [name for name, copies in arrived.items() if len(copies) > 1]
    return {"missing": missing, "changed": changed, "doubled": doubled, "without TLS": bare}


def converse(name, program, count):
    place = workplace()
    sink = Sink()
    peer = PEERS[name](place, sink.port)
    gateway = Gateway(program, f"{place}/gateway", f"127.0.0.1:{peer.back}")
    # The gateway's own folder is closed to everybody else.
    gateway.certificate = shutil.copy(next((gateway.directory / "certs").rglob("fullchain.pem")), f"{place}/gateway.pem")
    gateway.set("relay", f'tls = "{peer.tls}"\nroots = "{peer.root}"')
    try:
        gateway.start()
        peer.start(gateway)
        made = mails(count)
        began = time.monotonic()
        send(peer.port, made)
        taken = sink.wait_for(lambda messages: len({name_of(octets) for _, octets in messages}) >= count, 300)
        wrong = {what: names for what, names in compare(made, taken).items() if names}
        told = "  ".join(f"{what} {len(names)} ({names[0]})" for what, names in wrong.items())
        print(f"{'FAILS' if wrong else 'ok':5} {name}: {len(taken)} of {count} by TLS to the gateway and back{' by TLS' if peer.tls == 'verified' else ''}, {told or 'octets the same'}, in {time.monotonic() - began:.0f} s")
        return not wrong
    except BaseException:
        print(gateway.log()[-3000:], peer.said(), sep="\n", file=sys.stderr)
        raise
    finally:
        peer.stop()
        gateway.stop()
        sink.close()
        shutil.rmtree(place, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--only", choices=PEERS, action="append")
    arguments = parser.parse_args()
    results = [converse(name, arguments.program, arguments.messages) for name in arguments.only or PEERS]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
