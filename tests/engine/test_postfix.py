"""A mail goes out by a real mail server into a real mailbox, is answered by mail, and the answer, fetched over IMAP, ends the campaign."""

import asyncio
import os
import pwd
import shutil
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import TypeVar

import pytest
from imap_tools import MailBoxUnencrypted
from pydantic import SecretStr

from dripiq.channels.imap import ImapMailbox
from dripiq.channels.smtp import Security, SmtpSender
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from tests.engine.conftest import World
from tests.engine.dovecot import PATIENCE, answers, base_folder, dovecot, free_port, wait_until
from tests.engine.test_receive import REMIND, stored

T = TypeVar("T")

POSTFIX = shutil.which("postfix") or ("/usr/sbin/postfix" if Path("/usr/sbin/postfix").exists() else None)

MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/mail.log
maillog_file_prefixes = {base}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
smtputf8_enable = no
default_transport = error:this server knows example.com alone
virtual_mailbox_domains = example.com
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = inline:{{ {{c1@example.com = c1/}}, {{sender@example.com = sender/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Office:
    """A mail server, and the mailboxes that it fills: SMTP's port, and IMAP's."""

    smtp: int
    imap: int

    def box(self, name: str) -> MailBoxUnencrypted:
        return MailBoxUnencrypted("127.0.0.1", self.imap).login(name, "secret")


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """A Postfix and a Dovecot of the test's own."""
    if POSTFIX is None:
        pytest.skip("Postfix is not installed (Debian: apt-get install postfix)")
    if os.getuid() != 0:
        pytest.skip("Postfix is started by root alone")
    with base_folder() as (base, owner), postfix(base, owner) as smtp, dovecot(base, owner) as imap:
        yield Office(smtp, imap)


class postfix:  # noqa: N801 - used as a context manager
    """A Postfix with its own configuration, queue and port, in a base folder; its log is `mail.log` there."""

    def __init__(self, base: Path, owner: pwd.struct_passwd) -> None:
        self._base, self._owner = base, owner
        self._settings = base / "postfix"

    def __enter__(self) -> int:
        port = free_port()
        self._settings.mkdir()
        for folder in ("queue", "data"):
            (self._base / folder).mkdir()
        shutil.chown(self._base / "data", "postfix")
        values = {"base": self._base, "uid": self._owner.pw_uid, "gid": self._owner.pw_gid, "port": port}
        (self._settings / "main.cf").write_text(MAIN.format(**values))
        (self._settings / "master.cf").write_text(MASTER.format(**values))
        self._tell("start")
        wait_until(lambda: answers(port, b"220 "), self._base / "mail.log")
        return port

    def __exit__(self, *_: object) -> None:
        self._tell("stop")

    def _tell(self, command: str) -> None:
        said = subprocess.run(
            [str(POSTFIX), "-c", str(self._settings), command], capture_output=True, text=True, check=False
        )
        log = self._base / "mail.log"
        assert said.returncode == 0, (said.stderr, log.read_text() if log.exists() else "")


def until(look: Callable[[], T]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def work(world: World, office: Office) -> None:
    async def main() -> None:
        sender = SmtpSender("127.0.0.1", office.smtp, hostname="client.example.com", security=Security.NONE, timeout=20)
        try:
            await Worker(Outbox(world.database, world.clock, {Channel.EMAIL: sender}), Pace()).run_until_idle()
        finally:
            await sender.close()

    asyncio.run(main())


def received(office: Office, name: str) -> Message:
    """The one mail in a mailbox, which is empty afterwards."""
    with office.box(name) as box:

        def look() -> list[Message]:
            return [mail.obj for mail in box.fetch(mark_seen=False)]

        (mail,) = until(look)
        box.delete(box.uids())
        return mail


def answer(office: Office, asked: Message, text: str, **headers: str) -> None:
    """The contact's mail program answers a mail, by the same server."""
    reply = EmailMessage()
    reply["From"], reply["To"] = "Ann <c1@example.com>", asked["Reply-To"] or asked["From"]
    reply["Subject"] = f"Re: {asked['Subject']}"
    reply["In-Reply-To"] = reply["References"] = asked["Message-ID"]
    reply["Message-ID"], reply["Date"] = make_msgid(domain="example.com"), format_datetime(datetime.now(UTC))
    for name, value in headers.items():
        reply[name.replace("_", "-")] = value
    reply.set_content(text)
    with smtplib.SMTP("127.0.0.1", office.smtp, timeout=PATIENCE) as server:
        server.send_message(reply)


def fetched(world: World, office: Office) -> int:
    """What dripiq finds in its own mailbox, worked."""
    ours = ImapMailbox("127.0.0.1", office.imap, username="sender", password=SecretStr("secret"), security="none")
    worker = Worker(Outbox(world.database, world.clock, {}), Pace(), ours)
    try:
        found = asyncio.run(worker.fetch())
        world.work()
        return found
    finally:
        ours.close()


def test_a_mail_by_postfix_that_is_answered_by_mail_ends_its_campaign_and_an_out_of_office_does_not(
    world: World, office: Office
) -> None:
    world.clock.time = datetime.now(UTC)
    world.enroll(REMIND)
    work(world, office)
    assert world.rows("SELECT status, error_code, last_error FROM dripiq_app.outbound_messages") == [
        ("sent", None, None)
    ]
    asked = received(office, "c1")
    assert asked["Message-ID"] == f"<{world.message()}@example.com>"

    answer(office, asked, "I am away until Monday.", Auto_Submitted="auto-replied")
    assert until(lambda: fetched(world, office)) == 1
    assert (stored(world), world.campaign().status) == ([("auto_reply", True)], "active")

    answer(office, asked, "Sounds good, call me.")
    assert until(lambda: fetched(world, office)) == 1
    assert world.campaign().status == "stopped"
    assert world.value("SELECT trigger FROM dripiq_app.campaign_transitions ORDER BY seq DESC LIMIT 1") == "replied"


def test_a_mailbox_that_postfix_does_not_know_is_suppressed(world: World, office: Office) -> None:
    world.execute("UPDATE dripiq_app.lead_point_of_contacts SET email = 'nobody@example.com'")
    world.enroll(REMIND)
    work(world, office)
    assert world.value("SELECT error_code FROM dripiq_app.outbound_messages") == "550 5.1.1"
    assert world.rows("SELECT value, type FROM dripiq_app.communication_suppressions") == [
        ("nobody@example.com", "bounce")
    ]
