"""Mail from real clients through the gateway to a real Postfix, judged by dkimpy, openssl and swaks.

Prints one line for each claim; the first one that does not hold ends the walk.
"""

import argparse
import email
import email.policy
import io
import os
import pathlib
import random
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
import zipfile
from email.message import EmailMessage

import dkim
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from gateway import Dovecot, Gateway, Postfix, authority, free_port, workplace


def claim(text, holds, detail=""):
    print(("ok    " if holds else "FAILS ") + text + (f": {detail}" if detail else ""), flush=True)
    if not holds:
        raise SystemExit(1)


def below_trace(raw):
    """The octets below the fields that Postfix and the gateway put on top."""
    lines = raw.split(b"\n")
    index = 0
    while re.match(rb"(?i)(return-path|delivered-to|x-original-to|received):|[ \t]", lines[index]):
        index += 1
    return b"\n".join(lines[index:])


def plain(sender, to, subject="hello", text="A line.\n"):
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = "Sun, 22 Nov 2026 09:00:00 +0000"
    message["Message-ID"] = f"<{abs(hash((sender, to, subject, text)))}@example.org>"
    message.set_content(text)
    return message


def dns(said):
    """The records that `init` prints, as dkimpy asks for them."""
    records = {}
    for name, value in re.findall(r"^\s*(\S+_domainkey\S*?)\.? IN TXT (.+)$", said, re.M):
        records[name] = "".join(re.findall(r'"([^"]*)"', value)) or value
    return lambda name, timeout=5: records.get(name.decode().rstrip("."), "").encode()


def untouched(gateway, postfix):
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    sent = plain("emma@example.org", "anders@example.org").as_bytes()
    client.sendmail("emma@example.org", ["anders@example.org"], sent)
    client.quit()
    arrived = postfix.wait_for(1)[-1]
    claim("smtplib: internal mail arrives byte for byte", below_trace(arrived) == sent.replace(b"\r\n", b"\n"))
    trace = re.search(rb"id ([0-9a-f]{16}\.[a-z2-7]{12})", arrived)
    claim("the id in its trace field stands in the log", trace is not None and trace.group(1).decode() in gateway.log())


def swaks(gateway, postfix):
    for number, flags in enumerate((["--server", f"127.0.0.1:{gateway.smtp}"],
                                    ["--server", f"127.0.0.1:{gateway.smtp}", "--tls"],
                                    ["--server", f"127.0.0.1:{gateway.smtps}", "--tls-on-connect"])):
        ran = subprocess.run(["swaks", *flags, "--from", "emma@example.org", "--to", "anders@example.org",
                              "--ehlo", "client.example.org"], capture_output=True, text=True)
        claim(f"swaks {' '.join(flags[2:]) or 'in the clear'} is answered 250", ran.returncode == 0, ran.stdout[-300:] if ran.returncode else "")
        postfix.wait_for(2 + number)


def secured(gateway, postfix):
    before = len(postfix.mails())
    message = plain("emma@example.org", "karin@mail.example", "results", "The personal number is 850709-9805.\n")
    message.add_attachment(b"%PDF-1.4 not really" * 200, maintype="application", subtype="octet-stream", filename="scan.bin")
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.starttls(context=ssl._create_unverified_context())
    client.sendmail("emma@example.org", ["karin@mail.example"], message.as_bytes())
    client.quit()
    arrived = postfix.wait_for(before + 1)[-1]
    claim("personal data does not leave", b"850709" not in arrived and b"scan.bin" not in arrived.lower())
    link = re.search(rb"http://127\.0\.0\.1:\d+/m/[a-z2-7]{32}", arrived)
    claim("a link does", link is not None)
    parsed = email.message_from_bytes(arrived, policy=email.policy.default)
    claim("From, Message-ID are the author's", parsed["From"] == "emma@example.org" and parsed["Message-ID"] == message["Message-ID"])
    page = urllib.request.urlopen(link.group().decode()).read()
    claim("the link opens the landing page", b"Example Organisation" in page)
    signatures = parsed.get_all("DKIM-Signature") or []
    claim("two DKIM signatures", len(signatures) == 2, str(len(signatures)))
    wire = arrived.replace(b"\n", b"\r\n")
    for index in range(2):
        claim(f"dkimpy verifies signature {index + 1}", dkim.DKIM(wire).verify(idx=index, dnsfunc=dns(gateway.said)))
    tampered = wire.replace(b"\r\nSubject:", b"\r\nSubject: forged\r\nSubject:", 1)
    try:
        held = dkim.DKIM(tampered).verify(idx=0, dnsfunc=dns(gateway.said))
    except dkim.DKIMException:
        held = False
    claim("a second Subject breaks the signature", not held)


