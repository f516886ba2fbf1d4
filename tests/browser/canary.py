"""Secrets of a message and of its reader are nowhere but where they belong: not in the log at its most talkative (only our own events are ever written), not in the
data directory, not on error pages, not in what the system knows of the process."""

import argparse
import base64
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from gateway import Gateway, ending, wait_for_port, workplace  # noqa: E402
from recipient import Recipient  # noqa: E402
from sink import Sink  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "faults"))
from download import cookie, press  # noqa: E402
from memory import text_of  # noqa: E402

MAIL = """From: Canary Display <emma@example.org>
To: canary.local@mail.example
Subject: canary-subject
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

canary-body 850709-9805
--b
Content-Type: text/plain
Content-Disposition: attachment; filename=canary-name.txt

canary-content
--b--
"""


def send(port):
    import smtplib
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("emma@example.org", ["canary.local@mail.example"], MAIL.replace("\n", "\r\n"))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments = arguments.parse_args()
    place, sink = workplace(), Sink()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{sink.port}", '\n[log]\nlevel = "debug"\n')
    with ending(gateway, place):
        gateway.start()
        send(gateway.smtp)
        link = re.search(r"http://\S+/m/([a-z2-7]{32})", text_of(sink.wait_for(lambda mails: len(mails) >= 1)[0][1]))
        wait_for_port(gateway.web, gateway.process)
        recipient = Recipient()
        password = []
        def read():
            text = text_of(sink.wait_for(lambda mails: len(mails) > 1)[-1][1])
            password.append(re.search(r"[0-9A-Z]{5}-[0-9A-Z]{5}", text).group())
            return text
        recipient.enter(link.group(), "canary.local@mail.example", read)
        if "canary-body" not in recipient.page:
            raise SystemExit("the message did not open")
        session = cookie(recipient).split("=", 1)[1]
        download = press(recipient).rsplit("/", 1)[1]
        stranger = Recipient()
        errors = [stranger.get(f"{gateway.base_url}{path}").page for path in (
            f"/m/{link.group(1)[:-1]}x", "/message", f"/d/{download}", f"/nothing/{link.group(1)}")]
        process = pathlib.Path(f"/proc/{gateway.process.pid}")
        places = {"environ": (process / "environ").read_bytes(), "cmdline": (process / "cmdline").read_bytes(),
                  "error pages": "".join(errors).encode(), "log": gateway.log().encode()}
        for file in (gateway.directory / "data").rglob("*"):
            if file.is_file():
                places[str(file.relative_to(gateway.directory))] = file.read_bytes()
        canaries = ["canary-subject", "canary-body", "850709", "canary-name", "canary-content", "Canary Display",
                    link.group(1), password[0], password[0].replace("-", ""), session, download]
        hits = [f"{canary} in {where}" for canary in canaries for where, octets in places.items()
                for form in (canary.encode(), base64.b64encode(canary.encode()).rstrip(b"=")) if form.lower() in octets.lower()]
        print(f"{len(canaries)} canaries in {len(places)} places, {len(places['log'])} octets of log at level debug: {len(hits)} hits")
        for hit in hits:
            print(f"  {hit}", file=sys.stderr)
        if hits or len(places) < 6 or not places["log"]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
