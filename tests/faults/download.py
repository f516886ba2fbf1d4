"""One large file through the gateway and out again by curl: cut off by the client, cut off by kill -9 of the gateway, resumed
each time; the same octets, one download spent, memory bounded. Then the gateway is stopped while it goes out once more: a
download that can end in time ends, one that cannot is cut."""

import argparse
import hashlib
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers"))
from gateway import Gateway, ending, workplace, wait_for_port  # noqa: E402
from memory import content, send, text_of  # noqa: E402
from recipient import Forms, Recipient  # noqa: E402
from sink import Sink  # noqa: E402


def high_water(process):
    """Peak resident memory of the gateway itself, in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process}/status").read_text()).group(1)) / 1024


def cookie(recipient):
    jar = next(handler.cookiejar for handler in recipient.browser.handlers if hasattr(handler, "cookiejar"))
    return "; ".join(f"{one.name}={one.value}" for one in jar)


def press(recipient):
    """Where the download is, without fetching any of it."""
    action, fields = next((action, fields) for action, fields in Forms(recipient.page).forms if "item" in fields)
    url = urllib.parse.urljoin(recipient.url, action)
    origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
    said = subprocess.run(["curl", "-sS", "-D-", "-o", "/dev/null", "-b", cookie(recipient), "-H", f"Origin: {origin}",
                           "--data", urllib.parse.urlencode(fields), url], check=True, capture_output=True, text=True).stdout
    return urllib.parse.urljoin(url, re.search(r"^location: (\S+)", said, re.M | re.I).group(1))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--megabytes", type=int, default=200)
    arguments.add_argument("--limit", type=int, default=96, help="MiB of peak resident memory while the file goes out")
    arguments = arguments.parse_args()
    octets = arguments.megabytes * 1_000_000
    place = workplace()
    sink = Sink()
    gateway = Gateway(arguments.program, f"{place}/gateway", f"127.0.0.1:{sink.port}")
    config = gateway.directory / "waxseal.toml"
    settings = config.read_text().replace("[smtp]\n", f"[smtp]\nmessage_size = {octets * 3 // 2 + 1_000_000}\n")
    config.write_text(settings.replace("[web]\n", f"[web]\ndrain_seconds = {DRAIN}\n"))
    with ending(gateway, place):
        gateway.start()
        began = time.monotonic()
        send(gateway.smtp, 1, octets)
        taken = time.monotonic() - began
        mail = sink.wait_for(lambda messages: len(messages) >= 1)[0][1]
        gateway.stop()
        gateway.start()
        link = re.search(r"http://\S+/m/[a-z2-7]{32}", text_of(mail)).group()
        recipient = Recipient()
        wait_for_port(gateway.web, gateway.process)
        recipient.enter(link, "r1@mail.example", lambda: text_of(sink.wait_for(lambda messages: len(messages) > 1)[-1][1]))
        url, target = press(recipient), f"{place}/out.bin"
        again = ["curl", "-sS", "-f", "-b", cookie(recipient), "-C", "-", "-o", target]
        before = high_water(gateway.process.pid)
        subprocess.run([*again, "--limit-rate", f"{octets // 8}", "--max-time", "2", url], capture_output=True)
        first = pathlib.Path(target).stat().st_size
        half = subprocess.Popen([*again, "--limit-rate", f"{octets // 8}", url], stderr=subprocess.DEVNULL)
        time.sleep(2)
        used = high_water(gateway.process.pid)
        gateway.process.kill()
        gateway.process.wait()
        half.wait()
        second = pathlib.Path(target).stat().st_size
        gateway.start()
        wait_for_port(gateway.web, gateway.process)
        began = time.monotonic()
        subprocess.run([*again, url], check=True)
        out = time.monotonic() - began
        used = max(used, high_water(gateway.process.pid))
        digest, wanted = hashlib.sha256(), hashlib.sha256()
        with open(target, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        for piece in content(1, octets):
            wanted.update(piece)
        same = digest.digest() == wanted.digest()
        granted = gateway.log().count("downloaded")
        print(f"{arguments.megabytes} MB: in {taken:.1f} s; cut off at {first} and, with the gateway, at {second}; the rest in {out:.1f} s; "
              f"octets {'the same' if same else 'DIFFERENT'}; peak {used:.0f} MiB ({before:.0f} before, limit {arguments.limit}); {granted} download spent")
        if not (same and 0 < first < second < octets and used <= arguments.limit and press(recipient) == url):
            raise SystemExit(1)
        if not stops(gateway, ["curl", "-sS", "-f", "-b", cookie(recipient), "-o", target, url], octets):
            raise SystemExit(1)


def stops(gateway, fetch, octets):
    """A stop while the file goes out: in less than the time that is given, and in more."""
    kept = []
    for seconds, ends in ((DRAIN - 2, True), (DRAIN * 4, False)):
        running = subprocess.Popen([*fetch, "--limit-rate", str(octets // seconds)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        began = time.monotonic()
        code = gateway.stop()
        took = time.monotonic() - began
        size = running.wait() == 0 and pathlib.Path(fetch[fetch.index("-o") + 1]).stat().st_size
        kept.append(code == 0 and took < DRAIN + 3 and (size == octets) == ends)
        print(f"a stop with a download of {seconds} s under way, {DRAIN} s being given: the gateway ends after {took:.1f} s with {code}, "
              f"the file {'is whole' if size == octets else 'is cut'}{'' if kept[-1] else ': WRONG'}")
        gateway.start()
        wait_for_port(gateway.web, gateway.process)
    return all(kept)


# Seconds that running downloads get when the gateway stops.
DRAIN = 8

if __name__ == "__main__":
    main()
