"""Who unsubscribes, complains, bounces or is suppressed is left alone from that instant on: campaigns end then, and not when their next send falls due."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.db.session import as_tenant
from dripiq.domain.states import Channel, SuppressionScope, SuppressionType
from dripiq.engine.dispatch import hand_over
from dripiq.engine.enroll import enroll
from dripiq.engine.suppress import suppress, unsubscribe
from dripiq.repositories.sending_lock import lock_shared
from dripiq.schema.ids import new_id
from tests.engine.conftest import ONE_MAIL, World, email_plan, settle_tenant

PATIENCE = 20.0
WAITS = email_plan({"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]}, {"id": "bump"})
SAYS_WHAT = email_plan(
    {
        "id": "intro",
        "transitions": [{"on": "unsubscribed", "to": "stop"}, {"on": "no_open", "to": "bump", "after": "PT72H"}],
    },
    {"id": "bump"},
)


def ends(world: World) -> list[tuple[str, str, str | None]]:
    """How the campaigns that ended did: the contact's address, the status and the reason."""
    return [
        tuple(row)
        for row in world.rows(
            "SELECT contact.email, campaign.status, move.reason FROM dripiq_app.contact_campaigns AS campaign"
            " JOIN dripiq_app.lead_point_of_contacts AS contact ON contact.id = campaign.contact_id"
            " JOIN dripiq_app.campaign_transitions AS move ON move.tenant_id = campaign.tenant_id"
            "  AND move.contact_campaign_id = campaign.id AND move.seq = campaign.transition_seq"
            " WHERE campaign.status NOT IN ('draft', 'active', 'paused') ORDER BY 1, 2"
        )
    ]


def open_actions(world: World, email: str) -> int:
    count: int = world.value(
        "SELECT count(*) FROM dripiq_app.scheduled_actions AS action"
        " JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = action.tenant_id AND campaign.id = contact_campaign_id"
        " JOIN dripiq_app.lead_point_of_contacts AS contact ON contact.id = campaign.contact_id"
        " WHERE campaign.tenant_id = :tenant_id AND contact.email = :email AND action.status IN ('pending', 'queued', 'held')",
        email=email,
    )
    return count


@pytest.fixture
def waiting(crowd: World) -> World:
    """Four contacts whose first mail is out; the third shares the first one's address, and the fourth prefers another for mail."""
    crowd.contacts = crowd.contacts[:4]
    crowd.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'c1@example.com' WHERE id = :id", id=crowd.contacts[2]
    )
    crowd.execute(
        "INSERT INTO dripiq_app.contact_channels (tenant_id, id, contact_id, channel, value, is_primary)"
        " VALUES (:tenant_id, :id, :contact, 'email', 'fourth@private.test', true)",
        id=new_id(),
        contact=crowd.contacts[3],
    )
    crowd.enroll(WAITS)
    crowd.work()
    return crowd


def test_a_click_on_the_link_ends_every_campaign_of_the_address_and_no_other(waiting: World) -> None:
    neighbour, _, people = settle_tenant(waiting.database, 1, "Neighbour")  # whose contact has the same address
    with waiting.database.begin() as connection:
        enroll(connection, neighbour, WAITS, people, now=waiting.clock.time)
    for _ in range(2):
        with waiting.database.begin() as connection, as_tenant(connection, waiting.tenant_id):
            unsubscribe(connection, waiting.tenant_id, "c1@example.com", channel=Channel.EMAIL, now=waiting.clock.time)
    assert ends(waiting) == [("c1@example.com", "stopped", "unsubscribed")] * 2
    assert open_actions(waiting, "c1@example.com") == 0
    assert (
        waiting.rows(
            "SELECT event.provider, event_type, confidence, message.to_address FROM dripiq_app.message_events AS event"
            " JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = event.tenant_id AND message.id = outbound_message_id"
        )
        == [("dripiq", "unsubscribed", "human", "c1@example.com")] * 2
    )
    theirs = "SELECT status FROM dripiq_app.contact_campaigns WHERE tenant_id = :neighbour"
    assert waiting.value(theirs, neighbour=neighbour) == "active"
    waiting.clock.pass_(hours=80)
    waiting.work()
    assert len(waiting.mails()) == 4 + 2 + 1


def test_a_plan_that_says_what_an_unsubscribing_means_is_asked(world: World) -> None:
    world.enroll(SAYS_WHAT)
    world.work()
    with world.database.begin() as connection:
        unsubscribe(connection, world.tenant_id, "c1@example.com", channel=Channel.EMAIL, now=world.clock.time)
    assert ends(world) == [("c1@example.com", "completed", None)]


def test_what_is_suppressed_by_hand_ends_with_the_gates_own_code_drafts_and_pauses_included(waiting: World) -> None:
    waiting.execute(
        "UPDATE dripiq_app.contact_campaigns SET status = 'paused' WHERE contact_id = :id", id=waiting.contacts[0]
    )
    with waiting.database.begin() as connection:
        suppress(connection, waiting.tenant_id, ["c1@example.com"], now=waiting.clock.time)
    assert ends(waiting) == [("c1@example.com", "stopped", "suppressed_manual")] * 2
    with waiting.database.begin() as connection:
        suppress(
            connection,
            waiting.tenant_id,
            ["private.test"],
            now=waiting.clock.time,
            scope=SuppressionScope.DOMAIN,
            kind=SuppressionType.BLOCKED,
        )
    assert ends(waiting)[-1] == ("c4@example.com", "stopped", "suppressed_domain_blocked")


