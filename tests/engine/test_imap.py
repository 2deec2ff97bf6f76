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
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from tests.engine.conftest import World
from tests.engine.dovecot import PATIENCE
from tests.engine.test_receive import REMIND, stored, to_us


@pytest.fixture
def box(imap_port: int) -> Iterator[MailBoxUnencrypted]:
    """The mailbox as its owner sees it, empty."""
    with MailBoxUnencrypted("127.0.0.1", imap_port).login("ann", "secret") as mine:
        mine.delete(mine.uids())
        yield mine


@pytest.fixture
def mailbox(imap_port: int, box: MailBoxUnencrypted) -> Iterator[ImapMailbox]:
    """The same mailbox, as dripiq reads it."""
    ours = ImapMailbox(
        "127.0.0.1", imap_port, username="ann", password=SecretStr("secret"), security="none", max_bytes=100_000
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


def test_a_wrong_password_a_server_that_is_away_and_a_folder_that_is_not_there_are_said(imap_port: int) -> None:
    for to, password, folder, said in (
        (imap_port, "wrong", "INBOX", r"refuses the log-in of ann: .*Authentication failed\.$"),
        (imap_port, "secret", "Nowhere", r"does not open the folder Nowhere: .*doesn't exist: Nowhere"),
        (1, "secret", "INBOX", r"The mailbox failed \(ConnectionRefusedError\)"),
    ):
        ours = ImapMailbox(
            "127.0.0.1", to, username="ann", password=SecretStr(password), security="none", folder=folder
        )
        with pytest.raises(MailboxError, match=said):
            list(ours.new())
