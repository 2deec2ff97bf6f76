"""Do the demo's checks see what is broken? Each fault is planted in a run that was sound, and must be named by the one check that it breaks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from dripiq.channels.smtp import SmtpSender
from dripiq.channels.smtp_line import Security
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.states import Channel
from dripiq.domain.timing import is_allowed
from dripiq.engine.claim import Share
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.dispatch import Outbox
from dripiq.engine.enroll import enroll
from dripiq.engine.ingest import ingest
from dripiq.engine.loop import Pace, Worker
from dripiq.repositories.audit import read_record
from dripiq.simulate import cohort
from dripiq.simulate.invariants import Check, check_all
from dripiq.simulate.recipients import deeds
from dripiq.simulate.report import funnel, outcomes
from dripiq.simulate.smtp_sink import SmtpSink
from dripiq.simulate.witnesses import Event, ReceivedMail
from tests.engine.conftest import email_plan, settle_tenant

PLAN = email_plan(
    {
        "id": "intro",
        "transitions": [{"on": "clicked", "to": "thanks"}, {"on": "no_click", "to": "stop", "after": "PT24H"}],
    },
    {"id": "thanks"},
)
HAND_OVER = timedelta(seconds=5)


@dataclass
class Played:
    """A run of eight contacts: two clicked and were thanked, one unsubscribed, one bounced, four have only got their mail."""

    database: Engine
    tenant_id: str
    received: list[ReceivedMail]
    answered: list[Event]

    def checks(self) -> list[Check]:
        with self.database.connect() as connection:
            record = read_record(connection, [self.tenant_id], virtual=True)  # what is planted says itself when it was
            return check_all(record, self.received, self.answered, HAND_OVER)

    def broken(self) -> dict[str, tuple[str, ...]]:
        return {check.name: check.breaches for check in self.checks() if check.breaches}

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.database.begin() as connection:
            assert connection.execute(text(statement), {"tenant": self.tenant_id, **parameters}).rowcount > 0

    def plant_suppression(self, mail: ReceivedMail, at: datetime, value: str, scope: str) -> None:
        self.execute(
            "INSERT INTO dripiq_app.communication_suppressions"
            " (tenant_id, id, channel, value, scope, type, source, first_seen_at, last_seen_at, updated_at)"
            " VALUES (:tenant, 'planted', 'email', :value, :scope, 'manual', 'manual', :at, :at, :at)",
            value=value, scope=scope, at=at,
        )  # fmt: skip


@pytest.fixture
def played(engine: Engine) -> Played:
    tenant_id, _, contacts = settle_tenant(engine, 8)
    run = Played(engine, tenant_id, [], [])
    with engine.begin() as connection:
        enroll(connection, tenant_id, PLAN, contacts, now=DatabaseClock().now(connection))
    asyncio.run(_play(run))
    return run


async def _play(run: Played) -> None:
    async with SmtpSink().listening() as sink:
        sender = SmtpSender(
            "127.0.0.1", sink.port, hostname="demo.test", security=Security.NONE, connections=4, provider="sendgrid"
        )
        worker = Worker(Outbox(run.database, DatabaseClock(), {Channel.EMAIL: sender}), Pace(share=Share()))
        await _work(worker)
        intro = sorted(sink.received, key=lambda mail: mail.recipient)
        words = ("click", "click", "unsubscribe", "bounce")
        run.answered = [_event(mail, "delivered", n) for n, mail in enumerate(intro) if n != 3]
        run.answered += [_event(mail, word, 10 + n) for n, (mail, word) in enumerate(zip(intro, words, strict=False))]
        del run.answered[0]["sg_event_id"]  # type: ignore[attr-defined]
        for _ in range(2):  # as a provider posts a batch again
            with run.database.begin() as connection:
                ingest(connection, orjson.dumps(run.answered), DatabaseClock().now(connection))
            await _work(worker)
        run.answered *= 2
        await sender.close()
        run.received = list(sink.received)


async def _work(worker: Worker) -> None:
    while await worker.drain():
        pass


def _event(mail: ReceivedMail, word: str, number: int) -> dict[str, object]:
    return {
        "event": word,
        "timestamp": int(datetime.now(UTC).timestamp()),
        "email": mail.recipient,
        "sg_event_id": f"event-{number}",
        "sg_message_id": f"{mail.queue_id}.x",
        "dripiq_tenant": mail.tenant_id,
        "dripiq_message": mail.message_id,
        **({"url": "https://www.example.com/"} if word == "click" else {}),
        **({"type": "bounce", "status": "5.1.1"} if word == "bounce" else {}),
    }


def test_a_sound_run_breaks_nothing_and_every_check_has_something_to_look_at(played: Played) -> None:
    assert played.broken() == {}
    assert [check.examined for check in played.checks()] == [
        "10 mails, 10 messages", "2 suppressions", "8 campaigns", "11 events, answered 22 times", "14 transitions",
    ]  # fmt: skip


def test_the_mail_server_keeps_who_a_mail_is_to_and_which_message_it_is(played: Played) -> None:
    with played.database.connect() as connection:
        rows = {row.id: row.to_address for row in read_record(connection, [played.tenant_id]).messages}
    assert {mail.message_id: mail.recipient for mail in played.received} == rows
    assert {mail.tenant_id for mail in played.received} == {played.tenant_id}
    assert all(mail.smtp_id == f"{mail.message_id}@example.com" for mail in played.received)


def _twice(run: Played) -> None:
    run.received.append(replace(run.received[0], queue_id="again"))


def _twice_as_another_message(run: Played) -> None:
    first = run.received[0]
    run.execute(
        "INSERT INTO dripiq_app.outbound_messages (tenant_id, id, contact_campaign_id, contact_id, node_id, visit, channel, to_address, body,"
        " provider, status, sent_at, created_at, dedupe_key) SELECT tenant_id, 'planted', contact_campaign_id, contact_id, node_id, visit, channel,"
        " to_address, body, provider, status, sent_at, created_at, 'planted' FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant AND id = :id",
        id=first.message_id,
    )
    run.received.append(replace(first, message_id="planted", queue_id="again"))


def _mail_without_a_row(run: Played) -> None:
    run.received.append(replace(run.received[0], message_id="nobody"))


def _mail_of_no_message(run: Played) -> None:
    run.received.append(replace(run.received[0], message_id="", tenant_id=""))


def _row_without_a_mail(run: Played) -> None:
    run.received.pop()


def _mail_of_a_row_that_would_be_sent_again(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.outbound_messages SET status = 'queued', sent_at = NULL WHERE tenant_id = :tenant AND id = :id",
        id=run.received[0].message_id,
    )


def _mail_to_somebody_else(run: Played) -> None:
    run.received[0] = replace(run.received[0], recipient="somebody@example.com")


def _sent_after_the_address_was_suppressed(run: Played) -> None:
    mail = run.received[0]
    run.plant_suppression(mail, mail.began_at - timedelta(minutes=1), mail.recipient, "address")


def _sent_after_the_domain_was_suppressed(run: Played) -> None:
    mail = run.received[0]
    run.plant_suppression(mail, mail.began_at - timedelta(minutes=1), "example.com", "domain")


def _begun_long_after_the_suppression(run: Played) -> None:
    run.received = [replace(mail, began_at=mail.began_at + timedelta(minutes=1)) for mail in run.received]


def _open_action_lost(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.scheduled_actions SET status = 'canceled' WHERE tenant_id = :tenant AND status = 'pending'"
    )


def _held_without_a_reason(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.scheduled_actions SET status = 'held' WHERE tenant_id = :tenant AND status = 'pending'"
    )


def _final_with_an_open_action(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.scheduled_actions SET status = 'pending' WHERE tenant_id = :tenant AND id ="
        " (SELECT min(id) FROM dripiq_app.scheduled_actions WHERE tenant_id = :tenant AND status = 'completed' AND node_id = 'thanks')"
    )


def _event_lost(run: Played) -> None:
    run.execute("DELETE FROM dripiq_app.message_events WHERE tenant_id = :tenant AND provider_event_id = 'event-5'")


def _event_without_id_lost(run: Played) -> None:
    run.execute(
        "DELETE FROM dripiq_app.message_events WHERE tenant_id = :tenant AND provider_event_id NOT LIKE 'event-%'"
    )


_COPY_EVENT = (
    "INSERT INTO dripiq_app.message_events (tenant_id, id, outbound_message_id, contact_campaign_id, provider, event_type, event_at, url,"
    " provider_event_id) SELECT tenant_id, 'planted', outbound_message_id, contact_campaign_id, provider, event_type, {at}, url, {name}"
    " FROM dripiq_app.message_events WHERE tenant_id = :tenant AND provider_event_id = 'event-5'"
)


def _event_doubled_under_its_id(run: Played) -> None:
    run.execute(_COPY_EVENT.format(at="event_at + interval '1 second'", name="provider_event_id"))


def _event_doubled_under_another_id(run: Played) -> None:
    run.execute(_COPY_EVENT.format(at="event_at", name="'planted'"))


def _event_that_nobody_posted(run: Played) -> None:
    run.answered = [event for event in run.answered if event.get("sg_event_id") != "event-5"]


def _event_taken_for_something_else(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.message_events SET event_type = 'opened' WHERE tenant_id = :tenant AND provider_event_id = 'event-5'"
    )


def _transition_lost(run: Played) -> None:
    run.execute("DELETE FROM dripiq_app.campaign_transitions WHERE tenant_id = :tenant AND trigger = 'clicked'")


def _last_transition_lost(run: Played) -> None:
    run.execute("DELETE FROM dripiq_app.campaign_transitions WHERE tenant_id = :tenant AND trigger = 'sent'")


def _transition_from_elsewhere(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.campaign_transitions SET from_node_id = 'thanks' WHERE tenant_id = :tenant AND trigger = 'clicked'"
    )


def _campaign_elsewhere(run: Played) -> None:
    run.execute(
        "UPDATE dripiq_app.contact_campaigns SET current_node_id = 'intro' WHERE tenant_id = :tenant AND current_node_id = 'thanks'"
    )


@pytest.mark.parametrize(
    ("check", "plant"),
    [
        ("sent_once", _twice),
        ("sent_once", _twice_as_another_message),
        ("sent_once", _mail_without_a_row),
        ("sent_once", _mail_of_no_message),
        ("sent_once", _row_without_a_mail),
        ("sent_once", _mail_of_a_row_that_would_be_sent_again),
        ("sent_once", _mail_to_somebody_else),
        ("suppressed", _sent_after_the_address_was_suppressed),
        ("suppressed", _sent_after_the_domain_was_suppressed),
        ("suppressed", _begun_long_after_the_suppression),
        ("none_stuck", _open_action_lost),
        ("none_stuck", _held_without_a_reason),
        ("none_stuck", _final_with_an_open_action),
        ("events_once", _event_lost),
        ("events_once", _event_without_id_lost),
        ("events_once", _event_doubled_under_its_id),
        ("events_once", _event_doubled_under_another_id),
        ("events_once", _event_that_nobody_posted),
        ("events_once", _event_taken_for_something_else),
        ("one_chain", _transition_lost),
        ("one_chain", _last_transition_lost),
        ("one_chain", _transition_from_elsewhere),
        ("one_chain", _campaign_elsewhere),
    ],
)
def test_each_fault_breaks_its_invariant_and_no_other(
    played: Played, check: str, plant: Callable[[Played], None]
) -> None:
    plant(played)
    assert list(played.broken()) == [check]


def test_the_report_counts_what_happened_to_the_messages_of_each_node_and_how_contacts_ended(played: Played) -> None:
    with played.database.connect() as connection:
        record = read_record(connection, [played.tenant_id])
    plan = parse_plan(PLAN)
    intro, thanks = funnel(record, {played.tenant_id: "Acme"}, ["intro", "thanks"])
    assert (intro.sent, intro.delivered, intro.clicked, intro.bounced, intro.unsubscribed) == (8, 7, 2, 1, 1)
    assert (thanks.sent, thanks.delivered) == (2, 0)
    found = outcomes(record, {played.tenant_id: "Acme"}, {plan.plan_hash: plan})
    assert {(o.status, o.reason): o.contacts for o in found} == {
        ("active", "timeout at intro"): 4,
        ("completed", "sent at thanks"): 2,
        ("stopped", "bounced at intro"): 1,
        ("stopped", "unsubscribed at intro"): 1,
    }


def test_who_waits_for_the_end_of_quiet_hours_is_reported_so_and_until_when(engine: Engine) -> None:
    tenant_id, _, contacts = settle_tenant(engine, 3)
    document = email_plan({"id": "intro"}, quietHours={"start": "20:00", "end": "08:00"})
    night = datetime(2026, 3, 4, 23, tzinfo=UTC)
    with engine.begin() as connection:
        enroll(connection, tenant_id, document, contacts, now=night)
        record = read_record(connection, [tenant_id])
    plan = parse_plan(document)
    (held,) = outcomes(record, {tenant_id: "Acme"}, {plan.plan_hash: plan})
    assert (held.reason, held.contacts, held.until) == ("quiet_hours", 3, datetime(2026, 3, 5, 8, tzinfo=UTC))
    assert not any(check.breaches for check in check_all(record, [], [], HAND_OVER))


def test_at_any_time_of_the_year_some_tenant_of_the_demo_may_send_for_the_whole_run() -> None:
    plans = [cohort.read_plan(zone)[0] for zone in cohort.ZONES.values()]
    start, run = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=100)
    moments = [start + timedelta(minutes=15) * n for n in range(365 * 24 * 4)]
    alone = [at for at in moments if not any(is_allowed(plan, at) and is_allowed(plan, at + run) for plan in plans)]
    assert alone == []


def test_the_shipped_contacts_are_of_three_tenants_in_many_zones_and_at_reserved_domains_only() -> None:
    members = cohort.read_cohort()
    rows = [row for each in members.values() for row in each]
    assert list(members) == list(cohort.ZONES)
    assert len(rows) >= 200
    assert len({row.timezone for row in rows}) >= 15
    assert len({row.email for row in rows}) == len(rows)
    assert {row.email.rpartition(".")[2] for row in rows} == {"example", "test"}
    assert sum(not row.name.isascii() for row in rows) > 50


def test_what_a_recipient_does_follows_from_seed_address_and_number_of_the_mail_alone() -> None:
    done = [deeds(7, f"c{n}@example.com", 1) for n in range(300)]
    assert done == [deeds(7, f"c{n}@example.com", 1) for n in range(300)]
    assert done != [deeds(8, f"c{n}@example.com", 1) for n in range(300)]
    assert {deed.event for each in done for deed in each} == {
        "delivered", "open", "click", "bounce", "deferred", "unsubscribe", "spamreport",
    }  # fmt: skip
    assert all(deed.after <= 30 for each in done for deed in each)