def certificate(gateway):
    ran = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.smtp}", "-starttls", "smtp", "-servername",
                          "mail.example.org"], input="QUIT\n", capture_output=True, text=True)
    claim("openssl s_client -starttls smtp: TLS 1.3 with our certificate", "TLSv1.3" in ran.stdout and "mail.example.org" in ran.stdout)
    old = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.smtps}", "-tls1_1"], input="", capture_output=True, text=True)
    claim("TLS 1.1 is refused", old.returncode != 0)


def report(gateway, postfix):
    """What the next hop refuses for everybody is refused by us; what it refuses for some comes back as a report."""
    before = len(postfix.mails())
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    text = plain("emma@example.org", "nobody@mail.example").as_bytes()
    try:
        client.sendmail("emma@example.org", ["nobody@mail.example"], text)
        claim("what Postfix refuses at once is refused by us", False, "taken")
    except smtplib.SMTPDataError as refused:
        claim("what Postfix refuses at once is refused by us", 500 <= refused.smtp_code < 600, f"{refused.smtp_code} {refused.smtp_error.decode()}")
    client.sendmail("emma@example.org", ["karin@mail.example", "nobody@mail.example"], text)
    client.quit()
    arrived = [email.message_from_bytes(mail, policy=email.policy.default) for mail in postfix.wait_for(before + 2)[before:]]
    reports = [mail for mail in arrived if mail.get_content_type() == "multipart/report"]
    claim("what it refuses for one of two comes back as a DSN", len(arrived) == 2 and len(reports) == 1, f"{len(arrived)} mails")
    for report in reports:
        fields = {key.lower(): value for part in report.get_payload()[1].get_payload() for key, value in part.items()}
        claim("with its status", fields.get("action") == "failed" and fields.get("status", "").startswith("5."), str(fields.get("status")))


def relay_rights(gateway):
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.ehlo("client.example.org")
    code, words = client.mail("mallory@elsewhere.example")
    if code == 250:
        code, words = client.rcpt("karin@mail.example")
    claim("a foreign sender is refused", 500 <= code < 600, f"{code} {words.decode()}")
    client.quit()


def open_relay(program, place, hop):
    """nmap's sixteen ways to relay, tried as a stranger."""
    gateway = Gateway(program, f"{place}/stranger", f"127.0.0.1:{hop}")
    config = gateway.directory / "waxseal.toml"
    config.write_text(re.sub(r"relay_networks = .*", 'relay_networks = ["192.0.2.0/24"]', config.read_text()))
    gateway.start()
    # The plus sign: on a port that is not 25 as well.
    tried = subprocess.run(["nmap", "-Pn", "-p", str(gateway.smtp), "--script", "+smtp-open-relay", "--script-args",
                            "smtp-open-relay.domain=elsewhere.example", "127.0.0.1"], capture_output=True, text=True)
    gateway.stop()
    said = re.search(r"smtp-open-relay: (.*)", tried.stdout)
    # It ends its tests where every one of them would be asked to authenticate.
    closed = said is not None and ("authentication needed" in said.group(1) or "all tests failed" in said.group(1))
    claim("nmap smtp-open-relay: 0 of 16", closed, said.group(1) if said else tried.stdout + tried.stderr)


def many(gateway, postfix, count):
    before = len(postfix.mails())
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    for number in range(count):
        message = plain("emma@example.org", "karin@mail.example", f"number {number}", f"pnr 850709-9805, number {number}, ÅÄÖ\n")
        client.sendmail("emma@example.org", ["karin@mail.example"], message.as_bytes())
    client.quit()
    good = 0
    for raw in postfix.wait_for(before + count, 120)[before:]:
        wire = raw.replace(b"\n", b"\r\n")
        good += all(dkim.DKIM(wire).verify(idx=index, dnsfunc=dns(gateway.said)) for index in range(2))
    claim(f"dkimpy verifies {count} of {count} rewritten mails", good == count, str(good))


