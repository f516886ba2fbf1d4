"""A reader with a text browser that says neither Origin nor Sec-Fetch-Site: link, address, password by mail, message, file.

lynx takes its keys from a pipe and looks for the next one when a page stands, so nothing has to be waited for but mail.
Links and fields are numbered, which tells how many steps it is to each of them."""

import argparse
import base64
import hashlib
import os
import pathlib
import re
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from gateway import Gateway, ending, wait_for_port, workplace  # noqa: E402
from sink import Sink  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "faults"))
from memory import text_of  # noqa: E402

SAMPLES = "Your samples have come back, 850709-9805"
FILE = b"value,unit\n141,g/l\n" * 1000


def mail(to, kind, body):
    return "\r\n".join([
        "From: Emma Lind <emma@example.org>", f"To: {to}", "Subject: Your results", "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b", "", "--b", f"Content-Type: text/{kind}", "", body, "--b",
        "Content-Type: text/csv", 'Content-Disposition: attachment; filename="values.csv"', "Content-Transfer-Encoding: base64", "",
        base64.encodebytes(FILE).decode().replace("\n", "\r\n"), "--b--", ""])


class Lynx:
    """One window."""

    def __init__(self, place, url):
        self.place, self.pages = pathlib.Path(place), 0
        self.place.mkdir()
        keys = self.place / "keys"
        os.mkfifo(keys)
        self.process = subprocess.Popen(
            ["lynx", "-nopause", "-accept_all_cookies", "-number_fields", f"-cmd_script={keys}", url], cwd=place,
            env={"PATH": os.environ["PATH"], "HOME": place, "TERM": "vt100", "LANG": "C.UTF-8"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.keys = open(keys, "w", buffering=1)

    def press(self, *keys):
        for key in keys:
            self.keys.write(f"key {key}\n")

    def save(self, name):
        """Answers the question for a file's name, and waits until the file is whole."""
        self.press("^U", *name, "^J")
        file, size, end = self.place / name, 0, time.monotonic() + 60
        while True:
            before, size = size, file.stat().st_size if file.exists() else 0
            if size and size == before:
                return file
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"lynx saved no {name}")
            time.sleep(0.1)

    def page(self):
        """What is shown, by the first way to print it: into a file."""
        self.pages += 1
        self.press("p", "^J")
        return self.save(f"page{self.pages}").read_text()

    def reach(self, what):
        """Steps from the first link to the link or field that the page shows so."""
        page = self.page()
        found = re.search(rf"\[(\d+)\]{what}", page)
        if not found:
            raise SystemExit(f"nothing like {what} on\n{page}")
        self.press("^A", *["^I"] * (int(found.group(1)) - 1))

    def fill(self, text):
        """The text field, and the button behind it."""
        self.reach("_+")
        self.press(*text, "^I", "^J")

    def follow(self, what):
        self.reach(what)
        self.press("^J")

    def button(self, label):
        self.follow(rf"BUTTON\)\s*{label}")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.keys.close()


def walk(gateway, sink, place, kind):
    """From the mail to the file; what went wrong."""
    to = f"{kind}@mail.example"
    body = f"{SAMPLES}." if kind == "plain" else f"<p><b>{SAMPLES}</b>.</p>"
    before = len(sink.taken())
    with smtplib.SMTP("127.0.0.1", gateway.smtp) as client:
        client.sendmail("emma@example.org", [to], mail(to, kind, body))
    notice = sink.wait_for(lambda mails: len(mails) > before)[-1][1]
    lynx = Lynx(f"{place}/{kind}", re.search(r"http://\S+/m/[a-z2-7]{32}", text_of(notice)).group())
    try:
        lynx.fill(to)
        lynx.button("Send my password")
        password = re.search(r"^\s*([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", text_of(sink.wait_for(lambda mails: len(mails) > before + 1)[-1][1]), re.M)
        lynx.fill(password.group(1))
        if kind == "html":
            lynx.follow("/message/body")
        shown = SAMPLES in " ".join(lynx.page().split())
        if kind == "html":
            lynx.press("Left Arrow")
        lynx.button("Download")
        # What lynx cannot show it offers to keep; behind its own help comes the disk.
        lynx.press("d", "^I", "^J")
        same = hashlib.sha256(lynx.save("values.csv").read_bytes()).digest() == hashlib.sha256(FILE).digest()
        print(f"a text browser, {kind}: the message {'stands there' if shown else 'IS NOT SHOWN'}, the file is {'the same' if same else 'ANOTHER'}")
        return shown and same
    finally:
        lynx.end()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments = arguments.parse_args()
    place, sink = workplace(), Sink()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{sink.port}")
    with ending(gateway, place):
        gateway.start()
        wait_for_port(gateway.web, gateway.process)
        if not all([walk(gateway, sink, place, kind) for kind in ("plain", "html")]):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
