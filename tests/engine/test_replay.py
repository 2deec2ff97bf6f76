"""Normalising the archive again: shows what is missing, writes only that, once, and moves nobody unless asked to."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from dripiq.channels.own_events import Seen
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.engine import replay as module
from dripiq.engine.normalise import normalise
from dripiq.engine.notice import notice
from dripiq.engine.replay import Report, Scope, plan_replay, replay
from tests.engine.conftest import NOON, World, email_plan

DAY = timedelta(days=1)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
TWO_MAILS = email_plan(
    {
        "id": "intro",
        "transitions": [{"on": "opened", "to": "thanks"}, {"on": "no_open", "to": "stop", "after": "PT72H"}],
    },
    {"id": "thanks"},
)


@pytest.fixture
def sent(world: World) -> World:
    """A tenant whose contact was sent the first of two mails."""
    world.enroll(TWO_MAILS)
    world.work()
    world.clock.pass_(minutes=5)
    return world


def replayed(world: World, *, apply: bool = False, move: bool = False) -> Report:
    with world.database.connect() as connection:
        scope = Scope(NOON - timedelta(hours=1), world.clock.time + DAY, apply=apply, move=move)
        scope, (archived,) = plan_replay(connection, scope, world.tenant_id)
    return replay(world.database, world.clock, archived, scope, lambda _: None)


def stored(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """All that a replay could change."""
    tables = (
        "message_events",
        "outbound_messages",
        "communication_suppressions",
        "webhook_deliveries",
        "contact_campaigns",
        "scheduled_actions",
    )
    return {
        table: [
            tuple(row)
            for row in world.rows(f"SELECT * FROM dripiq_app.{table} WHERE tenant_id = :tenant_id ORDER BY id")
        ]
        for table in tables
    }


def forget(world: World) -> None:
    """Lose what was made of the archive, as if a version had read none of it."""
    world.execute("DELETE FROM dripiq_app.message_events WHERE tenant_id = :tenant_id")
    world.execute("DELETE FROM dripiq_app.communication_suppressions WHERE tenant_id = :tenant_id")
    world.execute("UPDATE dripiq_app.outbound_messages SET status = 'sent' WHERE tenant_id = :tenant_id")


def missing(report: Report) -> dict[str, Any]:
    return {
        name: value
        for name in ("readable", "events", "statuses", "suppressions", "dropped", "unproven", "differing", "refused")
        if (value := getattr(report, name))
    }


def test_of_an_archive_that_was_read_as_it_is_nothing_is_missing(sent: World) -> None:
    message = sent.message()
    sent.receive(
        *({"event": name, "message": message} for name in ("processed", "delivered", "open", "click", "bounce"))
    )
    sent.receive(
        {"event": "spamreport", "message": message, "sg_event_id": ""}, {"event": "delivered"}, {"event": "nonsense"}
    )
    sent.receive({"event": "unsubscribe", "message": message, "timestamp": 0})
    sent.work()
    before = stored(sent)
    report = replayed(sent, apply=True, move=True)
    assert (report.deliveries, missing(report)) == (3, {})
    assert stored(sent) == before


def test_a_dry_run_shows_what_is_missing_and_writes_nothing(sent: World) -> None:
    sent.receive({"event": "delivered", "message": sent.message()}, {"event": "unsubscribe", "message": sent.message()})
    sent.work()
    forget(sent)
    before = stored(sent)
    assert missing(replayed(sent, move=True)) == {
        "events": Counter(delivered=1, unsubscribed=1),
        "statuses": Counter(delivered=1),
        "suppressions": Counter(unsubscribe=1),
    }
    assert stored(sent) == before


def test_what_is_missing_is_written_once(sent: World) -> None:
    sent.receive({"event": "delivered", "message": sent.message()}, {"event": "unsubscribe", "message": sent.message()})
    sent.work()
    forget(sent)
    shown = replayed(sent)
    assert missing(replayed(sent, apply=True)) == missing(shown)
    assert sent.value("SELECT status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id") == "delivered"
    assert sent.value("SELECT count(*) FROM dripiq_app.message_events WHERE tenant_id = :tenant_id") == 2
    assert (
        sent.value("SELECT value FROM dripiq_app.communication_suppressions WHERE tenant_id = :tenant_id")
        == "c1@example.com"
    )
    after = stored(sent)
    assert missing(replayed(sent, apply=True)) == {}
    assert stored(sent) == after


def test_an_event_is_met_by_its_id_whatever_its_time_and_is_never_overwritten(sent: World) -> None:
    sent.receive({"event": "open", "message": sent.message()}, {"event": "delivered", "message": sent.message()})
    sent.work()
    sent.execute(
        "UPDATE dripiq_app.message_events SET event_at = event_at - INTERVAL '40 days', confidence = 'machine'"
        " WHERE tenant_id = :tenant_id AND event_type = 'opened'"
    )
    before = stored(sent)
    report = replayed(sent, apply=True)
    assert missing(report) == {"differing": 1}
    assert set(report.examples[0].fields) == {"at", "confidence"}
    assert stored(sent) == before


def test_nothing_follows_from_what_a_stored_event_would_be_today(sent: World) -> None:
    sent.receive({"event": "bounce", "message": sent.message()})
    sent.work()
    forget(sent)
    replayed(sent, apply=True)
    sent.execute("UPDATE dripiq_app.message_events SET event_type = 'blocked' WHERE tenant_id = :tenant_id")
    sent.execute("UPDATE dripiq_app.outbound_messages SET status = 'blocked' WHERE tenant_id = :tenant_id")
    sent.execute("DELETE FROM dripiq_app.communication_suppressions WHERE tenant_id = :tenant_id")
    assert missing(replayed(sent, apply=True)) == {"differing": 1}
    assert sent.value("SELECT status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id") == "blocked"


def test_a_delivery_that_had_failed_and_can_be_read_now_is_processed(sent: World) -> None:
    sent.receive({"event": "delivered", "message": sent.message()})
    sent.execute("UPDATE dripiq_app.webhook_deliveries SET status = 'failed', error = 'event 0: unknown_event'")
    assert missing(replayed(sent)) == {"readable": 1, "events": Counter(delivered=1), "statuses": Counter(delivered=1)}
    replayed(sent, apply=True)
    (row,) = sent.rows("SELECT status, error FROM dripiq_app.webhook_deliveries WHERE tenant_id = :tenant_id")
    assert tuple(row) == ("processed", None)
    assert missing(replayed(sent)) == {}


def test_what_a_worker_has_not_worked_yet_is_left_to_it(sent: World) -> None:
    sent.receive({"event": "delivered", "message": sent.message()})
    report = replayed(sent, apply=True)
    assert (report.deliveries, report.waiting, missing(report)) == (0, 1, {})


def fail_unread(world: World, event: str) -> None:
    """An event comes that this version could not read."""
    world.receive({"event": event, "message": world.message()})
    world.execute("UPDATE dripiq_app.webhook_deliveries SET status = 'failed', error = 'event 0: unknown_event'")


def test_a_campaign_stays_where_it_is_unless_it_is_asked_to_move(sent: World) -> None:
    fail_unread(sent, "open")
    before = stored(sent)["contact_campaigns"]
    assert replayed(sent, apply=True).events == Counter(opened=1)
    assert stored(sent)["contact_campaigns"] == before


def test_asked_to_move_a_campaign_answers_what_was_missing(sent: World) -> None:
    fail_unread(sent, "open")
    assert replayed(sent, move=True).campaigns == 1
    assert sent.campaign().current_node_id == "intro"
    assert replayed(sent, apply=True, move=True).campaigns == 1
    assert sent.campaign().current_node_id == "thanks"
    assert replayed(sent, apply=True, move=True).campaigns == 0
    sent.work()
    assert len(sent.mails()) == 2


def test_a_message_in_doubt_is_its_campaigns_business(sent: World) -> None:
    sent.execute(
        "UPDATE dripiq_app.outbound_messages SET status = 'in_doubt', sent_at = NULL WHERE tenant_id = :tenant_id"
    )
    fail_unread(sent, "delivered")
    report = replayed(sent, apply=True)
    assert missing(report) == {"readable": 1, "events": Counter(delivered=1), "unproven": 1}
    status = "SELECT status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id"
    assert sent.value(status) == "in_doubt"
    # The proof counts also when its event was written before.
    assert replayed(sent, apply=True, move=True).campaigns == 1
    assert sent.value(status) == "delivered"
    assert missing(replayed(sent, apply=True, move=True)) == {}


def test_a_suppression_that_was_lifted_after_the_event_stays_lifted(sent: World) -> None:
    sent.receive({"event": "unsubscribe", "message": sent.message()})
    sent.work()
    lift = "UPDATE dripiq_app.communication_suppressions SET expires_at = :at WHERE tenant_id = :tenant_id"
    sent.execute(lift, at=sent.clock.time + timedelta(minutes=1))
    assert missing(replayed(sent, apply=True)) == {}
    sent.execute(lift, at=sent.clock.time - timedelta(minutes=1))
    assert missing(replayed(sent)) == {"suppressions": Counter(unsubscribe=1)}


def test_a_replay_stops_nobody_for_an_address_that_was_lifted_since(crowd: World) -> None:
    crowd.contacts = crowd.contacts[:2]
    crowd.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'same@example.com' WHERE tenant_id = :tenant_id"
    )
    crowd.enroll(TWO_MAILS, crowd.contacts[:1])
    crowd.work()
    crowd.clock.pass_(minutes=5)
    crowd.receive({"event": "unsubscribe", "message": crowd.message()})
    crowd.work()
    crowd.clock.pass_(hours=1)
    crowd.execute(
        "UPDATE dripiq_app.communication_suppressions SET expires_at = :at WHERE tenant_id = :tenant_id",
        at=crowd.clock.time,
    )
    crowd.clock.pass_(minutes=1)
    crowd.enroll(TWO_MAILS, crowd.contacts[1:])
    crowd.work()
    crowd.execute("DELETE FROM dripiq_app.message_events WHERE tenant_id = :tenant_id")
    assert replayed(crowd, apply=True, move=True).events == Counter(unsubscribed=1)
    status = "SELECT status FROM dripiq_app.contact_campaigns WHERE contact_id = :contact_id"
    assert crowd.value(status, contact_id=crowd.contacts[1]) == "active"


def test_months_that_are_not_kept_are_refused_and_not_filled_again(sent: World) -> None:
    sent.receive({"event": "open", "message": sent.message(), "timestamp": int((NOON - 10 * DAY).timestamp())})
    sent.work()
    sent.execute("DELETE FROM dripiq_app.message_events WHERE tenant_id = :tenant_id")
    with sent.database.connect() as connection, pytest.raises(InputError) as refused:
        plan_replay(connection, Scope(NOON - 10 * DAY, NOON), None)
    assert refused.value.error_code == "month_not_kept"
    assert "--since 2026-03-01" in refused.value.message
    assert missing(replayed(sent, apply=True)) == {"dropped": 1}
    assert sent.value("SELECT count(*) FROM dripiq_app.message_events WHERE tenant_id = :tenant_id") == 0


def test_pages_are_small_and_what_comes_in_several_counts_once(sent: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(5):
        sent.receive(
            {"event": "delivered", "message": sent.message(), "sg_event_id": "same"},
            {"event": "open", "message": sent.message(), "sg_event_id": f"open {number}"},
        )
    sent.work()
    forget(sent)
    shown = replayed(sent)
    assert (shown.deliveries, shown.events) == (5, Counter(opened=5, delivered=1))
    assert missing(replayed(sent, apply=True)) == missing(shown)
    assert missing(replayed(sent)) == {}


def test_what_the_database_refuses_costs_its_delivery_alone(sent: World) -> None:
    for url in ("https://example.com/good", "https://example.com/bad", "https://example.com/fine"):
        sent.receive({"event": "click", "message": sent.message(), "url": url})
    sent.work()
    forget(sent)
    sent.execute("ALTER TABLE dripiq_app.message_events ADD CHECK (url <> 'https://example.com/bad')")
    report = replayed(sent, apply=True)
    assert (report.refused, report.events, report.deliveries) == (1, Counter(clicked=2), 3)


@pytest.mark.parametrize("apart", [False, True])
def test_how_sure_a_click_is_does_not_depend_on_when_its_company_was_worked(world: World, *, apart: bool) -> None:
    """One that came too soon after the mail is a machine's for that alone, and makes none of the next on the same link."""
    world.enroll(TWO_MAILS)
    world.work()
    for second in (9, 10):
        at = NOON + timedelta(seconds=second)
        click = Seen(
            EventType.CLICKED, world.message(), at, "https://example.com/", None, BROWSER, "GET", prefetch=False
        )
        with world.database.begin() as connection:
            notice(connection, world.tenant_id, click, at)
        if apart:
            world.clock.time = at + timedelta(seconds=4.5)
            normalise(world.database, world.clock, world.tenant_id)
    world.clock.time = NOON + timedelta(minutes=1)
    normalise(world.database, world.clock, world.tenant_id)
    graded = world.rows("SELECT confidence FROM dripiq_app.message_events ORDER BY event_at")
    assert ([row.confidence for row in graded], replayed(world).differing) == (["machine", "human"], 0)


def test_no_time_is_no_scope(world: World) -> None:
    with world.database.connect() as connection, pytest.raises(InputError) as refused:
        plan_replay(connection, Scope(NOON, NOON), None)
    assert refused.value.error_code == "no_time"