def conversation(port):
    """A raw client: send octets, read replies."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    read = connection.makefile("rb")

    def replies(count):
        codes = []
        while len(codes) < count:
            line = read.readline()
            if not line:
                break
            if line[3:4] == b" ":
                codes.append(line[:3].decode())
        return codes

    return connection, replies


def pipelined(gateway, postfix):
    before = len(postfix.mails())
    connection, replies = conversation(gateway.smtp)
    replies(1)
    connection.sendall(b"EHLO client.example.org\r\n")
    replies(1)
    one = b"MAIL FROM:<emma@example.org>\r\nRCPT TO:<anders@example.org>\r\nRCPT TO:<bo@example.org>\r\nDATA\r\n"
    connection.sendall(one)
    codes = replies(4)
    connection.sendall(b"From: emma@example.org\r\nSubject: one\r\n\r\n..dots\r\n.\r\n" + one)
    codes += replies(5)
    connection.sendall(b"From: emma@example.org\r\nSubject: two\r\n\r\ntext\r\n.\r\nQUIT\r\n")
    codes += replies(2)
    connection.close()
    claim("a pipelined client is answered in order", codes == "250 250 250 354 250 250 250 250 354 250 221".split(), " ".join(codes))
    arrived = postfix.wait_for(before + 4)[before:]
    claim("and its dots are as they were", sum(raw.endswith(b"\n\n.dots\n") for raw in arrived) == 2)


def eight_bits(gateway, postfix):
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.ehlo("client.example.org")
    for name, to, subject, options in (("8BITMIME", "anders@example.org", "soup", ["BODY=8BITMIME"]),
                                       ("SMTPUTF8", "åsa@example.org", "soppa åäö", ["BODY=8BITMIME", "SMTPUTF8"])):
        before = len(postfix.mails())
        sent = (f"From: emma@example.org\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n"
                f"Message-ID: <{name}@example.org>\r\nMIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nBlåbärssoppa.\r\n").encode()
        client.sendmail("emma@example.org", [to], sent, mail_options=options)
        arrived = postfix.wait_for(before + 1)[-1]
        claim(f"{name} mail arrives byte for byte", below_trace(arrived) == sent.replace(b"\r\n", b"\n"))
    client.quit()


def large(gateway, postfix):
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    attachment = random.Random(1).randbytes(20 << 20)
    for to in ("anders@example.org", "karin@mail.example"):
        before = len(postfix.mails())
        message = plain("emma@example.org", to, "large", "A film.\n")
        message.add_attachment(attachment, maintype="video", subtype="mp4", filename="film.mp4")
        sent = message.as_bytes()
        client.sendmail("emma@example.org", [to], sent)
        arrived = postfix.wait_for(before + 1)[-1]
        if to.endswith("example.org"):
            claim("20 MB inside arrive byte for byte", below_trace(arrived) == sent.replace(b"\r\n", b"\n"))
        else:
            claim("20 MB outside arrive as a link", len(arrived) < 50_000 and b"/m/" in arrived, f"{len(arrived)} octets")
    client.quit()


def success(gateway, postfix):
    before = len(postfix.mails())
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.ehlo("client.example.org")
    message = plain("emma@example.org", "anders@example.org", "tell me").as_bytes()
    client.sendmail("emma@example.org", ["anders@example.org"], message, mail_options=["ENVID=q-1", "RET=HDRS"], rcpt_options=["NOTIFY=SUCCESS"])
    client.quit()
    reports = [email.message_from_bytes(raw, policy=email.policy.default) for raw in postfix.wait_for(before + 2)[before:]]
    report = next(mail for mail in reports if mail.get_content_type() == "multipart/report")
    status = report.get_payload()[1].get_payload()
    fields = {key.lower(): value for part in status for key, value in part.items()}
    claim("NOTIFY=SUCCESS reaches the hop that delivers", fields.get("action") == "delivered", str(fields.get("action")))
    claim("with ENVID", fields.get("original-envelope-id") == "q-1", str(fields.get("original-envelope-id")))


def submission(gateway, postfix):
    before = len(postfix.mails())
    added = subprocess.run([gateway.program, "user", "add", "scanner", "--address", "scanner@example.org",
                            "--config", str(gateway.directory / "waxseal.toml")], input="a long enough secret\n", capture_output=True, text=True)
    claim("`user add` while the gateway runs", added.returncode == 0, added.stderr)
    time.sleep(4)
    base = ["swaks", "--server", f"127.0.0.1:{gateway.smtp}", "--tls", "--to", "karin@mail.example", "--ehlo", "client.example.org", "--auth-user", "scanner"]
    for mechanism in ("PLAIN", "LOGIN"):
        ran = subprocess.run([*base, "--from", "scanner@example.org", "--auth", mechanism, "--auth-password", "a long enough secret"], capture_output=True, text=True)
        claim(f"swaks submits with AUTH {mechanism}", ran.returncode == 0, ran.stdout[-300:] if ran.returncode else "")
    wrong = subprocess.run([*base, "--from", "scanner@example.org", "--auth", "PLAIN", "--auth-password", "a wrong secret"], capture_output=True, text=True)
    claim("a wrong password is refused", wrong.returncode != 0 and "535 5.7.8" in wrong.stdout)
    postfix.wait_for(before + 2)


class Keeper:
    """What an AUTH next hop took."""

    def __init__(self):
        self.taken = []

    async def handle_DATA(self, server, session, envelope):
        self.taken.append((session.authenticated, session.ssl is not None, envelope.rcpt_tos))
        return "250 2.0.0 kept"


def next_hop_with_auth(program, place):
    authority(place)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{place}/hop.pem", f"{place}/hop.key")
    keeper, port = Keeper(), free_port()
    right = lambda server, session, envelope, mechanism, data: AuthResult(success=(data.login, data.password) == (b"gateway", b"hop secret"))
    controller = Controller(keeper, hostname="127.0.0.1", port=port, tls_context=tls, auth_required=True, auth_require_tls=True, require_starttls=True, authenticator=right)
    gateway = Gateway(program, f"{place}/auth", f"127.0.0.1:{port}")
    secret = gateway.directory / "keys/hop"
    secret.write_text("hop secret\n")
    secret.chmod(0o600)
    config = gateway.directory / "waxseal.toml"
    original = config.read_text()

    def relay(lines):
        config.write_text(original.replace("[relay]\n", f'[relay]\nusername = "gateway"\npassword_file = "keys/hop"\n{lines}\n'))

    def send():
        with smtplib.SMTP("127.0.0.1", gateway.smtp) as client:
            client.sendmail("emma@example.org", ["anders@example.org"], plain("emma@example.org", "anders@example.org").as_bytes())

    try:
        relay('tls = "verified"')
        gateway.start()
        send()
        waits = lambda words: until(lambda: words in (listed := gateway.run("queue", "list")).stdout and listed.stdout)
        claim("mail waits while the next hop is down", bool(waits("1 in the queue")))
        waits("4.4.1")
        entry = gateway.run("queue", "list").stdout.split()[0]
        shown = gateway.run("queue", "show", entry)
        claim("`queue show` tells why", shown.returncode == 0 and "anders@example.org" in shown.stdout and "4.4.1" in shown.stdout, shown.stdout + shown.stderr)
        controller.start()
        time.sleep(6)
        claim("`queue retry`", gateway.run("queue", "retry", entry).returncode == 0)
        told = until(lambda: "certificate" in (said := gateway.run("queue", "show", entry).stdout) and said)
        claim("a certificate that does not hold gets no mail and no password", bool(told) and not keeper.taken, told or gateway.run("queue", "show", entry).stdout)
        dropped, again = gateway.run("queue", "drop", entry), gateway.run("queue", "drop", entry)
        claim("`queue drop`, once", (dropped.returncode, again.returncode) == (0, 1) and "no such entry" in again.stderr, again.stderr)
        gateway.stop()
        for lines in ('tls = "required"', f'tls = "verified"\nroots = "{place}/root.pem"'):
            relay(lines)
            gateway.start()
            before = len(keeper.taken)
            send()
            until(lambda: len(keeper.taken) > before)
            claim(f"AUTH under TLS to the next hop, {lines.split(chr(10))[0]}", keeper.taken[before:] == [(True, True, ["anders@example.org"])], str(keeper.taken[before:]))
            gateway.stop()
    except BaseException:
        sys.stderr.write(gateway.log()[-3000:])
        raise
    finally:
        gateway.stop()
        controller.stop()


def under_systemd(program, place):
    """What systemd does: sockets by name, readiness, watchdog, a user without rights."""
    gateway = Gateway(program, f"{place}/unit", "127.0.0.1:9")
    for path in [gateway.directory, *gateway.directory.rglob("*")]:
        shutil.chown(path, "nobody")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(f"{place}/notify")
    os.chmod(f"{place}/notify", 0o777)
    told.settimeout(20)
    # Not the port of the configuration: this one must be served.
    handed = socket.create_server(("127.0.0.1", 0), backlog=16)
    environment = {"PATH": os.environ["PATH"], "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp", "NOTIFY_SOCKET": f"{place}/notify", "WATCHDOG_USEC": "1000000"}
    log = open(f"{place}/unit.log", "w+b")

    def start(**more):
        return subprocess.Popen([gateway.program, "serve", "--config", str(gateway.directory / "waxseal.toml")], stdout=log, stderr=log, user="nobody",
                                group="nogroup", extra_groups=[], env={**environment, **more}, close_fds=False, preexec_fn=lambda: os.dup2(handed.fileno(), 3, True))

    process = start()
    try:
        claim("READY=1 to systemd", b"READY=1" in told.recv(99))
        claim("WATCHDOG=1 within its time", b"WATCHDOG=1" in told.recv(99))
        port = handed.getsockname()[1]
        with smtplib.SMTP("127.0.0.1", port) as client:
            message = plain("emma@example.org", "karin@mail.example")
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as entries:
                entries.writestr("numbers.csv", "a,b\n1,2\n")
            message.add_attachment(archive.getvalue(), maintype="application", subtype="zip", filename="numbers.zip")
            client.sendmail("emma@example.org", ["karin@mail.example"], message.as_bytes())
        claim("an inherited socket is served, by a user without rights", True)
        workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        held = [os.readlink(file) for worker in workers for file in pathlib.Path(f"/proc/{worker}/fd").iterdir()]
        claim("a worker that reads attachments holds no socket and no file", workers and all(link.startswith(("pipe:", "/dev/null")) for link in held), str(held))
        process.terminate()
        claim("SIGTERM, as systemd sends it", process.wait(40) == 0)
        process = start(LISTEN_FDNAMES="smpt")
        code = process.wait(20)
        log.seek(0)
        claim("a socket with an unknown name stops the start", code == 1 and b'a socket named "smpt" was handed over' in log.read())
    except BaseException:
        log.seek(0)
        sys.stderr.write(log.read().decode()[-3000:])
        raise
    finally:
        if process.poll() is None:
            process.kill()
        handed.close()


def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if held := holds():
            return held
        time.sleep(0.2)
    return None


def behind_postfix(program, place):
    """The example's own lines, with ports of ours and without what needs accounts."""
    entry, back, gate = free_port(), free_port(), free_port()
    example = pathlib.Path("examples/behind-postfix/master.cf").read_text()
    for before, after in (("submission inet n - y", f"127.0.0.1:{entry} inet n - n"), (":10024", f":{gate}"), (":10025", f":{back}"),
                          ("  -o smtpd_tls_security_level=encrypt\n", ""), ("  -o smtpd_sasl_auth_enable=yes\n", ""),
                          ("permit_sasl_authenticated", "permit_mynetworks"), ("pickup unix n - y", "pickup unix n - n")):
        assert before in example, before
        example = example.replace(before, after)
    postfix = Postfix(f"{place}/around", example).start()
    gateway = Gateway(program, f"{place}/inside", f"127.0.0.1:{back}")
    config = gateway.directory / "waxseal.toml"
    # Both have the machine's one name, as they will.
    text = config.read_text().replace(f"127.0.0.1:{gateway.smtp}", f"127.0.0.1:{gate}")
    config.write_text(text.replace('hostname = "mail.example.org"', 'hostname = "hop.example.org"'))
    gateway.smtp = gate
    gateway.start()
    try:
        with smtplib.SMTP("127.0.0.1", entry) as client:
            sent = plain("emma@example.org", "anders@example.org", "inside").as_bytes()
            client.sendmail("emma@example.org", ["anders@example.org"], sent)
            client.sendmail("emma@example.org", ["karin@mail.example"], plain("emma@example.org", "karin@mail.example", "outside", "pnr 850709-9805\n").as_bytes())
        mails = postfix.wait_for(2)
        time.sleep(2)
        claim("behind Postfix: each mail comes back once", len(postfix.mails()) == 2)
        inside = next(raw for raw in mails if b"\nSubject: inside" in raw)
        outside = next(raw for raw in mails if b"\nSubject: inside" not in raw)
        claim("behind Postfix: inside untouched", below_trace(inside) == sent.replace(b"\r\n", b"\n"))
        claim("behind Postfix: outside a link", b"850709" not in outside and b"/m/" in outside)
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail("stranger@elsewhere.example", ["anders@example.org"], plain("stranger@elsewhere.example", "anders@example.org", "incoming").as_bytes())
        postfix.wait_for(3)
        claim("behind Postfix: incoming mail does not pass the gateway", gateway.log().count('event="accepted"') == 2)
    except BaseException:
        sys.stderr.write(gateway.log()[-3000:])
        raise
    finally:
        gateway.stop()
        postfix.stop()


