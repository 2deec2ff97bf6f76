"""A reply that lies in a real mailbox ends its campaign; an out-of-office does not; what was taken is not taken again."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from imap_tools import MailBoxUnencrypted
from pydantic import SecretStr

from dripiq.channels.folder import FolderSender
from dripiq.channels.imap import ImapMailbox, MailboxError
from dripiq.config.environment import load_settings
from dripiq.domain.accounts import MailServer
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.give_account import give_account
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.read_mailboxes import MailboxReader
from dripiq.wiring import own_mailboxes
from tests.engine.conftest import World, settle_tenant
from tests.engine.dovecot import PATIENCE, base_folder, dovecot
from tests.engine.test_receive import REMIND, stored, to_us


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a Dovecot of the test's own."""
    with base_folder() as (base, owner), dovecot(base, owner) as chosen:
        yield chosen


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


def test_a_senders_own_mailbox_gives_what_is_about_outreach_and_keeps_peoples_other_mail_to_itself(
    asked: World, port: int, box: MailBoxUnencrypted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DRIPIQ_EMAIL_CHANNEL", "smtp")
    monkeypatch.setenv("ANNS", "secret")
    other, _, _ = settle_tenant(asked.database, 1, "Other")
    for tenant_id, secret in ((asked.tenant_id, "env:ANNS"), (other, "env:NOBODYS")):
        with asked.database.begin() as connection:
            imap = MailServer("127.0.0.1", port, "none", "ann", secret)
            give_account(
                connection, tenant_id, "sender@example.com", MailServer("127.0.0.1", 1, "none"), (imap, "INBOX")
            )
    box.append(b"From: mum@example.org\r\nMessage-ID: <a@b.test>\r\nSubject: Sunday\r\n\r\nLunch?\r\n", "INBOX")
    box.append(to_us(asked), "INBOX")
    opener = own_mailboxes(load_settings())
    assert opener is not None
    reader = MailboxReader(asked.database, asked.clock, opener)
    assert asyncio.run(reader.read()) == 1
    assert asyncio.run(reader.read()) == 0
    reader.close()
    asked.work()
    assert (stored(asked), asked.campaign().status) == ([("reply", True)], "stopped")
    kept = "SELECT (SELECT count(*) FROM dripiq_app.webhook_quarantine) + (SELECT count(*) FROM dripiq_app.webhook_deliveries)"
    assert asked.value(kept) == 1
    assert "There is no secret at env:NOBODYS" in caplog.text