def test_another_channel_is_not_touched(waiting: World) -> None:
    with waiting.database.begin() as connection:
        suppress(connection, waiting.tenant_id, ["c1@example.com"], now=waiting.clock.time, channel=Channel.SMS)
    assert ends(waiting) == []


@pytest.mark.parametrize(
    ("event", "kind", "own"),
    [
        ({"event": "spamreport"}, "spamreport", "spamreport"),
        ({"event": "group_unsubscribe"}, "unsubscribe", "unsubscribed"),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, "bounce", "bounced"),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_an_event_ends_its_own_campaign_and_whoever_else_writes_there(
    waiting: World, event: dict[str, Any], kind: str, own: str
) -> None:
    message = waiting.value(
        "SELECT id FROM dripiq_app.outbound_messages WHERE contact_id = :contact", contact=waiting.contacts[0]
    )
    waiting.receive({**event, "message": message})
    waiting.work()
    assert sorted(ends(waiting), key=str) == sorted(
        [("c1@example.com", "stopped", own), ("c1@example.com", "stopped", f"suppressed_{kind}")], key=str
    )


def test_an_event_of_a_message_that_nobody_knows_ends_the_campaigns_of_its_address(waiting: World) -> None:
    waiting.receive({"event": "unsubscribe", "email": "FOURTH@private.test", "sg_message_id": "somebody.elses"})
    waiting.work()
    assert ends(waiting) == [("c4@example.com", "stopped", "suppressed_unsubscribe")]


class Refusing:
    """Takes nothing, and says why."""

    provider = "refusing"
    channel = Channel.EMAIL
    capacity = 10
    timeout = timedelta(seconds=1)

    def __init__(self, **outcome: Any) -> None:
        self._outcome = outcome
        self.before: Callable[[], None] = lambda: None

    async def send(self, batch: list[OutgoingMessage]) -> list[Outcome]:
        self.before()
        return [Outcome(message.id, Verdict.PERMANENT, code="550 5.1.1", **self._outcome) for message in batch]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("closes", [SuppressionType.BOUNCE, None])
def test_a_refusal_because_nobody_is_there_suppresses_as_a_hard_bounce_does(
    waiting: World, closes: SuppressionType | None
) -> None:
    waiting.execute(
        "UPDATE dripiq_app.contact_campaigns SET status = 'error', completed_at = now() WHERE contact_id = :id",
        id=waiting.contacts[0],
    )
    waiting.enroll(ONE_MAIL, [waiting.contacts[0]])
    waiting.work(waiting.worker(Refusing(closes=closes)))  # type: ignore[arg-type]
    suppressed = waiting.rows("SELECT value, type, source FROM dripiq_app.communication_suppressions")
    refused = ("c1@example.com", "error", "550 5.1.1")
    if closes is None:
        assert (suppressed, ends(waiting)) == ([], [refused])
    else:
        assert suppressed == [("c1@example.com", "bounce", "webhook")]
        assert ends(waiting) == [refused, ("c1@example.com", "stopped", "suppressed_bounce")]


def test_an_outcome_waits_for_no_sending_lock_and_whom_it_closes_is_closed_with_it(world: World) -> None:
    """Somebody's open transaction holds up the tenant's sending. Nothing of an outcome is left for later: no process can fall in between."""
    world.enroll(ONE_MAIL)
    refusing = Refusing(closes=SuppressionType.BOUNCE)
    with world.database.connect() as holding, ThreadPoolExecutor(1) as pool:
        refusing.before = lambda: lock_shared(holding, world.tenant_id, Channel.EMAIL)
        working = pool.submit(world.work, world.worker(refusing))  # type: ignore[arg-type]
        until(lambda: world.rows("SELECT FROM dripiq_app.outbound_messages WHERE status = 'failed'"))
        closed = world.rows("SELECT value FROM dripiq_app.communication_suppressions")
        holding.rollback()
        working.result(PATIENCE)
    assert closed == [("c1@example.com",)]


def until(look: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline


def test_an_outcome_is_recorded_though_somebody_holds_the_campaign_of_another_at_the_refused_address(
    waiting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried for a while, and then written without that campaign's stop, which the gates make up for at its next send."""
    monkeypatch.setattr(hand_over, "RECORD_PAUSES", (0.0,))
    event.listen(waiting.database, "begin", lambda began: began.exec_driver_sql("SET LOCAL lock_timeout = '100ms'"))
    ours, other = waiting.contacts[0], waiting.contacts[2]
    waiting.execute("UPDATE dripiq_app.contact_campaigns SET status = 'stopped' WHERE contact_id = :id", id=ours)
    waiting.enroll(ONE_MAIL, [ours])
    with waiting.database.begin() as holder:
        lock = "SELECT FROM dripiq_app.contact_campaigns WHERE contact_id = :id FOR NO KEY UPDATE"
        holder.execute(text(lock), {"id": other})
        waiting.work(waiting.worker(Refusing(closes=SuppressionType.BOUNCE)))  # type: ignore[arg-type]
    statuses = "SELECT status FROM dripiq_app.outbound_messages WHERE contact_id = :id ORDER BY status"
    assert waiting.rows(statuses, id=ours) == [("failed",), ("sent",)]
    assert waiting.rows("SELECT value, type FROM dripiq_app.communication_suppressions") == [
        ("c1@example.com", "bounce")
    ]
    waiting.clock.pass_(hours=80)
    waiting.work()
    assert ("c1@example.com", "stopped", "suppressed_bounce") in ends(waiting)
