"""What a worker withstands: a database that fails at any statement, callers who interleave, rows that cannot be stored, tenants that stand still."""

import asyncio
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.config.settings import Settings
from dripiq.db.session import make_engine
from dripiq.domain.states import Channel
from dripiq.engine import plan_cache, steer
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch import Outbox, dispatch, hand_over
from dripiq.engine.enroll import Enrolment, enroll
from dripiq.engine.loop import Worker
from dripiq.engine.normalise import normalise
from dripiq.engine.resolve import settle
from dripiq.engine.suppress import suppress
from dripiq.engine.upkeep import expire
from dripiq.wiring import make_email_sender
from tests.engine.conftest import ONE_MAIL, World, email_plan, settle_tenant

LEASE = timedelta(minutes=2)
PUT_BACK = "last_error = coalesce(change.last_error"
RECORD = "error_code = NULL, last_error = NULL"


class Interrupted:
    """A hand-over during which something happens; then the provider gives one verdict on all."""

    provider, channel, capacity, timeout = "folder", Channel.EMAIL, 10, timedelta(seconds=30)

    def __init__(self, verdict: Verdict = Verdict.ACCEPTED, during: Callable[[], object] = lambda: None) -> None:
        self.verdict, self.during = verdict, during
        self.sent: list[str] = []

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        self.sent += [message.id for message in batch]
        await asyncio.to_thread(self.during)
        return [Outcome(message.id, self.verdict, code="451") for message in batch]

    async def close(self) -> None: ...


