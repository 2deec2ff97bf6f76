"""A small load that comes to every statement of the engine: what is due, what is left over from crashed workers, and people who answer."""

import asyncio
import base64
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from dripiq.domain.accounts import MailServer
from dripiq.domain.limits import Period
from dripiq.domain.sender_health import PAUSE_CODES, PauseReason
from dripiq.domain.states import Channel, LimitScope
from dripiq.engine.claim import Share, claim
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.dispatch.prepare import Ready, prepare
from dripiq.engine.enroll import enroll
from dripiq.engine.give_account import give_account
from dripiq.engine.ingest import ingest
from dripiq.engine.limit import set_limit
from dripiq.engine.steer import pause_sending
from dripiq.engine.suppress import suppress
from dripiq.engine.upkeep import expire
from dripiq.repositories.outbox import commit_to_send
from dripiq.simulate.smtp_sink import SmtpSink
from dripiq.simulate.witnesses import Event, ReceivedMail
from tests.engine.conftest import HandClock, email_plan, settle_tenant

KINDS = ("opens", "clicks", "silent", "bounces", "leaves", "complains", "refused", "busy")
"""What people do with a mail; the last two have servers that take none, for good and for now."""
TAKING = frozenset(KINDS) - {"refused", "busy"}

PLAN = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "follow"},
            {"on": "no_open", "to": "bump", "after": "PT2S"},
            {"on": "bounced", "to": "stop"},
        ],
    },
    {
        "id": "follow",
        "replyTo": "previous",
        "transitions": [{"on": "clicked", "to": "pause"}, {"on": "no_click", "to": "stop", "after": "PT2S"}],
    },
    {"id": "bump"},
    {"id": "pause", "action": "wait", "transitions": [{"on": "no_reply", "to": "last", "after": "PT1S"}]},
    {"id": "last"},
    version="1.1",
    timezone="contact",
    defaults={"timezone": "UTC"},
)
LATE = "Late"
LATE_PLAN = email_plan(
    {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT12H"}]}, {"id": "bump"}
)
"""Goes on for longer than a case: who is enrolled again while it does is passed over."""

HOLD = text(
    "UPDATE dripiq_app.scheduled_actions AS action SET status = 'held', reason = :reason FROM dripiq_app.contact_campaigns AS campaign"
    " WHERE campaign.id = action.contact_campaign_id AND campaign.contact_id = :contact AND action.status = 'pending'"
)


@dataclass(frozen=True)
class Tenants:
    """Who takes part: `main` does everything, `resends` has chosen to send again what is in doubt, `paused` has its kill switch on, `late` has contacts and no
    campaign yet."""

    main: str
    resends: str
    paused: str
    late: str
    began: datetime
    taken_before: tuple[ReceivedMail, ...]
    """Of these the provider never says a word."""

    @property
    def ids(self) -> list[str]:
        return [self.main, self.resends, self.paused, self.late]


def settle(database: Engine, contacts: int = 24) -> Tenants:
    """Make the world that every case begins with."""
    with database.begin() as connection:
        now = DatabaseClock().now(connection)
    long_ago = now - timedelta(days=2)
    main, _, people = settle_tenant(database, contacts + 3, "Main")
    resends, _, few = settle_tenant(database, 2, "Resends")
    paused, _, held = settle_tenant(database, 1, "Paused")
    late, _, _ = settle_tenant(database, 5, LATE)
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE dripiq_app.lead_point_of_contacts AS c"
                " SET email = (CAST(:kinds AS text[]))[n % cardinality(CAST(:kinds AS text[])) + 1] || n || '@example.com'"
                " FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS p (id, n) WHERE c.id = p.id"
            ),
            {"kinds": list(KINDS), "ids": people[:contacts]},
        )
        connection.execute(
            text(
                "INSERT INTO dripiq_app.tenant_settings (tenant_id, id, in_doubt_policy) VALUES (:tenant, 's', 'resend')"
            ),
            {"tenant": resends},
        )
    taken: list[ReceivedMail] = []
    crashed_worker(database, main, people[contacts : contacts + 2], long_ago, taken)
    expire(database, HandClock(long_ago + timedelta(hours=1)), timedelta(minutes=2))  # its doubts are old
    crashed_worker(database, main, people[contacts + 2 :], now - timedelta(hours=1), taken)
    crashed_worker(database, resends, few[:1], long_ago, [])
    expire(database, HandClock(long_ago + timedelta(hours=1)), timedelta(minutes=2))
    with database.begin() as connection:
        # Wide enough for all, so that the buckets are written and nothing waits for them.
        set_limit(connection, main, LimitScope.SENDER, maxima={Period.MINUTE: 10_000}, now=now)
    # Before they are enrolled: the gates stop them.
    with database.begin() as connection:
        suppress(connection, main, [address(database, contact) for contact in people[:contacts:6]])
    with database.begin() as connection:
        enroll(connection, main, PLAN, people[:contacts], now=now)
        enroll(connection, resends, PLAN, few[1:], now=now)
        enroll(connection, paused, PLAN, held, now=now)
    with database.begin() as connection:
        pause_sending(connection, paused, reason="test")
        # Its sender was another, which is paused: it goes on by itself.
        of_another = {"contact": people[1], "reason": PAUSE_CODES[PauseReason.BOUNCE_RATE]}
        assert connection.execute(HOLD, of_another).rowcount == 1
        # Nothing leaves from it, so nobody misses its mail server; its mailbox is claimed, and nobody answers there.
        nowhere = MailServer("127.0.0.1", 1, "none", "nobody", "env:PATH")
        give_account(connection, paused, "sender@example.com", nowhere, (nowhere, "INBOX"))
    return Tenants(main, resends, paused, late, now, tuple(taken))


