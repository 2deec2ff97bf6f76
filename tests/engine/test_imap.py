"""A reply that lies in a real mailbox ends its campaign; an out-of-office does not; what was taken is not taken again."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from imap_tools import MailBoxUnencrypted
from pydantic import SecretStr

from dripiq.channels.folder import FolderSender
from dripiq.channels.imap import ImapMailbox, MailboxError
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from tests.engine.conftest import World
from tests.engine.test_receive import REMIND, stored, to_us

DOVECOT = shutil.which("dovecot") or ("/usr/sbin/dovecot" if Path("/usr/sbin/dovecot").exists() else None)
PATIENCE = 20.0

CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{base}/mail
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
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Dovecot of the test's own."""
    if DOVECOT is None:
        pytest.skip("Dovecot is not installed (Debian: apt-get install dovecot-imapd)")
    version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3."):
        pytest.skip(f"the test's configuration is for Dovecot 2.3, and this is {version.strip()}")
    base = Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/dripiq-imap-XXXXXX"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    base.chmod(0o755)
    (base / "mail").mkdir()
    mine = pwd.getpwuid(os.getuid())
    owner = pwd.getpwnam("nobody") if mine.pw_uid == 0 else mine
    if mine.pw_uid == 0:
        os.chown(base / "mail", owner.pw_uid, owner.pw_gid)
    users = ("dovecot", "dovecot", "dovenull") if mine.pw_uid == 0 else (mine.pw_name, mine.pw_name, mine.pw_name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen: int = free.getsockname()[1]
    config = base / "dovecot.conf"
    values = {"base": base, "port": chosen, "uid": owner.pw_uid, "gid": owner.pw_gid}
    config.write_text(CONFIG.format(**values, internal=users[0], group=users[1], login=users[2]))
    server = subprocess.Popen([DOVECOT, "-F", "-c", str(config)])
    try:
        until = time.monotonic() + PATIENCE
        while not answers(chosen):
            assert time.monotonic() < until, (base / "log").read_text() if (base / "log").exists() else "no log"
            threading.Event().wait(0.05)
        yield chosen
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
        shutil.rmtree(base, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"* OK"
    except OSError:
        return False


@pytest.fixture
def box(port: int) -> Iterator[MailBoxUnencrypted]:
    """The mailbox as its owner sees it, empty."""
    with MailBoxUnencrypted("127.0.0.1", port).login("ann", "secret") as mine:
        mine.delete(mine.uids())
        yield mine


@pytest.fixture
def mailbox(port: int, box: MailBoxUnencrypted) -> Iterator[ImapMailbox]:
    """The same mailbox, as dripiq reads it."""
    ours = ImapMailbox(
        "127.0.0.1", port, username="ann", password=SecretStr("secret"), security="none", max_bytes=100_000
    )
    yield ours
    ours.close()


@pytest.fixture
def asked(world: World) -> World:
    """A contact who was sent the first message; the clock shows the real time, for the mailbox has no other."""
    world.clock.time = datetime.now(UTC)
    world.enroll(REMIND)
    world.work()
    return world


def listening(world: World, mailbox: ImapMailbox) -> Worker:
    senders = {Channel.EMAIL: FolderSender(world.folder)}
    return Worker(Outbox(world.database, world.clock, senders), Pace(poll=timedelta(milliseconds=200)), mailbox)


def fetched(world: World, mailbox: ImapMailbox) -> int:
    """Read the mailbox once, and work what came."""
    worker = listening(world, mailbox)
    found = asyncio.run(worker.fetch())
    world.work()
    return found


def test_a_reply_in_a_mailbox_ends_its_campaign_and_stays_unread(
    asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted
) -> None:
    box.append(to_us(asked), "INBOX")
    assert fetched(asked, mailbox) == 1
    assert (stored(asked), asked.campaign().status) == ([("reply", True)], "stopped")
    assert fetched(asked, mailbox) == 0
    (message,) = box.fetch(mark_seen=False)
    assert "\\Seen" not in message.flags


def test_a_worker_listens_beside_its_other_work_and_ends_when_told(
    asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted
) -> None:
    worker = listening(asked, mailbox)

    async def run() -> None:
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(box.append, to_us(asked), "INBOX")
            while asked.campaign().status != "stopped":
                await asyncio.sleep(0.05)
            worker.stop()
            await working

    asyncio.run(run())
    assert worker.done["fetched"] == 1


def test_an_out_of_office_in_a_mailbox_does_not(asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted) -> None:
    box.append(to_us(asked, Auto_Submitted="auto-replied"), "INBOX")
    assert fetched(asked, mailbox) == 1
    assert (stored(asked), asked.campaign().status) == ([("auto_reply", True)], "active")


def test_what_was_fetched_and_not_marked_is_fetched_again_and_counts_once(
    asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted
) -> None:
    box.append(to_us(asked), "INBOX")
    assert len(list(mailbox.new())) == 1
    assert fetched(asked, mailbox) == 1
    box.append(next(box.fetch(mark_seen=False)).obj.as_bytes(), "INBOX")
    assert fetched(asked, mailbox) == 1
    assert stored(asked) == [("reply", True)]


def test_mail_in_other_folders_is_not_read(asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted) -> None:
    if not box.folder.exists("Sent"):
        box.folder.create("Sent")
    box.append(to_us(asked, From="sender@example.com"), "Sent")
    assert fetched(asked, mailbox) == 0


def test_a_mail_that_is_too_large_is_passed_over_and_holds_up_nobody(
    asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted
) -> None:
    box.append(to_us(asked, "x\r\n" * 60_000), "INBOX")
    box.append(to_us(asked), "INBOX")
    assert fetched(asked, mailbox) == 1
    assert asked.campaign().status == "stopped"


def test_waiting_ends_when_a_mail_comes(asked: World, mailbox: ImapMailbox, box: MailBoxUnencrypted) -> None:
    assert list(mailbox.new()) == []
    raw = to_us(asked)
    later = threading.Timer(0.3, lambda: box.append(raw, "INBOX"))
    later.start()
    began = time.monotonic()
    mailbox.wait(PATIENCE)
    later.join()
    assert time.monotonic() - began < PATIENCE
    assert len(list(mailbox.new())) == 1


def test_a_wrong_password_and_a_server_that_is_away_are_said_and_end_nothing(port: int) -> None:
    for to, password in ((port, "wrong"), (1, "secret")):
        ours = ImapMailbox("127.0.0.1", to, username="ann", password=SecretStr(password), security="none")
        with pytest.raises(MailboxError, match="The mailbox failed"):
            list(ours.new())