def do(world: World, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with world.database.begin() as connection:
        return act(connection, world.tenant_id, *arguments, now=world.clock.time, **named)


def message_status(world: World) -> str:
    return str(world.value("SELECT status FROM dripiq_app.outbound_messages"))


def let_days_pass(world: World, worker: Worker | None = None) -> None:
    for _ in range(30):
        world.clock.pass_(hours=1)
        expire(world.database, world.clock, LEASE)
        settle(world.database, world.clock)
        world.work(worker)


def alive_after(worker: Worker, seconds: float) -> bool:
    async def main() -> bool:
        run = asyncio.create_task(worker.run())
        await asyncio.wait((run,), timeout=seconds)
        alive = not run.done()
        worker.stop()
        await run
        return alive

    return asyncio.run(main())


@contextmanager
def watched(world: World, hook: Callable[[Any, str], None]) -> Iterator[Engine]:
    """The database, with `hook` called before each statement."""
    engine = create_engine(world.database.url, pool_pre_ping=True, poolclass=NullPool)
    event.listen(
        engine, "before_cursor_execute", lambda connection, _cursor, statement, *_: hook(connection, statement)
    )
    yield engine
    engine.dispose()


def worker_on(world: World, engine: Engine, sender: Any = None) -> Worker:
    return World(engine, world.folder, world.clock, tenant_id=world.tenant_id).worker(sender)


@pytest.mark.parametrize(
    "marker",
    ["FOR UPDATE SKIP LOCKED", "ON CONFLICT (tenant_id, dedupe_key) DO UPDATE", "SET status = 'sending'", RECORD],
    ids=["claim", "prepare", "commit", "record"],
)
def test_a_connection_lost_at_any_stage_is_waited_for_and_no_mail_goes_twice(world: World, marker: str) -> None:
    world.enroll(ONE_MAIL)
    cuts = [marker]

    def cut(connection: Any, statement: str) -> None:
        if cuts and cuts[0] in statement:
            cuts.pop()
            pid = connection.connection.dbapi_connection.info.backend_pid
            world.execute("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

    sender = Interrupted()
    with watched(world, cut) as engine:
        assert alive_after(worker_on(world, engine, sender), 1.5)
    assert not cuts
    let_days_pass(world, world.worker(sender))
    assert len(sender.sent) == 1
    assert message_status(world) == "sent"


def test_a_lane_that_fails_leaves_its_neighbours_mail_alone(crowd: World) -> None:
    crowd.enroll(ONE_MAIL)
    failures = [1]

    def fail_once(connection: Any, statement: str) -> None:
        if failures and RECORD in statement:
            failures.pop()
            pid = connection.connection.dbapi_connection.info.backend_pid
            crowd.execute("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

    sender = Interrupted()
    with watched(crowd, fail_once) as engine:
        asyncio.run(worker_on(crowd, engine, sender).run_until_idle())
    let_days_pass(crowd, crowd.worker(sender))
    sent = {row.id for row in crowd.rows("SELECT id FROM dripiq_app.outbound_messages WHERE status = 'sent'")}
    assert sent == set(sender.sent)
    assert Counter(sender.sent).most_common(1)[0][1] == 1


def test_a_refusal_for_now_that_comes_after_the_lease_ran_out_is_tried_again(world: World) -> None:
    world.enroll(ONE_MAIL)

    def frozen() -> None:
        world.clock.pass_(minutes=1, seconds=10)
        expire(world.database, world.clock, LEASE)

    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: Interrupted(Verdict.TEMPORARY, frozen)})
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    world.clock.pass_(minutes=1)
    asyncio.run(dispatch(outbox, lease))
    let_days_pass(world)
    assert world.campaign().status == "completed"
    assert len(world.mails()) == 1


def test_a_refusal_for_now_after_a_pause_and_a_resume_is_tried_again(world: World) -> None:
    world.enroll(ONE_MAIL)
    campaign = world.campaign().id

    def pause_and_resume() -> None:
        do(world, steer.pause, [campaign])
        do(world, steer.resume, [campaign])
        world.work()

    asyncio.run(world.worker(Interrupted(Verdict.TEMPORARY, pause_and_resume)).drain())
    let_days_pass(world)
    assert world.campaign().status == "completed"


def test_what_a_frozen_worker_knows_for_sure_settles_a_doubt(world: World) -> None:
    world.enroll(ONE_MAIL)

    def frozen() -> None:
        world.clock.pass_(minutes=5)
        expire(world.database, world.clock, LEASE)

    asyncio.run(world.worker(Interrupted(Verdict.PERMANENT, frozen)).drain())
    let_days_pass(world)
    assert message_status(world) == "failed"
    assert world.campaign().status == "error"


def test_a_hand_over_that_did_not_begin_costs_no_attempt_and_no_time(world: World) -> None:
    world.enroll(ONE_MAIL)
    sender = Interrupted()
    sender.timeout = timedelta(seconds=60)
    lease = claim(world.database, world.clock, world.tenant_id, Share(lease=timedelta(seconds=61)))
    stale = type(lease)(lease.tenant_id, lease.token, lease.until, lease.expires - 10, lease.actions)
    tally = asyncio.run(dispatch(Outbox(world.database, world.clock, {Channel.EMAIL: sender}), stale))
    assert tally["lease_too_short"] == 1
    assert sender.sent == []
    assert world.rows("SELECT status, attempts FROM dripiq_app.outbound_messages") == [("queued", 0)]
    world.work()
    assert len(world.mails()) == 1


@pytest.mark.parametrize("released_by", ["the kill switch", "the campaign"])
def test_what_is_released_while_a_batch_is_prepared_is_not_stranded(world: World, released_by: str) -> None:
    world.enroll(ONE_MAIL)
    do(world, steer.pause_sending, reason="x")
    if released_by == "the campaign":
        world.work()
        do(world, steer.pause, [world.campaign().id])
        do(world, steer.resume_sending)
    release = {
        "the kill switch": lambda: do(world, steer.resume_sending),
        "the campaign": lambda: do(world, steer.resume, [world.campaign().id]),
    }[released_by]
    meanwhile: list[threading.Thread] = []

    def interleave(_connection: Any, statement: str) -> None:
        if PUT_BACK in statement and not meanwhile:
            meanwhile.append(threading.Thread(target=release))
            meanwhile[0].start()
            meanwhile[0].join(0.5)  # where it has to wait for us, it does not end before we go on

    with watched(world, interleave) as engine:
        asyncio.run(worker_on(world, engine).drain())
    meanwhile[0].join(10)
    let_days_pass(world)
    assert len(world.mails()) == 1


def test_a_text_that_no_database_takes_holds_one_mail_and_no_other(crowd: World) -> None:
    crowd.execute("UPDATE dripiq_app.lead_point_of_contacts SET name = '%00' WHERE id = :id", id=crowd.contacts[0])
    crowd.enroll(email_plan({"id": "intro", "body": "Hello {{ contact.name | url_decode }}"}))
    crowd.work()
    assert len(crowd.mails()) == 49
    assert crowd.rows("SELECT status, reason FROM dripiq_app.scheduled_actions WHERE status = 'held'") == [
        ("held", "template_failed")
    ]


def test_an_event_that_cannot_be_stored_holds_up_neither_its_neighbours_nor_other_tenants(world: World) -> None:
    other, _, _ = settle_tenant(world.database, 1, "Other")
    first, second = sorted((world.tenant_id, other))
    world.tenant_id = first
    world.receive({"event": "unsubscribe", "email": secrets.token_hex(4000) + "@example.com"})
    world.receive({"event": "unsubscribe", "email": "good@example.com"})
    world.tenant_id = second
    world.receive({"event": "unsubscribe", "email": "other@example.com"})
    world.work()
    assert world.rows("SELECT status, count(*) FROM dripiq_app.webhook_deliveries GROUP BY 1") == [("processed", 3)]
    assert world.value("SELECT count(*) FROM dripiq_app.communication_suppressions") == 2


def test_a_delivery_that_the_database_refuses_is_set_aside_and_the_others_are_worked(world: World) -> None:
    world.execute("ALTER TABLE dripiq_app.message_events ADD CONSTRAINT refuses CHECK (url <> 'https://refused.test/')")
    for url in ("https://a.test/", "https://refused.test/", "https://b.test/"):
        world.clock.pass_(seconds=1)
        world.receive({"event": "click", "url": url})
    world.work()
    assert world.rows("SELECT status, count(*) FROM dripiq_app.webhook_deliveries GROUP BY 1 ORDER BY 1") == [
        ("failed", 1),
        ("processed", 2),
    ]
    assert world.value("SELECT count(*) FROM dripiq_app.message_events") == 2


def test_deliveries_are_read_in_batches_of_bounded_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dripiq.engine import normalise as module

    for number in range(4):
        world.clock.pass_(seconds=1)
        world.receive({"event": "open", "note": "x" * 1_000, "sg_event_id": f"event{number}"})
    monkeypatch.setattr(module, "MAX_BYTES", 1_500)
    assert module.normalise(world.database, world.clock, world.tenant_id) == 2
    monkeypatch.setattr(module, "MAX_BYTES", 1)
    assert module.normalise(world.database, world.clock, world.tenant_id) == 1


def test_enrolling_and_stopping_the_same_people_from_two_sides_does_not_deadlock(crowd: World) -> None:
    errors: list[BaseException] = []

    def side(reverse: bool) -> None:
        try:
            for _ in range(25):
                crowd.enroll(ONE_MAIL, sorted(crowd.contacts, reverse=reverse))
                do(crowd, steer.stop, [row.id for row in crowd.rows("SELECT id FROM dripiq_app.contact_campaigns")])
        except Exception as error:
            errors.append(error)

    sides = [threading.Thread(target=side, args=(reverse,)) for reverse in (False, True)]
    for thread in sides:
        thread.start()
    for thread in sides:
        thread.join(60)
    assert errors == []


def test_whoever_meets_another_enrolment_locks_none_of_its_campaigns(crowd: World) -> None:
    """It would lock them in the order of the contacts: a deadlock with whoever locks campaigns in the order of their ids, as everybody does."""
    met: list[Enrolment] = []
    written, finish = threading.Event(), threading.Event()

    def second() -> None:
        with crowd.database.begin() as connection:
            met.append(enroll(connection, crowd.tenant_id, ONE_MAIL, crowd.contacts, now=crowd.clock.time))
            written.set()
            finish.wait(30)

    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    )
    thread = threading.Thread(target=second)
    with crowd.database.begin() as connection:
        enroll(connection, crowd.tenant_id, ONE_MAIL, crowd.contacts, now=crowd.clock.time)
        thread.start()
        deadline = time.monotonic() + 30
        while not crowd.value(waiting) and time.monotonic() < deadline:
            written.wait(0.01)
    try:
        assert written.wait(30)
        locked = "SELECT id FROM dripiq_app.contact_campaigns FOR UPDATE NOWAIT"
        assert len(crowd.rows(locked)) == len(crowd.contacts)
    finally:
        finish.set()
        thread.join(30)
    assert set(met[0].already_enrolled) == set(crowd.contacts)


