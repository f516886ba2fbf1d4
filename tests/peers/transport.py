"""The ways in: client certificates, tenants of a shared cloud, XCLIENT, PROXY headers of a real HAProxy, senders' limits.

swaks, openssl, HAProxy and smtplib against whole gateways. Prints one line for each claim; the first one that does not
hold ends the run.
"""

import argparse
import contextlib
import pathlib
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import time

from gateway import Gateway, free_port, wait_for_port, workplace
from sink import Sink

ANN, BOB = "ann@example.org", "bob@mail.example"


def claim(text, holds, detail=""):
    print(("ok    " if holds else "FAILS ") + text + (f": {detail}" if detail != "" else ""), flush=True)
    if not holds:
        raise SystemExit(1)


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, **options)


class Authority:
    """A certification authority of openssl."""

    def __init__(self, folder, name):
        self.folder, self.name = pathlib.Path(folder), name
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "ca.pem"
        self._openssl("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}", "-days", "30")

    def issue(self, name, usage="clientAuth"):
        """The files of a certificate and its key."""
        self._openssl("req", *KEY, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}")
        (self.folder / "ext").write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage={usage}\n")
        self._openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "30", "-extfile", "ext")
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def message(header="", sender=ANN):
    return f"From: {sender}\r\nTo: {BOB}\r\nSubject: hello\r\nMessage-ID: <{time.monotonic_ns()}@example.org>\r\n{header}\r\nA line.\r\n"


def send(port, badge=None, source="127.0.0.1", sender=ANN, octets=None, tls=True):
    """One message; the reply that ended it."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example.org", source_address=(source, 0), timeout=60) as client:
        if tls:
            context = ssl._create_unverified_context()
            if badge:
                context.load_cert_chain(*badge)
            client.starttls(context=context)
        client.ehlo()
        for step in (lambda: client.mail(sender), lambda: client.rcpt(BOB), lambda: client.data(octets or message())):
            code, words = step()
            if code >= 400:
                break
        return f"{code} {words.decode()}"


def with_swaks(gateway, *flags):
    return run("swaks", "--server", f"127.0.0.1:{gateway.smtp}", "--from", ANN, "--to", BOB, "--ehlo", "client.example.org", *flags)


def certificates(place):
    house, strange = Authority(f"{place.path}/house", "House CA"), Authority(f"{place.path}/strange", "Strange CA")
    erp, pinned, other = house.issue("erp.example.org"), strange.issue("printer.example"), strange.issue("erp.example.org")
    fingerprint = run("openssl", "x509", "-in", pinned[0], "-noout", "-fingerprint", "-sha256").stdout.strip().split("=")[1]
    gateway = place.gateway(relay_networks="[]")
    gateway.configure(f'[[smtp.certificates]]\nname = "erp.example.org"\nca = "{house.file}"\n[[smtp.certificates]]\nsha256 = "{fingerprint}"\n')
    gateway.start()
    for name, badge, code in [("of the named client", erp, 0), ("that is pinned", pinned, 0), ("of that name by another authority", other, 1), ("that is missing", None, 1)]:
        flags = ["--tls", *(["--tls-cert", badge[0], "--tls-key", badge[1]] if badge else [])]
        ran = with_swaks(gateway, *flags)
        taken = ran.returncode == 0
        claim(f"swaks with a certificate {name} is {'taken' if code == 0 else 'a stranger'}", taken == (code == 0) and (taken or "530 5.7.0" in ran.stdout))
    asked = openssl(gateway.smtp, erp)
    claim("openssl s_client -cert: the handshake asks for one, and MAIL is answered 250", "Requested Signature Algorithms" in asked and "250 2.1.0" in asked)
    shutil.copy(strange.file, house.file)
    claim("a new authority is read without a restart", gateway.run("reload").returncode == 0 and send(gateway.smtp, erp).startswith("530") and send(gateway.smtp, other).startswith("250"))
    plain = place.gateway().start()
    claim("where no right depends on one, nobody is asked", "Requested Signature Algorithms" not in openssl(plain.smtp, erp))


def openssl(port, badge):
    """A session of openssl up to MAIL, on port 587 or 25."""
    arguments = ["openssl", "s_client", "-starttls", "smtp", "-crlf", "-connect", f"127.0.0.1:{port}", "-cert", badge[0], "-key", badge[1], "-ign_eof"]
    # s_client says EHLO in the clear, and nothing after the handshake.
    return run(*arguments, input=f"EHLO client.example\nMAIL FROM:<{ANN}>\nQUIT\n").stdout


def cloud(place):
    """S25: what comes from a shared cloud without the proof of our tenant is relayed by nobody's name."""
    issuer, strange = Authority(f"{place.path}/issuer", "Public CA"), Authority(f"{place.path}/fake", "Public CA")
    # Public authorities certify servers alone.
    mail, tenant = issuer.issue("mail.protection.cloud.example", "serverAuth"), issuer.issue("tenant.example", "serverAuth")
    fake = strange.issue("mail.protection.cloud.example", "serverAuth")
    mark, evil = "X-OriginatorOrg: example.org\r\n", "X-OriginatorOrg: evil.example\r\n"
    gateway = place.gateway(relay_networks='["127.0.0.1/32"]', foreign_from='"pass"')
    gateway.configure(f'[[smtp.clouds]]\nnetworks = ["127.0.0.64/26"]\nname = "mail.protection.cloud.example"\nca = "{issuer.file}"\nfields = ["X-OriginatorOrg: example.org"]\n')
    gateway.start()
    from_cloud = lambda badge, octets=None, sender=ANN, tls=True: send(gateway.smtp, badge, "127.0.0.77", sender, octets, tls)
    attempts = {
        "in the clear": from_cloud(None, message(mark), tls=False),
        "without a certificate": from_cloud(None, message(mark)),
        "with a tenant's own certificate": from_cloud(tenant, message(mark)),
        "with the cloud's name by another authority": from_cloud(fake, message(mark)),
        "without the field": from_cloud(mail),
        "with another tenant's field": from_cloud(mail, message(evil)),
        "with another tenant's field and ours": from_cloud(mail, message(evil + mark)),
        "with ours in the body": from_cloud(mail, message("\r\n" + mark)),
        "with a foreign From": from_cloud(mail, message(mark, "eve@elsewhere.example")),
        "with a foreign reverse-path": from_cloud(mail, message(mark), "eve@elsewhere.example"),
    }
    refused = {name: reply for name, reply in attempts.items() if re.match("5[35][04] ", reply)}
    claim("S25 a client in a cloud's range without the proof of our tenant is refused", len(refused) == len(attempts) == 10,
          {name: reply for name, reply in attempts.items() if name not in refused} or "10 of 10")
    claim("S25 with the proof it is taken, in our name and as a report", from_cloud(mail, message(mark)).startswith("250") and from_cloud(mail, message(mark), "").startswith("250"))
    place.sink.wait_for(lambda taken: len(taken) >= 2, 30)
    time.sleep(1)
    claim("S25 relayed without the proof", len(place.sink.taken()) == 2, f"{len(place.sink.taken()) - 2} of 10")


