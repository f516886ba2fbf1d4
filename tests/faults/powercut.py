#!/usr/bin/env python3
"""Power cuts: the image of a mounted file system is copied while the gateway runs on it; a gateway on the copy must
hold every message that was acknowledged before the copy began. Needs root, for its loop mounts.

    tests/faults/powercut.py --cuts 20 --program target/debug/waxseal
"""

import argparse
import contextlib
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from ledger import Load, fingerprint, settle

from gateway import Gateway, free_port, workplace
from sink import Sink


@contextlib.contextmanager
def mounted(image, folder):
    pathlib.Path(folder).mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def cut(place, program):
    """One power cut: the balance of what was acknowledged before it."""
    image, copy, folder = f"{place}/disk", f"{place}/copy", f"{place}/mounted"
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    hop = free_port()
    with mounted(image, folder):
        # Nobody listens there yet, so everything waits.
        gateway = Gateway(program, f"{folder}/gateway", f"127.0.0.1:{hop}", extra="\n[queue]\nretry_minutes = [1]\n").start()
        try:
            load = Load(gateway.smtp)
            time.sleep(random.uniform(0.5, 3))
            moment = time.monotonic()
            # A copy takes longer than a cut: the process stands still meanwhile, and what it had begun to sync ends,
            # or the copy would hold later blocks without the earlier ones that were synced before them.
            gateway.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            subprocess.run(["cp", "--sparse=always", image, copy], check=True)
        finally:
            load.stop.set()
            gateway.kill()
    promised = load.end().before(moment)
    sink = Sink(hop, keep=fingerprint)
    with mounted(copy, folder):
        try:
            gateway.start()
            settle(promised, sink, 1)
            # The attempt before the cut put one off by a minute.
            gateway.retry()
            return settle(promised, sink)
        except BaseException:
            print(gateway.log()[-4000:])
            raise
        finally:
            gateway.kill()
            sink.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--cuts", type=int, default=20)
    arguments = parser.parse_args()
    acked = lost = corrupted = 0
    for number in range(arguments.cuts):
        place = workplace()
        try:
            balance = cut(place, arguments.program)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        acked, lost, corrupted = acked + len(balance.promised), lost + len(balance.lost), corrupted + len(balance.corrupted)
        print(f"cut {number + 1}: {balance}", flush=True)
    print(f"{arguments.cuts} power cuts: {acked} acknowledged, {lost} lost, {corrupted} corrupted")
    sys.exit(0 if acked and not lost and not corrupted else 1)


if __name__ == "__main__":
    main()