def test_one_tenants_open_transaction_keeps_no_other_tenant_waiting(world: World) -> None:
    world.enroll(ONE_MAIL)
    mine = world.tenant_id
    other, _, contacts = settle_tenant(world.database, 1, "Other")
    world.tenant_id = other
    world.enroll(ONE_MAIL, contacts)
    first = min(mine, other)  # whose turn comes first
    worker = worker_on(world, engine := make_engine(str(world.database.url.render_as_string(hide_password=False))))
    with world.database.connect() as open_transaction:
        suppress(open_transaction, first, ["nobody@example.com"], now=world.clock.time)
        alive_after(worker, 8)
        assert len(world.mails()) == 1
        open_transaction.rollback()
    engine.dispose()
    world.clock.pass_(minutes=1)
    world.work()
    assert len(world.mails()) == 2


def test_the_folder_channel_sends_with_any_lease_that_settings_allow(world: World) -> None:
    settings = Settings(email_channel="folder", mail_folder=world.folder, lease=timedelta(seconds=20), smtp_timeout=5)
    world.enroll(ONE_MAIL)
    world.work(world.worker(make_email_sender(settings), Share(settings.batch, settings.lease)))
    assert len(world.mails()) == 1


def test_a_plan_is_known_by_what_it_says_not_by_the_hash_in_somebodys_row(world: World) -> None:
    world.enroll(ONE_MAIL)
    mine, plan_hash = world.campaign().id, world.campaign().plan_hash
    other, _, contacts = settle_tenant(world.database, 1, "Other")
    theirs = World(world.database, world.folder, world.clock, tenant_id=other)
    theirs.enroll(ONE_MAIL, contacts)
    theirs.execute(
        "UPDATE dripiq_app.contact_campaigns SET plan_json = jsonb_set(plan_json, '{nodes,0,subject}', '\"Other\"') WHERE tenant_id = :tenant_id"
    )
    campaign = theirs.value("SELECT id FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id")
    plan_cache._plans.clear()
    with world.database.connect() as connection:
        plan_cache.plans_of(connection, other, [(campaign, plan_hash)])
        plans = plan_cache.plans_of(connection, world.tenant_id, [(mine, plan_hash)])
    assert plans[plan_hash].nodes["intro"].contents[0].subject == "Hello {{ contact.name }}"


