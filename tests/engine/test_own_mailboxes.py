"""The mailboxes that senders have of their own: read once a period by all workers together, by another where one died; what fails is tried ever more rarely."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from imap_tools import MailBoxUnencrypted
from sqlalchemy import event

from dripiq.channels.imap import ImapMailbox
from dripiq.config.environment import load_settings
from dripiq.db.session import make_engine
from dripiq.domain.accounts import LONGEST_REST, Mailbox, MailServer, rest
from dripiq.engine import read_mailboxes
from dripiq.engine.give_account import give_account
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.read_mailboxes import AT_ONCE, LEASE, MailboxReader
from dripiq.repositories.mailboxes import Reading, claim_mailboxes, record_readings
from dripiq.wiring import own_mailboxes
from tests.engine.conftest import World, settle_tenant
from tests.engine.dovecot import PATIENCE
from tests.engine.test_receive import REMIND, stored, to_us
from tests.engine.test_senders import add_sender

MINUTE = timedelta(minutes=1)
READ_NOW = "SELECT imap_read_at = :now FROM dripiq_app.sender_accounts WHERE sender_identity_id = :sender"


class Opened(list[str]):
    """Opens mailboxes as a worker does, and notes whose."""

    def __init__(self) -> None:
        opener = own_mailboxes(load_settings())
        assert opener is not None
        self._opener = opener

    def __call__(self, mailbox: Mailbox) -> ImapMailbox:
        self.append(mailbox.sender_id)
        return self._opener(mailbox)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIPIQ_EMAIL_CHANNEL", "smtp")
    monkeypatch.setenv("ANNS", "secret")
    monkeypatch.setenv("WRONG", "hunter2")


@pytest.fixture
def reader_of() -> Iterator[Callable[[World, Opened], MailboxReader]]:
    """Makes readers as of workers of their own, with connections of their own."""
    made: list[tuple[MailboxReader, Any]] = []

    def make(world: World, opened: Opened) -> MailboxReader:
        engine = make_engine(world.database.url.render_as_string(hide_password=False), pool_size=4)
        reader = MailboxReader(engine, world.clock, opened, MINUTE)
        made.append((reader, engine))
        return reader

    yield make
    for reader, engine in made:
        reader.close()
        engine.dispose()


def give(world: World, sender: str, port: int, *, secret: str = "env:ANNS", user: str = "ann") -> str:
    with world.database.begin() as connection:
        imap = MailServer("127.0.0.1", port, "none", user, secret)
        smtp = MailServer("127.0.0.1", 1, "none")
        return give_account(connection, world.tenant_id, sender, smtp, (imap, "INBOX"), now=world.clock.time)


def state(world: World, sender_id: str) -> Any:
    (row,) = world.rows(
        "SELECT imap_read_at IS NOT NULL AS was_read, imap_failures, imap_error FROM dripiq_app.sender_accounts"
        " WHERE sender_identity_id = :sender",
        sender=sender_id,
    )
    return row


def test_a_senders_own_mailbox_gives_what_is_about_outreach_and_keeps_peoples_other_mail_to_itself(
    world: World, imap_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.clock.time = datetime.now(UTC)  # the mailbox has no other
    world.enroll(REMIND)
    world.work()
    other = World(world.database, world.folder)
    other.tenant_id, other.sender_id, _ = settle_tenant(world.database, 1, "Other")
    other.clock = world.clock
    give(world, "sender@example.com", imap_port)
    give(other, "sender@example.com", imap_port, secret="env:NOBODYS")
    with MailBoxUnencrypted("127.0.0.1", imap_port).login("ann", "secret") as box:
        box.append(b"From: mum@example.org\r\nMessage-ID: <a@b.test>\r\nSubject: Sunday\r\n\r\nLunch?\r\n", "INBOX")
        box.append(to_us(world), "INBOX")
    opened = Opened()
    outbox = world.worker()._outbox
    worker = Worker(outbox, Pace(poll=timedelta(milliseconds=50)), None, opened)

    async def live() -> None:
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            while world.campaign().status != "stopped":
                await asyncio.sleep(0.02)
            world.clock.pass_(minutes=1)
            while len(opened) < 3:
                await asyncio.sleep(0.02)
            worker.stop()
            await working

    asyncio.run(live())
    assert sorted(opened) == sorted([world.sender_id] * 2 + [other.sender_id])
    assert worker.done["fetched"] == 1
    assert stored(world) == [("reply", True)]
    kept = "SELECT (SELECT count(*) FROM dripiq_app.webhook_quarantine) + (SELECT count(*) FROM dripiq_app.webhook_deliveries)"
    assert world.value(kept) == 1
    assert "There is no secret at env:NOBODYS" in caplog.text
    assert "There is no secret at env:NOBODYS" in state(world, other.sender_id).imap_error
    assert tuple(state(world, world.sender_id)) == (True, 0, None)


def test_two_readers_at_once_read_each_mailbox_once_a_period_and_claim_them_together(
    world: World,
    imap_port: int,
    reader_of: Callable[[World, Opened], MailboxReader],
) -> None:
    other = World(world.database, world.folder)
    other.tenant_id, other.sender_id, _ = settle_tenant(world.database, 1, "Other")
    senders = [add_sender(world, f"s{n}@example.com") for n in range(AT_ONCE + 1)] + [other.sender_id]
    for n, sender_id in enumerate(senders):
        give(other if sender_id == other.sender_id else world, sender_id, imap_port, user=f"box{n}")
    opened = Opened()
    first, second = reader_of(world, opened), reader_of(world, opened)

    async def both() -> None:
        assert sum(await asyncio.gather(first.read(), second.read())) == 0

    for period in (1, 2):
        for _ in range(2):
            asyncio.run(both())
            assert sorted(opened) == sorted(senders * period)
        world.clock.pass_(seconds=59)
        asyncio.run(both())
        assert len(opened) == len(senders) * period
        world.clock.pass_(seconds=1)

    claims: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if "SKIP LOCKED" in statement:
            claims.append(cursor.rowcount)

    event.listen(first._database, "after_cursor_execute", note)
    asyncio.run(first.read())
    assert max(claims) >= AT_ONCE - 1  # in one statement, but for the one that another tenant may come first with
    assert sum(claims) == len(senders)


def test_what_a_dead_reader_held_is_read_by_another_and_it_says_nothing_of_it_when_it_wakes(
    world: World,
    imap_port: int,
    reader_of: Callable[[World, Opened], MailboxReader],
) -> None:
    give(world, world.sender_id, imap_port)
    with world.database.begin() as connection:
        now = world.clock.time
        (held,) = claim_mailboxes(connection, world.tenant_id, now=now, until=now + LEASE, limit=9)
    opened = Opened()
    living = reader_of(world, opened)
    asyncio.run(living.read())
    world.clock.time += LEASE - timedelta(seconds=1)
    asyncio.run(living.read())
    assert opened == []
    world.clock.pass_(seconds=1)
    asyncio.run(living.read())
    assert opened == [world.sender_id]
    with world.database.begin() as connection:
        late = Reading(held, world.clock.time, "It was long ago.")
        record_readings(connection, world.tenant_id, [late], world.clock.time)
    asyncio.run(living.read())
    assert (len(opened), tuple(state(world, world.sender_id))) == (1, (True, 0, None))


def test_a_mailbox_that_hangs_and_one_that_refuses_hold_up_nobody_and_say_why(
    world: World,
    imap_port: int,
    reader_of: Callable[[World, Opened], MailboxReader],
) -> None:
    hanging, refused = add_sender(world, "hangs@example.com"), add_sender(world, "refused@example.com")
    good = [add_sender(world, f"s{n}@example.com") for n in range(2 * AT_ONCE)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        give(world, hanging, silent.getsockname()[1])
        give(world, refused, imap_port, secret="env:WRONG")
        for n, sender_id in enumerate(good):
            give(world, sender_id, imap_port, user=f"box{n}")
        reader = reader_of(world, Opened())

        async def live() -> None:
            reading = asyncio.create_task(reader.read())
            async with asyncio.timeout(PATIENCE):
                while not all(state(world, sender_id).was_read for sender_id in good):
                    await asyncio.sleep(0.02)
                assert not reading.done()
                silent.accept()[0].close()
                await reading

        asyncio.run(live())
    said = state(world, refused)
    assert tuple(said[:2]) == (False, 1)
    assert said.imap_error.startswith("The server refuses the log-in of ann: ")
    assert "hunter2" not in said.imap_error
    assert tuple(state(world, hanging)) == (False, 1, "The mailbox failed (abort).")


def test_while_a_mailbox_hangs_the_others_are_read_each_period_and_it_is_not_begun_again(
    world: World,
    imap_port: int,
    reader_of: Callable[[World, Opened], MailboxReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_mailboxes, "LOOKS_AGAIN", 0.05)
    hanging = add_sender(world, "hangs@example.com")
    opened, stopping = Opened(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        give(world, hanging, silent.getsockname()[1])
        give(world, world.sender_id, imap_port)
        reader = reader_of(world, opened)

        async def live() -> None:
            reading = asyncio.create_task(reader.read(stopping.is_set))
            async with asyncio.timeout(PATIENCE):
                for _ in range(3):
                    while not world.value(READ_NOW, sender=world.sender_id, now=world.clock.time):
                        await asyncio.sleep(0.02)
                    world.clock.time += LEASE
                stopping.set()
                silent.accept()[0].close()
                await reading

        asyncio.run(live())
    assert opened.count(hanging) == 1
    assert opened.count(world.sender_id) >= 3


def test_a_mailbox_that_hangs_does_not_hold_up_the_end_and_is_not_said_to_have_failed(
    world: World, reader_of: Callable[[World, Opened], MailboxReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_mailboxes, "LOOKS_AGAIN", 0.05)
    opened, stopping = Opened(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        give(world, world.sender_id, silent.getsockname()[1])
        reader = reader_of(world, opened)

        async def live() -> None:
            reading = asyncio.create_task(reader.read(stopping.is_set))
            while not opened:
                await asyncio.sleep(0.02)
            stopping.set()
            async with asyncio.timeout(PATIENCE):  # shorter than what the server may say nothing for
                assert await reading == 0

        asyncio.run(live())
    assert state(world, world.sender_id).imap_error is None


def test_a_mailbox_that_is_not_read_is_tried_ever_more_rarely_until_it_is_or_its_account_is_given_anew(
    world: World,
    imap_port: int,
    reader_of: Callable[[World, Opened], MailboxReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(world, world.sender_id, imap_port, secret="env:LATER")
    opened, tried = Opened(), []
    reader = reader_of(world, opened)
    for minute in range(190):
        before = len(opened)
        asyncio.run(reader.read())
        tried += [minute] * (len(opened) - before)
        world.clock.pass_(minutes=1)
    assert tried == [0, 2, 6, 14, 30, 62, 122, 182]
    assert state(world, world.sender_id).imap_failures == len(tried)
    monkeypatch.setenv("LATER", "secret")
    give(world, world.sender_id, imap_port, secret="env:LATER")
    for _ in range(2):
        asyncio.run(reader.read())
        world.clock.pass_(minutes=1)
    assert (len(opened), tuple(state(world, world.sender_id))) == (len(tried) + 2, (True, 0, None))


def test_no_rest_is_shorter_than_the_period_nor_longer_than_an_hour_unless_the_period_is() -> None:
    assert [rest(MINUTE, n) for n in (1, 2, 5, 6, 10**6)] == [MINUTE * n for n in (2, 4, 32, 60, 60)]
    assert rest(5 * LONGEST_REST, 3) == 5 * LONGEST_REST
