"""Power cuts: the image of a mounted file system is copied while the gateway runs on it; a gateway on the copy must
hold every message that was acknowledged before the copy began."""

import argparse
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from gateway import Gateway, free_port, wait_for_port, workplace  # noqa: E402
from sink import Sink  # noqa: E402

import smtplib  # noqa: E402


def mount(image, folder):
    pathlib.Path(folder).mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)


def load(port, stop, acknowledged, lock, name):
    """Sends until told to stop; notes what was acknowledged, and when."""
    number = 0
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                while not stop.is_set():
                    number += 1
                    unique = f"{name}-{number}"
                    size = random.choice([10, 500, 5_000, 90_000])
                    text = "x" * 70 + "\r\n"
                    mail = (f"From: emma@example.org\r\nTo: anders@example.org\r\nSubject: {unique}\r\n\r\n" + text * (size // 72 + 1))
                    client.sendmail("emma@example.org", ["anders@example.org"], mail)
                    with lock:
                        acknowledged[unique] = time.monotonic()
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)


def cut(place, program, number):
    """One power cut: (acknowledged before it, lost)."""
    image, copy = f"{place}/disk", f"{place}/copy"
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mount(image, f"{place}/mounted")
    hop = free_port()
    gateway = Gateway(program, f"{place}/mounted/gateway", f"127.0.0.1:{hop}")
    config = gateway.directory / "waxseal.toml"
    config.write_text(config.read_text() + "\n[queue]\nretry_minutes = [1]\n")
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()
    try:
        gateway.start()
        threads = [threading.Thread(target=load, args=(gateway.smtp, stop, acknowledged, lock, f"{number}-{index}")) for index in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.5, 3))
        at = time.monotonic()
        shutil.copyfile(image, copy)
    finally:
        stop.set()
        gateway.process.kill()
        gateway.process.wait()
        subprocess.run(["umount", f"{place}/mounted"], check=True)
    for thread in threads:
        thread.join()
    promised = {unique for unique, when in acknowledged.items() if when < at}
    sink = Sink(hop)
    mount(copy, f"{place}/mounted")
    try:
        gateway.start()
        holds = lambda messages: promised <= {re.search(rb"Subject: (\S+)", octets).group(1).decode() for _, octets in messages}
        try:
            sink.wait_for(holds, 60)
        except SystemExit:
            pass
        arrived = {re.search(rb"Subject: (\S+)", octets).group(1).decode() for _, octets in sink.messages}
    finally:
        gateway.process.kill()
        gateway.process.wait()
        sink.server.close()
        subprocess.run(["umount", f"{place}/mounted"], check=True)
    return len(promised), len(promised - arrived)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--cuts", type=int, default=20)
    arguments = arguments.parse_args()
    total = lost = 0
    for number in range(arguments.cuts):
        place = workplace()
        promised, gone = cut(place, arguments.program, number)
        total, lost = total + promised, lost + gone
        shutil.rmtree(place, ignore_errors=True)
        print(f"cut {number + 1}: {promised} acknowledged, {gone} lost", flush=True)
    print(f"{arguments.cuts} power cuts: {total} acknowledged, {lost} lost")
    if lost or not total:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