RESEND = "INSERT INTO dripiq_app.tenant_settings (tenant_id, id, in_doubt_policy, in_doubt_after) VALUES (:tenant_id, 's', 'resend', '1 hour')"


def test_a_doubt_of_a_stopped_campaign_is_not_queued_for_a_send_that_nobody_wants(world: World) -> None:
    world.execute(RESEND)
    world.enroll(ONE_MAIL)
    world.work(world.worker(Interrupted(Verdict.UNKNOWN)))
    do(world, steer.stop, [world.campaign().id])
    world.clock.pass_(hours=2)
    settle(world.database, world.clock)
    assert message_status(world) == "sent"


def test_an_old_doubt_that_another_worker_ends_first_ends_no_new_one_of_the_same_message(world: World) -> None:
    world.execute(RESEND)
    world.enroll(ONE_MAIL)
    silent = Interrupted(Verdict.UNKNOWN)
    world.work(world.worker(silent))
    world.clock.pass_(hours=2)
    frozen = [True]

    def freeze(_connection: Any, statement: str) -> None:
        if "FROM dripiq_app.contact_campaigns" in statement and frozen:
            frozen.pop()
            settle(world.database, world.clock)
            world.work(world.worker(silent))

    with watched(world, freeze) as engine:
        settle(engine, world.clock)
    world.work(world.worker(silent))
    assert not frozen
    assert len(silent.sent) == 2
    assert message_status(world) == "in_doubt"


