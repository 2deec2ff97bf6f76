"""A real Dovecot of a test's own: mailboxes on loopback, one for each name, any of them with the password `secret`."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DOVECOT = shutil.which("dovecot") or ("/usr/sbin/dovecot" if Path("/usr/sbin/dovecot").exists() else None)
PATIENCE = 20.0

CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
{tls}
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{base}/mail/%n
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail
}}
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


@contextmanager
def base_folder() -> Iterator[tuple[Path, pwd.struct_passwd]]:
    """A folder that servers can reach, and who owns the mail in it (`mail`): nobody, where root runs the tests."""
    # Not pytest's: servers that give up root must reach it, and the names of their sockets are short.
    made = subprocess.run(["mktemp", "-d", "/tmp/dripiq-mail-XXXXXX"], capture_output=True, text=True, check=True)
    base = Path(made.stdout.strip())
    base.chmod(0o755)
    (base / "mail").mkdir()
    mine = pwd.getpwuid(os.getuid())
    owner = pwd.getpwnam("nobody") if mine.pw_uid == 0 else mine
    if mine.pw_uid == 0:
        os.chown(base / "mail", owner.pw_uid, owner.pw_gid)
    try:
        yield base, owner
    finally:
        shutil.rmtree(base, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen: int = free.getsockname()[1]
        return chosen


def wait_until(answers: Callable[[], bool], log: Path) -> None:
    """Wait for a server; where it does not come, its log says why."""
    until = time.monotonic() + PATIENCE
    while not answers():
        assert time.monotonic() < until, log.read_text() if log.exists() else "no log"
        threading.Event().wait(0.05)


@contextmanager
def dovecot(base: Path, owner: pwd.struct_passwd, certificate: Path | None = None, tls_port: int = 0) -> Iterator[int]:
    """The port of a Dovecot that serves the mail in a base folder; with a certificate also over TLS, on a port of its own and by STARTTLS."""
    if DOVECOT is None:
        pytest.skip("Dovecot is not installed (Debian: apt-get install dovecot-imapd)")
    version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3."):
        pytest.skip(f"the test's configuration is for Dovecot 2.3, and this is {version.strip()}")
    mine = pwd.getpwuid(os.getuid())
    users = ("dovecot", "dovecot", "dovenull") if mine.pw_uid == 0 else (mine.pw_name, mine.pw_name, mine.pw_name)
    chosen = free_port()
    config = base / "dovecot.conf"
    tls = f"ssl = yes\nssl_cert = <{certificate}\nssl_key = <{certificate}" if certificate else "ssl = no"
    values = {"base": base, "port": chosen, "uid": owner.pw_uid, "gid": owner.pw_gid, "tls": tls, "tls_port": tls_port}
    config.write_text(CONFIG.format(**values, internal=users[0], group=users[1], login=users[2]))
    server = subprocess.Popen([DOVECOT, "-F", "-c", str(config)])
    try:
        wait_until(lambda: answers(chosen, b"* OK"), base / "log")
        yield chosen
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)


def answers(port: int, greeting: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(len(greeting)) == greeting
    except OSError:
        return False
