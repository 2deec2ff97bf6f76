"""A reply that lies in a real mailbox ends its campaign; an out-of-office does not; what was taken is not taken again."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from imap_tools import MailBoxUnencrypted
from pydantic import SecretStr

from dripiq.channels.folder import FolderSender
from dripiq.channels.imap import ImapMailbox
from dripiq.channels.imap_line import MailboxError
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from tests.engine.certificates import make_certificate
from tests.engine.conftest import World
from tests.engine.dovecot import PATIENCE, base_folder, dovecot, free_port
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


@pytest.fixture(scope="module")
def over_tls() -> Iterator[tuple[dict[str, int], ssl.SSLContext]]:
    """A server's ports by security, and a client's context that trusts its certificate."""
    with base_folder() as (base, owner):
        certificate, trusting = make_certificate(base)
        tls = free_port()
        with dovecot(base, owner, certificate, tls) as plain:
            yield {"tls": tls, "starttls": plain}, trusting


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_over_tls_a_mailbox_is_read_where_the_certificate_is_trusted_and_else_hears_no_password(
    over_tls: tuple[dict[str, int], ssl.SSLContext], security: str
) -> None:
    ports, trusting = over_tls
    told: list[str] = []

    class Password(SecretStr):
        def get_secret_value(self) -> str:
            told.append("password")
            return super().get_secret_value()

    def mailbox(trust: ssl.SSLContext | None) -> ImapMailbox:
        return ImapMailbox(
            "localhost",
            ports[security],
            username="bob",
            password=Password("secret"),
            security=security,
            tls_context=trust,
        )

    with pytest.raises(MailboxError, match="certificate is not trusted: self-signed certificate"):
        list(mailbox(None).new())
    assert told == []
    known = mailbox(trusting)
    assert list(known.new()) == []
    known.close()


@pytest.mark.parametrize("polite", [b"", b"* OK IMAP4rev1 ready\r\n"])
def test_a_server_that_never_comes_to_an_end_is_given_up(polite: bytes) -> None:
    """It sends a byte now and then, so that no single read is late; from its greeting on, or as an answer."""
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(polite)
                while not ended.wait(0.02):
                    connection.sendall(b"*")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        ours = ImapMailbox(
            "127.0.0.1", port, username="ann", password=SecretStr("secret"), security="none", timeout=0.2
        )
        try:
            with pytest.raises(MailboxError, match="not done after 1 s"):
                list(ours.new())
        finally:
            ended.set()
            server.join()