def test_an_acceptance_that_is_told_before_the_second_sending_prevents_it(world: World) -> None:
    world.execute(RESEND)
    world.enroll(ONE_MAIL)

    def frozen() -> None:
        world.clock.pass_(minutes=5)
        expire(world.database, world.clock, LEASE)
        world.clock.pass_(hours=2)
        settle(world.database, world.clock)

    asyncio.run(world.worker(Interrupted(Verdict.ACCEPTED, frozen)).drain())
    second = Interrupted()
    world.work(world.worker(second))
    assert second.sent == []
    assert message_status(world) == "sent"


def test_a_campaign_deleted_while_its_send_is_prepared_ends_nothing_else(world: World) -> None:
    world.enroll(ONE_MAIL)
    plan_cache._plans.clear()
    deleted: list[int] = []

    def delete(_connection: Any, statement: str) -> None:
        if "DISTINCT ON (plan_hash)" in statement and not deleted:
            deleted.append(world.execute("DELETE FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id"))

    with watched(world, delete) as engine:
        assert alive_after(worker_on(world, engine), 1)
    assert deleted == [1]


def test_a_mail_of_an_earlier_enrolment_does_not_move_a_new_campaign(world: World) -> None:
    world.enroll(ONE_MAIL)
    world.work()
    old = world.message()
    world.clock.pass_(hours=1)
    world.enroll(
        email_plan(
            {
                "id": "wait",
                "action": "wait",
                "transitions": [{"on": "opened", "to": "stop"}, {"on": "no_open", "to": "next", "after": "P1D"}],
            },
            {"id": "next", "transitions": [{"on": "no_open", "to": "wait"}]},
            maxVisits=2,
        )
    )
    world.receive({"event": "open", "message": old})
    world.work()
    assert (world.campaign().status, world.campaign().current_node_id) == ("active", "wait")


def test_a_tenant_deleted_under_a_lease_is_passed_over(world: World) -> None:
    world.enroll(ONE_MAIL)
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    with world.database.begin() as connection:
        connection.execute(text("DELETE FROM dripiq_app.tenants WHERE id = :id"), {"id": world.tenant_id})
    assert (
        asyncio.run(dispatch(Outbox(world.database, world.clock, {Channel.EMAIL: Interrupted()}), lease)).total() == 0
    )


def test_an_event_of_a_message_that_is_tried_again_does_not_deadlock_with_its_commit(world: World) -> None:
    world.enroll(ONE_MAIL)
    asyncio.run(world.worker(Interrupted(Verdict.TEMPORARY)).drain())
    world.clock.pass_(minutes=20)
    sender = Interrupted()
    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: sender})
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    ready = hand_over._prepare(outbox, lease)[Channel.EMAIL]
    world.receive({"event": "delivered", "message": world.message()})
    committed: list[Any] = []
    meanwhile: list[threading.Thread] = []

    def commit() -> None:
        try:
            committed.append(hand_over._commit_part(outbox, lease, sender, ready))
        except Exception as error:
            committed.append(error)

    def interleave(_connection: Any, statement: str) -> None:
        if "UPDATE dripiq_app.scheduled_actions" in statement and not meanwhile:
            meanwhile.append(threading.Thread(target=commit))
            meanwhile[0].start()
            meanwhile[0].join(0.5)

    with watched(world, interleave) as engine:
        normalise(engine, world.clock, world.tenant_id)
    meanwhile[0].join(10)
    assert committed == [[]]
    assert message_status(world) == "delivered"
