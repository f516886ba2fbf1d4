"""Claims, a line each: what holds and what does not; and scripts that are a list of them."""

import argparse
import os
import sys
import time
import traceback

FAILED = []


def claim(words, holds, detail=""):
    line = words + (f": {detail}" if detail != "" else "")
    print(("ok    " if holds else "FAILS ") + line, flush=True)
    if not holds:
        FAILED.append(line)


def check(claims, names, place_of):
    """Each by itself, in a place of its own: one that breaks off fails, tells what its gateways said, and stops none of the others."""
    began = time.monotonic()
    for name in names or claims:
        place = place_of()
        try:
            claims[name](place)
        except (Exception, SystemExit):
            claim(f"{name} comes to its end", False)
            traceback.print_exc(file=sys.stdout)
            for gateway in place.gateways:
                print(gateway.log()[-2000:])
        finally:
            place.clear()
    end(began)


def run(about, claims, place):
    """A script of claims that need mounts of their own: which of them, on which program."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=claims, action="append")
    arguments = parser.parse_args()
    if os.getuid() != 0:
        os.execvp("unshare", ["unshare", "--map-root-user", "--mount", sys.executable, *sys.argv])
    check(claims, arguments.only, lambda: place(arguments.program))


def end(began):
    """How many do not hold, which once more, and the script's exit."""
    print(f"{len(FAILED)} claims fail, in {time.monotonic() - began:.0f} s", *FAILED, sep="\n      ", flush=True)
    sys.exit(1 if FAILED else 0)