def crashed_worker(
    database: Engine, tenant_id: str, people: list[str], at: datetime, taken: list[ReceivedMail]
) -> None:
    """A worker that claimed these, committed them to sending, handed the mails over (`taken`), and died."""
    clock = HandClock(at)
    with database.begin() as connection:
        enroll(connection, tenant_id, PLAN, people, now=at)
    lease = claim(database, clock, tenant_id, Share())
    with database.begin() as connection:
        ready = prepare(connection, lease, lease.actions, {Channel.EMAIL: "sendgrid"}, at, None)[Channel.EMAIL]
    with database.begin() as connection:
        commit_to_send(connection, tenant_id, Channel.EMAIL, [each.message.id for each in ready], at)
    taken += [_mail_of(each, at) for each in ready]


def _mail_of(ready: Ready, at: datetime) -> ReceivedMail:
    message = ready.message
    return ReceivedMail(
        at,
        message.to_address,
        message.from_address,
        "q" + message.id,
        message.tenant_id,
        message.id,
        message.message_id,
    )


def address(database: Engine, contact_id: str) -> str:
    with database.begin() as connection:
        found = connection.execute(
            text("SELECT email FROM dripiq_app.lead_point_of_contacts WHERE id = :id"), {"id": contact_id}
        )
        return str(found.scalar_one())


class Sink(SmtpSink):
    """A mail server that has mailboxes which are gone, and some that are full."""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        if address.startswith("refused"):
            return "550 5.1.1 No such user"
        if address.startswith("busy"):
            return "451 4.2.2 Mailbox full for now"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"


Post = Callable[[list[Event]], Awaitable[bool]]
"""Posts a batch; whether it was answered 2xx."""


@dataclass
class People:
    """They get mail, and the provider tells what they do with it, until it is heard."""

    seed: int
    answered: list[Event] = field(default_factory=list)
    _due: list[tuple[float, Event]] = field(default_factory=list)
    _posting: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def waiting(self) -> int:
        return len(self._due) + len(self._posting)

    def take(self, mail: ReceivedMail) -> None:
        kind = mail.recipient.rstrip("0123456789").partition("@")[0].rstrip("0123456789")
        words = {
            "opens": ["delivered", "open"], "clicks": ["delivered", "open", "click"], "silent": [],
            "bounces": ["bounce"], "leaves": ["delivered", "unsubscribe"], "complains": ["delivered", "spamreport"],
        }  # fmt: skip
        for delay, word in enumerate(words.get(kind, ["delivered"])):
            event = self._event(mail, word)
            for _ in range(self._chance.choice((1, 1, 2))):
                self._due.append((time.monotonic() + 0.2 * delay + self._chance.uniform(0.05, 0.4), event))

    async def answer_until(self, stop: asyncio.Event, post: Post) -> None:
        """Post what is due, in no order, again until it is heard."""
        while not stop.is_set():
            now = time.monotonic()
            batch = [event for at, event in self._due if at <= now]
            self._chance.shuffle(batch)
            if batch:
                self._due = [(at, event) for at, event in self._due if at > now]
                self._posting = batch
                if await post(batch):
                    self.answered += batch
                else:
                    self._due += [(now + 0.2, event) for event in batch]
                self._posting = []
            try:
                await asyncio.wait_for(stop.wait(), 0.1)
            except TimeoutError:
                continue

    def _event(self, mail: ReceivedMail, word: str) -> Event:
        fields: dict[str, object] = {"bounce": {"type": "bounce", "status": "5.1.1"}, "click": {"url": "https://example.com/"}}.get(word, {})  # type: ignore[assignment]  # fmt: skip
        return {
            "email": mail.recipient, "timestamp": int(time.time()), "smtp-id": f"<{mail.smtp_id}>", "event": word,
            "sg_event_id": base64.b64encode(self._chance.randbytes(12)).decode(), "sg_message_id": f"{mail.queue_id}.filter",
            "dripiq_tenant": mail.tenant_id, "dripiq_message": mail.message_id, **fields,
        }  # fmt: skip


def posting_into(database: Engine) -> Post:
    """The provider's way into the archive without HTTP."""

    def archive(batch: list[Event]) -> bool:
        try:
            with database.begin() as connection:
                ingest(connection, json.dumps(batch).encode(), DatabaseClock().now(connection))
        except Exception:
            return False
        return True

    return lambda batch: asyncio.to_thread(archive, batch)
