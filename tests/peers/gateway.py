"""A real gateway and a real Postfix behind it, in a temporary directory, on loopback."""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


# Below the ports that the system gives to clients of its own accord; another process begins elsewhere.
PORTS = (20_000 + number % 12_000 for number in itertools.count(os.getpid()))


def free_port():
    """One that nobody has; each is given once."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(port, process=None, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"the process ended with {process.returncode} before port {port} opened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"port {port} did not open within {seconds} s")


class Gateway:
    """`waxseal init`, then `waxseal serve`."""

    def __init__(self, program, directory, next_hop, extra=""):
        self.program = os.path.abspath(program)
        self.directory = pathlib.Path(directory)
        self.smtp, self.web, self.smtps, self.admin = free_port(), free_port(), free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{self.web}"
        made = subprocess.run(
            [self.program, "init", "--yes", "--directory", str(self.directory), "--domain", "example.org",
             "--name", "Example Organisation", "--hostname", "mail.example.org", "--next-hop", next_hop,
             "--smtp", f"127.0.0.1:{self.smtp}", "--web", f"127.0.0.1:{self.web}", "--base-url", self.base_url,
             "--admin", f"127.0.0.1:{self.admin}"],
            check=True, capture_output=True, text=True)
        self.said = made.stdout
        config = self.directory / "waxseal.toml"
        text = config.read_text().replace("listen_tls = []", f'listen_tls = ["127.0.0.1:{self.smtps}"]')
        # A ledger sends as one person, and more than people do.
        text = text.replace("[smtp]\n", "[smtp]\nsender_messages = 0\nsender_recipients = 0\n")
        config.write_text(text + extra)
        self.process = None

    def start(self, *before):
        """Serves; `before` is what runs it, as a tracer does."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen([*before, *self.serve()], stdout=log, stderr=log)
        wait_for_port(self.smtp, self.process)
        return self

    def serve(self):
        """The command line."""
        return [self.program, "serve", "--allow-root", "--config", str(self.directory / "waxseal.toml")]

    def configure(self, text):
        """More lines at the end of the configuration."""
        config = self.directory / "waxseal.toml"
        config.write_text(config.read_text() + text)

    def set(self, table, **options):
        """Options in TOML of a table that is there, in place of those that it has."""
        config = self.directory / "waxseal.toml"
        before, header, after = config.read_text().partition(f"[{table}]\n")
        assert header, table
        lines, end, others = after.partition("\n[")
        kept = [line for line in lines.splitlines() if line.split(" = ")[0] not in options]
        made = [f"{key} = {value}" for key, value in options.items()]
        config.write_text(before + header + "\n".join([*kept, *made]) + "\n" + end + others)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def run(self, *arguments, input=None):
        return subprocess.run([self.program, *arguments, "--config", str(self.directory / "waxseal.toml")],
                              capture_output=True, text=True, input=input)

    def waiting(self):
        """Ids of the entries in the queue."""
        return re.findall(r"^\s*([0-9a-f]{16})\b", self.run("queue", "list").stdout, re.M)

    def retry(self):
        """What was put off is tried now."""
        entries = self.waiting()
        if entries:
            self.run("queue", "retry", *entries)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(40)
        return None

    def log(self):
        return (self.directory / "log").read_text(errors="replace")