def lmtp(program, place):
    """Dovecot's LMTP server as next hop: each recipient has a fate of its own."""
    dovecot = Dovecot(f"{place}/dovecot").start()
    gateway = Gateway(program, f"{place}/lmtp", f"127.0.0.1:{dovecot.port}")
    config = gateway.directory / "waxseal.toml"
    config.write_text(config.read_text().replace(f'"127.0.0.1:{dovecot.port}"', f'"lmtp://127.0.0.1:{dovecot.port}"'))
    gateway.start()
    try:
        client = smtplib.SMTP("127.0.0.1", gateway.smtp)
        sent = plain("lars@example.org", "anders@example.org").as_bytes()
        client.sendmail("lars@example.org", ["anders@example.org", "full@example.org", "nobody@example.org"], sent, rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
        client.quit()
        arrived = dovecot.wait_for("anders", 1)[0]
        claim("Dovecot takes mail by LMTP, byte for byte", below_trace(arrived) == sent.replace(b"\r\n", b"\n"))
        reports = [email.message_from_bytes(raw, policy=email.policy.default) for raw in dovecot.wait_for("lars", 2)]
        fates = {}
        for report in reports:
            for part in report.get_payload()[1].get_payload()[1:]:
                fates[part["Final-Recipient"].split("; ")[1]] = (part["Action"], part["Status"], part["Diagnostic-Code"])
        claim("who is over quota and who is not known fail alone", [fates[f"{name}@example.org"][0] for name in ("full", "nobody")] == ["failed", "failed"])
        claim("with what Dovecot said", all(fates[f"{name}@example.org"][2].startswith("smtp; 55") for name in ("full", "nobody")), fates["full@example.org"][2])
        claim("who has it is reported as delivered", fates["anders@example.org"][0] == "delivered")
        claim("and none comes twice", len(dovecot.mails("anders")) == 1 and gateway.waiting() == [])
    except BaseException:
        sys.stderr.write(gateway.log()[-4000:])
        raise
    finally:
        gateway.stop()
        dovecot.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments = arguments.parse_args()
    place = workplace()
    postfix = Postfix(f"{place}/postfix").start()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{postfix.port}")
    config = gateway.directory / "waxseal.toml"
    config.write_text(config.read_text().replace("[smtp]\n", '[smtp]\nusers_file = "users"\n'))
    (gateway.directory / "users").touch(0o600)
    gateway.start()
    try:
        untouched(gateway, postfix)
        swaks(gateway, postfix)
        secured(gateway, postfix)
        certificate(gateway)
        report(gateway, postfix)
        relay_rights(gateway)
        pipelined(gateway, postfix)
        eight_bits(gateway, postfix)
        large(gateway, postfix)
        success(gateway, postfix)
        submission(gateway, postfix)
        many(gateway, postfix, 100)
        listed = gateway.run("queue", "list")
        claim("the queue is empty", listed.stdout.strip() == "0 in the queue", listed.stdout + listed.stderr)
        claim("SIGTERM ends it in order", gateway.stop() == 0)
        open_relay(arguments.program, place, postfix.port)
        next_hop_with_auth(arguments.program, place)
        behind_postfix(arguments.program, place)
        lmtp(arguments.program, place)
        under_systemd(arguments.program, place)
    except BaseException:
        sys.stderr.write(gateway.log()[-4000:])
        raise
    finally:
        gateway.stop()
        postfix.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
