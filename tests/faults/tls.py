#!/usr/bin/env python3
"""S29: what testssl.sh finds at the three ports that speak TLS: STARTTLS, TLS from the first octet, and the pages.

    tests/faults/tls.py --program target/release/waxseal [--only smtps]

Release 3.0 of it gives no grades; where one does, it is a claim too.
"""

import argparse
import json
import pathlib
import subprocess
import time

from claims import check, claim
from quick import Place

from gateway import free_port

NAME = "mail.example.org"
# Of a certificate that a public authority would sign: a chain, for a while, with a list of what is revoked.
EXTENSIONS = f"subjectAltName=DNS:{NAME}\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\ncrlDistributionPoints=URI:http://ca.example.org/list\n"
# What is no protocol that anybody shall speak.
OLD = ["SSLv2", "SSLv3", "TLS1", "TLS1_1"]
CHECKS = ["--protocols", "--std", "--pfs", "--server-preference", "--server-defaults", "--vulnerable"]


def certified(gateway, folder):
    """Gives the gateway such a certificate; the authority's own."""
    key, root = f"{folder}/root.key", f"{folder}/root.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True)
    run("req", "-x509", *curve, "-days", "90", "-subj", "/CN=an authority", "-keyout", key, "-out", root)
    own = gateway.directory / "certs" / NAME
    run("req", *curve, "-subj", f"/CN={NAME}", "-keyout", f"{own}/privkey.pem", "-out", f"{folder}/request.pem")
    pathlib.Path(f"{folder}/extensions").write_text(EXTENSIONS)
    run("x509", "-req", "-in", f"{folder}/request.pem", "-CA", root, "-CAkey", key, "-CAcreateserial", "-days", "60",
        "-extfile", f"{folder}/extensions", "-out", f"{own}/fullchain.pem")
    return root


def asked(place, name, how):
    """One port."""
    gateway = place.gateway(free_port())
    config = gateway.directory / "waxseal.toml"
    config.write_text(config.read_text().replace(f'base_url = "http://127.0.0.1:{gateway.web}"', f'base_url = "https://{NAME}"'))
    # It waits for the end of connections that it opens.
    gateway.set("smtp", command_timeout=5, stranger_timeout=5, error_delay=0)
    root, found, began = certified(gateway, place.path), f"{place.path}/found.json", time.monotonic()
    gateway.start()
    port = {"smtp": gateway.smtp, "smtps": gateway.smtps, "web": gateway.web}[name]
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca", root, "--jsonfile", found, *CHECKS, *how, f"{NAME}:{port}"],
                   capture_output=True, timeout=900)
    findings = json.loads(pathlib.Path(found).read_text())
    of = {finding["id"]: finding["finding"] for finding in findings}
    claim(f"S29 {name}: TLS 1.2 and 1.3, and nothing older", all(of.get(old, "").startswith("not offered") for old in OLD)
          and of.get("TLS1_2", "").startswith("offered") and of.get("TLS1_3", "").startswith("offered"), f"{len(findings)} findings in {time.monotonic() - began:.0f} s")
    grave = [f"{finding['id']}: {finding['finding']}" for finding in findings if finding["severity"] in ("HIGH", "CRITICAL", "FATAL")]
    claim(f"S29 {name}: nothing high or critical", not grave and len(findings) > 60, grave)
    claim(f"S29 {name}: the chain holds for its name", of.get("cert_chain_of_trust") == "passed." and of.get("cert_trust", "").startswith("Ok"), [of.get("cert_chain_of_trust"), of.get("cert_trust")])
    if "overall_grade" in of:
        claim(f"S29 {name}: the grade is A", of["overall_grade"] in ("A", "A+"), of["overall_grade"])


CLAIMS = {
    "smtp": lambda place: asked(place, "smtp", ["--starttls", "smtp"]),
    "smtps": lambda place: asked(place, "smtps", []),
    "web": lambda place: asked(place, "web", []),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", choices=CLAIMS, action="append")
    arguments = parser.parse_args()
    check(CLAIMS, arguments.only, lambda: Place(arguments.program))


if __name__ == "__main__":
    main()