class Postfix:
    """A Postfix of our own that delivers everything for two domains into Maildirs and refuses `nobody@`."""

    def __init__(self, directory, services=""):
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        self.services = services
        for folder in ("etc", "queue", "data", "mail"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        owner = shutil.chown
        owner(self.directory / "data", "postfix")
        owner(self.directory / "mail", "nobody")
        os.chmod(self.directory, 0o755)
        etc = self.directory / "etc"
        (etc / "main.cf").write_text("\n".join([
            "compatibility_level = 3.6",
            f"queue_directory = {self.directory}/queue",
            f"data_directory = {self.directory}/data",
            "mail_owner = postfix",
            "setgid_group = postdrop",
            "myhostname = hop.example.org",
            "mydestination =",
            "inet_interfaces = 127.0.0.1",
            "mynetworks = 127.0.0.0/8",
            "smtpd_relay_restrictions = permit_mynetworks, reject",
            f"smtpd_recipient_restrictions = check_recipient_access inline:{{nobody@mail.example=REJECT}}, permit_mynetworks",
            "virtual_mailbox_domains = example.org, mail.example",
            "virtual_mailbox_maps = static:all/",
            f"virtual_mailbox_base = {self.directory}/mail",
            "virtual_uid_maps = static:65534",
            "virtual_gid_maps = static:65534",
            "virtual_mailbox_limit = 0",
            "mailbox_size_limit = 0",
            "message_size_limit = 200000000",
            "smtputf8_enable = yes",
            "maillog_file = /dev/stdout",
            "",
        ]))
        (etc / "master.cf").write_text("\n".join([
            f"127.0.0.1:{self.port} inet n - n - - smtpd",
            "cleanup unix n - n - 0 cleanup",
            "qmgr fifo n - n 300 1 qmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "trace unix - - n - 0 bounce",
            "proxymap unix - - n - - proxymap",
            "anvil unix - - n - 1 anvil",
            "virtual unix - n n - - virtual",
            "error unix - - n - - error",
            "retry unix - - n - - error",
            "postlog unix-dgram n - n - 1 postlogd",
            "smtp unix - - n - - smtp",
            self.services,
            "",
        ]))

    def start(self):
        subprocess.run(["postfix", "-c", str(self.directory / "etc"), "start"], check=True, capture_output=True)
        wait_for_port(self.port)
        return self

    def stop(self):
        subprocess.run(["postfix", "-c", str(self.directory / "etc"), "stop"], capture_output=True)

    def mails(self):
        """Every delivered mail as bytes with LF line ends, oldest first."""
        files = sorted((self.directory / "mail" / "all" / "new").glob("*"), key=lambda file: file.stat().st_mtime_ns)
        return [file.read_bytes() for file in files]

    def wait_for(self, count, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            mails = self.mails()
            if len(mails) >= count:
                return mails
            time.sleep(0.1)
        raise SystemExit(f"{len(self.mails())} of {count} mails arrived within {seconds} s")


def workplace():
    path = tempfile.mkdtemp(prefix="waxseal-peers-")
    os.chmod(path, 0o755)
    return path


def authority(place):
    """A root of our own and a certificate for 127.0.0.1 below it."""
    run = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=place)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Example Root", "-days", "9")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "hop.key", "-out", "hop.csr", "-subj", "/CN=hop")
    pathlib.Path(place, "hop.ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    run("x509", "-req", "-in", "hop.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "hop.pem", "-days", "9", "-extfile", "hop.ext")


@contextlib.contextmanager
def ending(gateway, place):
    """Whatever happens, the gateway stops and its workplace goes; what went wrong is told with the end of its log."""
    try:
        yield
    except BaseException:
        sys.stderr.write(gateway.log()[-4000:])
        raise
    finally:
        gateway.stop()
        shutil.rmtree(place, ignore_errors=True)


class Dovecot:
    """An LMTP server with mailboxes: `anders` and `lars` have room, `full` has none, nobody else is known."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.port = free_port()
        mail = self.directory / "mail"
        mail.mkdir()
        shutil.chown(mail, "mail", "mail")
        users = "".join(f"{name}:{{PLAIN}}x::::::{quota}\n" for name, quota in (("anders", ""), ("lars", ""), ("full", "userdb_quota_rule=*:bytes=10")))
        (self.directory / "users").write_text(users)
        (self.directory / "dovecot.conf").write_text(f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/state
log_path = {self.directory}/log
protocols = lmtp
ssl = no
auth_username_format = %n
mail_location = maildir:{mail}/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
postmaster_address = postmaster@example.org
mail_plugins = quota
plugin {{
  quota = maildir:User
}}
passdb {{
  driver = passwd-file
  args = {self.directory}/users
}}
userdb {{
  driver = passwd-file
  args = {self.directory}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
""")
        self.process = None

    def start(self):
        for place in (self.directory, self.directory.parent):
            place.chmod(0o755)
        self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.directory / "dovecot.conf")])
        wait_for_port(self.port, self.process)
        return self

    def mails(self, user):
        return [path.read_bytes() for path in sorted((self.directory / "mail" / user / "new").glob("*"))]

    def wait_for(self, user, count, seconds=30):
        end = time.monotonic() + seconds
        while len(self.mails(user)) < count:
            if time.monotonic() > end:
                raise SystemExit(f"{user} has {len(self.mails(user))} mails and not {count} after {seconds} s\n{(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        return self.mails(user)

    def stop(self):
        self.process.terminate()
        self.process.wait()