def xclient(place):
    gateway = place.gateway(relay_networks='["192.0.2.0/24"]', xclient_networks='["127.0.0.1/32"]').start()
    ran = with_swaks(gateway, "--xclient-addr", "192.0.2.7", "--xclient-name", "mail.example", "--xclient-helo", "desk.example", "--xclient-proto", "ESMTP")
    claim("swaks with XCLIENT is answered 250", ran.returncode == 0, ran.stdout[-400:] if ran.returncode else "")
    (_, octets), = place.sink.wait_for(lambda taken: len(taken) == 1, 30)
    claim("and the client that it names stands in the trace field", octets.startswith(b"Received: from desk.example ([192.0.2.7])"), octets[:60])
    ran = with_swaks(gateway, "--xclient-addr", "203.0.113.9")
    claim("a stranger by XCLIENT is a stranger", ran.returncode != 0 and "530 5.7.0" in ran.stdout)
    ran = with_swaks(gateway, "--tls", "--xclient-addr", "IPV6:2001:db8::1", "--xclient-login", ANN, "--xclient-no-verify")
    claim("a login by XCLIENT is nobody's", ran.returncode != 0 and f"LOGIN={ANN}" in ran.stdout and "530 5.7.0" in ran.stdout, ran.stdout[-300:] if ran.returncode == 0 else "")
    other = place.gateway(relay_networks='["192.0.2.0/24"]').start()
    ran = with_swaks(other, "--xclient-addr", "192.0.2.7")
    claim("S26 XCLIENT is offered to nobody else", ran.returncode != 0 and "XCLIENT" not in ran.stdout)
    for verb in ("XCLIENT ADDR=192.0.2.7", "XFORWARD ADDR=192.0.2.7"):
        with smtplib.SMTP("127.0.0.1", other.smtp, timeout=60) as client:
            client.ehlo("client.example.org")
            refused, mail = client.docmd(verb), client.mail(ANN)
        claim(f"S26 {verb.split()[0]} of anybody else is refused, and has no effect", (refused[0], mail[0]) == (550, 530), (refused, mail))
    strange = talk(other.smtp, b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n", after_banner=True)
    claim("S26 nor has a PROXY header", strange.startswith("500") and send(other.smtp).startswith("530"), strange)


def talk(port, octets, after_banner=False):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as read:
        if after_banner:
            read.readline()
        connection.sendall(octets)
        return read.readline().decode().strip()


HAPROXY = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen text
    bind 127.0.0.1:{text}
    server gateway 127.0.0.1:{smtp} send-proxy check check-send-proxy inter 200
listen binary
    bind 127.0.0.1:{binary}
    server gateway 127.0.0.1:{smtp} send-proxy-v2 check check-send-proxy inter 200
listen smtps
    bind 127.0.0.1:{smtps_front}
    server gateway 127.0.0.1:{smtps} send-proxy-v2-ssl-cn
listen pages
    bind 127.0.0.1:{pages}
    server gateway 127.0.0.1:{web} send-proxy-v2
"""


@contextlib.contextmanager
def haproxy(place, gateway):
    """HAProxy in front of all ports of a gateway; its own ports by name."""
    ports = {name: free_port() for name in ("text", "binary", "smtps_front", "pages")}
    config = pathlib.Path(f"{place.path}/haproxy.cfg")
    config.write_text(HAPROXY.format(**ports, smtp=gateway.smtp, smtps=gateway.smtps, web=gateway.web))
    with open(f"{place.path}/haproxy.log", "wb") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=log, stderr=log)
    try:
        for port in ports.values():
            wait_for_port(port, process)
        yield ports
    finally:
        process.kill()
        process.wait()


def proxied(place):
    gateway = place.gateway(relay_networks='["127.0.0.9/32"]', proxy_networks='["127.0.0.1/32"]')
    gateway.set("web", proxy_networks='["127.0.0.1/32"]', connections_per_client=1)
    gateway.start()
    with haproxy(place, gateway) as ports:
        for number, (name, port) in enumerate([("version 1", ports["text"]), ("version 2", ports["binary"])]):
            claim(f"HAProxy, {name}: a client in the relay networks is taken", (reply := send(port, source="127.0.0.9")).startswith("250"), reply)
            octets = place.sink.wait_for(lambda taken: len(taken) == number + 1, 30)[-1][1]
            claim(f"HAProxy, {name}: and stands in the trace field", octets.startswith(b"Received: from client.example.org ([127.0.0.9])"), octets[:70])
            claim(f"HAProxy, {name}: any other is a stranger, as is the proxy's own address", all(send(port, source=source).startswith("530") for source in ("127.0.0.8", "127.0.0.1")))
        with smtplib.SMTP_SSL("127.0.0.1", ports["smtps_front"], source_address=("127.0.0.9", 0), context=ssl._create_unverified_context()) as client:
            claim("HAProxy, version 2 before TLS: a session under TLS from the first octet", client.sendmail(ANN, [BOB], message()) == {})
        page = fetch(ports["pages"], "127.0.0.20")
        claim("HAProxy, version 2: pages are served", b"HTTP/1.1" in page, page[:40])
        with connected(ports["pages"], "127.0.0.20"):
            claim("HAProxy: a client's connections are the client's, not the proxy's", fetch(ports["pages"], "127.0.0.20") == b"" and fetch(ports["pages"], "127.0.0.21") != b"")
        time.sleep(1)
        claim("HAProxy's health checks hold the servers up and leave no trace in the log", "PROXY header" not in gateway.log() and send(ports["binary"], source="127.0.0.9").startswith("250"))
    with socket.create_connection(("127.0.0.1", gateway.smtp), timeout=30) as connection:
        connection.sendall(b"EHLO client.example\r\n")
        claim("a proxy that sends no header is hung up on without a word", heard(connection) == b"")


def fetch(port, source):
    """What comes back for a request, up to some hundred octets; nothing when the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), source_address=(source, 0), timeout=30) as connection:
        connection.sendall(b"GET /m/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return heard(connection)


def heard(connection):
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(400)
    return b""


@contextlib.contextmanager
def connected(port, source):
    """A connection on which the first request is answered and the next one awaited."""
    with socket.create_connection(("127.0.0.1", port), source_address=(source, 0), timeout=30) as connection:
        connection.sendall(b"GET /m/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(400)
        yield


def senders(place):
    gateway = place.gateway(sender_messages="3").start()
    replies = [send(gateway.smtp, tls=False) for _ in range(6)]
    claim("the fourth message of an hour is put off, with words", [reply[:3] for reply in replies] == ["250"] * 3 + ["451"] * 3 and "4.7.1 this sender has sent 3 messages within an hour" in replies[3], replies[3])
    claim("and the operator is told once, of whom", gateway.log().count('event="alarm"') == 1 and 'sender="ann@example.org"' in gateway.log())
    claim("others are not kept waiting", send(gateway.smtp, sender="bo@example.org", octets=message(sender="bo@example.org"), tls=False).startswith("250"))


class Place:
    """A directory with a sink and gateways in front of it; all of it goes at the end."""

    def __init__(self, program):
        self.program, self.path, self.gateways, self.sink = program, workplace(), [], Sink()

    def gateway(self, **options):
        made = Gateway(self.program, f"{self.path}/gateway-{len(self.gateways)}", f"127.0.0.1:{self.sink.port}").set("smtp", **options)
        self.gateways.append(made)
        return made

    def clear(self):
        for gateway in self.gateways:
            gateway.stop()
        self.sink.close()
        shutil.rmtree(self.path, ignore_errors=True)


CLAIMS = {"certificates": certificates, "cloud": cloud, "xclient": xclient, "proxied": proxied, "senders": senders}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=CLAIMS, action="append")
    arguments = parser.parse_args()
    for name in arguments.only or CLAIMS:
        place = Place(arguments.program)
        try:
            CLAIMS[name](place)
        except BaseException:
            for gateway in place.gateways:
                sys.stderr.write(gateway.log()[-3000:])
            raise
        finally:
            place.clear()


if __name__ == "__main__":
    main()
