"""Mail from real clients through the gateway to a real Postfix, judged by dkimpy, openssl and swaks.

Prints one line for each claim; the first one that does not hold ends the walk.
"""

import argparse
import email
import email.policy
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import urllib.request
from email.message import EmailMessage

import dkim

from gateway import Gateway, Postfix, workplace


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
    before = len(postfix.mails())
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.sendmail("emma@example.org", ["nobody@mail.example"], plain("emma@example.org", "nobody@mail.example").as_bytes())
    client.quit()
    arrived = email.message_from_bytes(postfix.wait_for(before + 1)[-1], policy=email.policy.default)
    claim("what Postfix refuses comes back as a DSN", arrived.get_content_type() == "multipart/report")
    status = arrived.get_payload()[1].get_payload()
    fields = {key.lower(): value for part in status for key, value in part.items()}
    claim("with its status", fields.get("action") == "failed" and fields.get("status", "").startswith("5."), str(fields.get("status")))


def relay_rights(gateway):
    client = smtplib.SMTP("127.0.0.1", gateway.smtp)
    client.ehlo("client.example.org")
    code, words = client.mail("mallory@elsewhere.example")
    if code == 250:
        code, words = client.rcpt("karin@mail.example")
    claim("a foreign sender is refused", 500 <= code < 600, f"{code} {words.decode()}")
    client.quit()


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


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments = arguments.parse_args()
    place = workplace()
    postfix = Postfix(f"{place}/postfix").start()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{postfix.port}").start()
    try:
        untouched(gateway, postfix)
        swaks(gateway, postfix)
        secured(gateway, postfix)
        certificate(gateway)
        report(gateway, postfix)
        relay_rights(gateway)
        many(gateway, postfix, 100)
        listed = gateway.run("queue", "list")
        claim("the queue is empty", listed.stdout.strip() == "0 in the queue", listed.stdout + listed.stderr)
        claim("SIGTERM ends it in order", gateway.stop() == 0)
    except BaseException:
        sys.stderr.write(gateway.log()[-4000:])
        raise
    finally:
        gateway.stop()
        postfix.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
