#!/usr/bin/env python3
"""Kills a gateway under load, again and again, and asks the next hop what arrived.

    tests/faults/kills.py --kills 50 --program target/debug/waxseal

There are as many kills as were asked for, and more until a hundred messages for each of those were acknowledged. Passes
when of all acknowledged messages none is lost and none is changed, and each connection, of a client or to the next hop, that
a kill has ended has cost one duplicate at most: the message whose reply was under way on it.
"""

import argparse
import pathlib
import random
import sys
import tempfile
import time

from ledger import Load, fingerprint, settle

from gateway import Gateway
from sink import Sink

# Messages acknowledged for each kill: 20,000 for 200.
EACH = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=50, help="at least")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    arguments = parser.parse_args()
    moments, began = random.Random(arguments.seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waxseal-kills-") as directory:
        sink = Sink(keep=fingerprint, pause=0.02)
        gateway = Gateway(arguments.program, f"{directory}/gateway", f"127.0.0.1:{sink.port}").start()
        load = Load(gateway.smtp, arguments.connections)
        kills, wanted = 0, EACH * arguments.kills
        while kills < arguments.kills or (len(load.ledger.before()) < wanted and kills < 2 * arguments.kills):
            kills += 1
            time.sleep(moments.uniform(0.05, 1.5))
            gateway.kill()
            gateway.start()
        time.sleep(0.5)
        ledger = load.end()
        balance = settle(ledger.before(), sink)
        ended, worst = gateway.stop(), balance.worst(ledger.again)
        # A client has one message under way, so it sends at most one again for each kill.
        again = sum(ledger.again.values())
        print(f"kills {kills}  {balance}, {worst} at most on a connection, {again} sent again by clients"
              f"  in {time.monotonic() - began:.0f} s, then ended with {ended}")
        for message_id in (balance.lost + balance.corrupted)[:10]:
            print("  ", message_id)
        passed = balance.holds() and len(balance.promised) >= wanted and worst <= 1 and ended == 0
        if not passed:
            print(gateway.log()[-4000:])
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
