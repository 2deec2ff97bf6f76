"""What a sender is paused for: what came of the mails that it sent in the window, and since it was resumed. How it comes back: past nobody's locks."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from dripiq.channels.base import Outcome, OutgoingMessage, Sender, Verdict
from dripiq.channels.folder import FolderSender
from dripiq.domain.sender_health import Rates
from dripiq.domain.states import Channel, SuppressionType
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.pause_sender import pause_troubled
from dripiq.repositories.senders import read_rates
from dripiq.repositories.standing import lock_campaigns
from dripiq.schema.ids import new_id
from tests.engine.conftest import ONE_MAIL, World, email_plan
from tests.engine.test_senders import TOLERANCE, pause, resume

ONE_TEXT = email_plan({"id": "text", "channel": "sms"})
del ONE_TEXT["nodes"][0]["subject"]


class Texts:
    """Takes every text."""

    provider, channel, capacity, timeout = "twilio", Channel.SMS, 10, timedelta(seconds=1)

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        return [Outcome(message.id, Verdict.ACCEPTED, f"SM{message.id}", "201") for message in batch]

    async def close(self) -> None: ...


class Refusing:
    """Refuses some of what it is given, each with its code, and takes the rest."""

    provider, channel, capacity, timeout = "refusing", Channel.EMAIL, 10, timedelta(seconds=1)

    def __init__(self, *codes: str) -> None:
        self._codes = list(codes)

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        return [self._answer(message.id) for message in batch]

    def _answer(self, id: str) -> Outcome:
        if not self._codes:
            return Outcome(id, Verdict.ACCEPTED, f"id-{id}", "250")
        code = self._codes.pop()
        nobody = code.endswith(" 5.1.1")
        return Outcome(id, Verdict.PERMANENT, code=code, closes=SuppressionType.BOUNCE if nobody else None)

    async def close(self) -> None: ...


def sent(world: World) -> list[str]:
    return [row.id for row in world.rows("SELECT id FROM dripiq_app.outbound_messages WHERE sent_at IS NOT NULL")]


def is_complained_of(world: World, messages: Sequence[str]) -> int:
    """How many senders are paused once these are."""
    for message in messages:
        world.receive({"event": "spamreport", "message": message})
    world.work()
    world.clock.pass_(minutes=1)
    return pause_troubled(world.database, world.clock, TOLERANCE)


def test_texts_that_bounce_are_not_held_against_the_sender_of_mail(crowd: World) -> None:
    for number, contact in enumerate(crowd.contacts[:10]):
        crowd.execute(
            "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
            " VALUES (:id, :tenant_id, :contact, 'sms', :value, true)",
            id=new_id(),
            contact=contact,
            value=f"+491510000{number:04}",
        )
    crowd.enroll(ONE_MAIL)
    crowd.enroll(ONE_TEXT, crowd.contacts[:10])
    senders: dict[Channel, Sender] = {Channel.EMAIL: FolderSender(crowd.folder), Channel.SMS: Texts()}
    asyncio.run(Worker(Outbox(crowd.database, crowd.clock, senders), Pace()).run_until_idle())
    texts = crowd.rows("SELECT id FROM dripiq_app.outbound_messages WHERE channel = 'sms' AND status = 'sent'")
    assert len(texts) == 10
    for row in texts[:5]:
        crowd.receive({"event": "bounce", "type": "bounce", "status": "5.1.1", "message": row.id})
    crowd.work()
    crowd.clock.pass_(minutes=1)
    assert pause_troubled(crowd.database, crowd.clock, TOLERANCE) == 0


def test_who_is_refused_as_an_unknown_mailbox_counts_as_one_that_bounced_each_message_once(crowd: World) -> None:
    def rates() -> Rates:
        with crowd.database.connect() as connection:
            return read_rates(connection, crowd.tenant_id, TOLERANCE, crowd.clock.time)[crowd.sender_id]

    crowd.enroll(ONE_MAIL)
    crowd.work(crowd.worker(Refusing(*["550 5.1.1"] * 3, *["550 5.7.1"] * 4)))
    assert rates() == Rates(46, 3, 0)  # what is refused for what it says, or for who sends it, counts as nothing
    (known, *_) = crowd.rows("SELECT id FROM dripiq_app.outbound_messages WHERE error_code = '550 5.1.1'")
    crowd.receive({"event": "bounce", "type": "bounce", "status": "5.1.1", "message": known.id})
    crowd.work()
    assert rates() == Rates(46, 3, 0)
    crowd.clock.pass_(minutes=1)
    assert pause_troubled(crowd.database, crowd.clock, TOLERANCE) == 1
    note = crowd.value("SELECT pause_note FROM dripiq_app.email_sender_identities")
    assert note.startswith("3 of 46 mails bounced")
    resume(crowd, crowd.sender_id)
    assert rates() == Rates(0, 0, 0)


def test_late_complaints_about_mails_from_before_a_resume_pause_nobody_again(crowd: World) -> None:
    crowd.enroll(ONE_MAIL, crowd.contacts[:25])
    crowd.work()
    old = sent(crowd)
    pause(crowd, crowd.sender_id)
    crowd.clock.pass_(hours=1)
    resume(crowd, crowd.sender_id)
    crowd.clock.pass_(minutes=1)
    crowd.enroll(ONE_MAIL, crowd.contacts[25:])
    crowd.work()
    crowd.clock.pass_(hours=1)
    assert is_complained_of(crowd, old[:3]) == 0
    assert is_complained_of(crowd, [message for message in sent(crowd) if message not in old][:3]) == 1


def test_complaints_about_many_mails_before_the_window_do_not_count_against_the_few_in_it(crowd: World) -> None:
    crowd.enroll(ONE_MAIL, crowd.contacts[:30])
    crowd.work()
    old = sent(crowd)
    crowd.clock.pass_(days=8)
    crowd.enroll(ONE_MAIL, crowd.contacts[30:])
    crowd.work()
    assert is_complained_of(crowd, old[:2]) == 0


def test_resuming_a_sender_locks_actions_in_the_order_of_everybody(crowd: World) -> None:
    crowd.enroll(ONE_MAIL)
    pause(crowd, crowd.sender_id)
    crowd.work()
    held = crowd.rows("SELECT id, contact_campaign_id AS campaign FROM dripiq_app.scheduled_actions ORDER BY ctid")
    first, between, last = next(
        (held[i], held[j], held[k])
        for i in range(len(held))
        for j in range(i + 1, len(held))
        for k in range(j + 1, len(held))
        if held[k].id < held[i].id
    )
    errors: list[Exception] = []

    def noted(act: Callable[[], Any]) -> None:
        try:
            act()
        except Exception as error:
            errors.append(error)

    def hear() -> None:
        with crowd.database.begin() as connection:
            lock_campaigns(connection, crowd.tenant_id, [last.campaign, first.campaign])

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    threads = [threading.Thread(target=noted, args=(act,)) for act in (lambda: resume(crowd, crowd.sender_id), hear)]
    with crowd.database.begin() as other:
        other.execute(
            text("SELECT FROM dripiq_app.scheduled_actions WHERE id = :id FOR NO KEY UPDATE"), {"id": between.id}
        )
        threads[0].start()
        deadline = time.monotonic() + 10
        while not crowd.value(waiting) and time.monotonic() < deadline:
            threads[0].join(0.02)
        threads[1].start()
        threads[1].join(0.5)  # it may wait for the first, or be done
    for thread in threads:
        thread.join(20)
    assert errors == []
