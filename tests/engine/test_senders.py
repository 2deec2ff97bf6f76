"""A tenant's senders take turns, each contact keeps its own, and one that bounces or is complained of too much is paused until somebody lets it go on."""

import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from dripiq.channels.folder import FolderSender
from dripiq.domain.assumptions import Assumption
from dripiq.domain.errors import ConflictError, InputError, NotFoundError
from dripiq.domain.explanation import Prospect
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.rotation import Turn, take_turn
from dripiq.domain.sender_health import PauseReason, Rates, Tolerance, fault_of
from dripiq.domain.states import Channel
from dripiq.engine.choose_sender import share_out
from dripiq.engine.dispatch import Outbox
from dripiq.engine.enroll import enroll
from dripiq.engine.explain import explain
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.pause_sender import pause_sender, resume_sender, weigh_sender
from dripiq.engine.preview import people_of_tenant, preview
from dripiq.engine.replan import replan
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.schema.ids import new_id
from tests.engine.conftest import NOON, ONE_MAIL, World, email_plan

TWO_MAILS = email_plan(
    {"id": "intro", "transitions": [{"on": "no_reply", "after": "P2D", "to": "follow_up"}]},
    {"id": "follow_up"},
)
TOLERANCE = Tolerance(least_sends=20)


def add_sender(world: World, email: str, status: str = "verified", **columns: Any) -> str:
    sender_id = new_id()
    world.execute(
        "INSERT INTO dripiq_app.email_sender_identities"
        " (id, tenant_id, user_id, from_email, from_name, domain, validation_status, rotation_weight)"
        " SELECT :id, :tenant_id, user_id, :email, 'Sender', 'example.com', :status, :weight"
        " FROM dripiq_app.email_sender_identities WHERE id = :other",
        id=sender_id,
        email=email,
        status=status,
        weight=columns.get("weight"),
        other=world.sender_id,
    )
    return sender_id


def senders_of(world: World) -> dict[str, tuple[str, str]]:
    """(sender, choice) of each contact's campaign."""
    rows = world.rows("SELECT contact_id, sender_identity_id, sender_choice FROM dripiq_app.contact_campaigns")
    return {row.contact_id: (row.sender_identity_id, row.sender_choice) for row in rows}


def watching(world: World) -> Worker:
    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: FolderSender(world.folder)})
    return Worker(outbox, Pace(tolerance=TOLERANCE))


def come_back(world: World, event: str, count: int, **fields: Any) -> None:
    """So many of the mails that were sent bounce, or are complained of."""
    found = world.rows(
        "SELECT id FROM dripiq_app.outbound_messages WHERE sent_at IS NOT NULL AND status = 'sent' ORDER BY id"
    )
    for row in found[:count]:
        world.receive({"event": event, "message": row.id, **fields})


def pause(world: World, given: str) -> None:
    with world.database.begin() as connection:
        pause_sender(connection, world.tenant_id, given, now=world.clock.time)


def resume(world: World, given: str) -> int:
    with world.database.begin() as connection:
        return resume_sender(connection, world.tenant_id, given, now=world.clock.time)[1]


def test_turns_fall_by_weight_and_are_the_same_for_ever() -> None:
    turns = [Turn("a", 1), Turn("b", 3), Turn("c", 0)]
    dealt = Counter(take_turn(f"contact-{n}", turns) for n in range(4_000))
    assert set(dealt) == {"a", "b"}
    assert 2_880 < dealt["b"] < 3_120
    assert take_turn("contact-7", turns) == take_turn("contact-7", list(turns))
    assert take_turn("anybody", []) is take_turn("anybody", [Turn("c", 0)]) is None


def test_contacts_are_dealt_out_among_the_senders_that_may_send_as_the_preview_says_and_keep_theirs(
    crowd: World,
) -> None:
    second, third = add_sender(crowd, "second@example.com"), add_sender(crowd, "third@example.com", weight=2)
    add_sender(crowd, "pending@example.com", status="pending")
    add_sender(crowd, "never@example.com", weight=0)
    pause(crowd, add_sender(crowd, "paused@example.com"))
    plan = parse_plan(TWO_MAILS)
    with crowd.database.connect() as connection:
        contacts = [(contact_id, None) for contact_id in crowd.contacts]
        people = people_of_tenant(connection, crowd.tenant_id, {}, plan, contacts, None, NOON)
        foreseen = {p.contact_id: p.messages for p in preview(plan, people, NOON, Assumption.SILENCE)}
    crowd.enroll(TWO_MAILS)
    chosen = senders_of(crowd)
    share = Counter(sender for sender, _ in chosen.values())
    assert set(share) == {crowd.sender_id, second, third}
    assert {choice for _, choice in chosen.values()} == {"turn"}
    crowd.work()
    crowd.clock.pass_(days=2)
    crowd.work()
    sent = crowd.rows(
        "SELECT message.contact_id, sender.from_email, message.sender_identity_id FROM dripiq_app.outbound_messages AS message"
        " JOIN dripiq_app.email_sender_identities AS sender ON sender.id = message.sender_identity_id"
    )
    assert len(sent) == 100
    assert {(row.contact_id, row.sender_identity_id) for row in sent} == {(c, s) for c, (s, _) in chosen.items()}
    assert {row.contact_id: row.from_email for row in sent} == {c: m[0].from_address for c, m in foreseen.items()}
    assert {message.sender_reason for messages in foreseen.values() for message in messages} == {"its turn"}
    # Another sender joins, and one is paused: who was written to keeps their sender; those of the paused one are dealt out again.
    crowd.clock.pass_(days=3)
    crowd.work()
    add_sender(crowd, "new@example.com", weight=1000)
    pause(crowd, second)
    crowd.enroll(TWO_MAILS)
    anew = senders_of(crowd)
    for contact_id, (sender_id, choice) in anew.items():
        before = chosen[contact_id][0]
        assert (choice, sender_id) == ("kept", before) if before != second else choice == "turn" and sender_id != second


def test_who_is_named_goes_before_turns_and_without_a_sender_that_may_the_default_stands_at_the_gate(
    world: World,
) -> None:
    second = add_sender(world, "second@example.com")
    with world.database.begin() as connection:
        enroll(connection, world.tenant_id, ONE_MAIL, world.contacts, now=NOON, sender_identity_id=second)
    assert senders_of(world) == {world.contacts[0]: (second, "named")}
    world.work()
    named = parse_plan(email_plan({"id": "intro", "senderIdentityId": second}))
    with world.database.begin() as connection:
        assert share_out(connection, world.tenant_id, named, world.contacts) == {}
        kept = share_out(connection, world.tenant_id, parse_plan(ONE_MAIL), world.contacts)
        assert [(chosen.sender_id, chosen.choice) for chosen in kept.values()] == [(second, "kept")]
        connection.execute(text("UPDATE dripiq_app.email_sender_identities SET validation_status = 'pending'"))
        assert share_out(connection, world.tenant_id, parse_plan(ONE_MAIL), world.contacts) == {}
    world.enroll(ONE_MAIL)
    with world.database.connect() as connection:
        (campaign,) = explain(connection, world.tenant_id, world.contacts[0], now=NOON).campaigns
    assert campaign.closed is not None
    assert campaign.closed.code == "sender_unverified"
    assert campaign.send is not None
    assert campaign.send.sender_reason == "the tenant's default"


def test_a_paused_sender_sends_nothing_more_explain_says_why_and_resuming_releases_what_was_held(crowd: World) -> None:
    second = add_sender(crowd, "second@example.com")
    crowd.enroll(ONE_MAIL)
    share = Counter(sender for sender, _ in senders_of(crowd).values())
    pause(crowd, "SECOND@example.com")
    theirs = next(contact for contact, (sender, _) in senders_of(crowd).items() if sender == second)
    with crowd.database.connect() as connection:
        (before,) = explain(connection, crowd.tenant_id, theirs, now=NOON).campaigns
    crowd.work()
    assert len(crowd.mails()) == share[crowd.sender_id]
    held = crowd.rows("SELECT DISTINCT reason FROM dripiq_app.scheduled_actions WHERE status = 'held'")
    assert held == [("sender_paused",)]
    with crowd.database.connect() as connection:
        (after,) = explain(connection, crowd.tenant_id, theirs, now=NOON).campaigns
    for said, prospect in ((before, Prospect.HOLDS), (after, Prospect.HELD)):
        assert (said.prospect, said.closed.code if said.closed else None) == (prospect, "sender_paused")
        assert said.helps == (
            "dripiq senders resume second@example.com --tenant Acme; it goes on by itself once another sender is its"
        )
        assert said.next is not None
        assert said.next.at is None
    assert resume(crowd, second) == share[second]
    crowd.work()
    assert len(crowd.mails()) == 50


def test_a_pause_takes_hold_of_what_is_written_already_before_it_is_committed_to_sending(world: World) -> None:
    from dripiq.engine.claim import Share, claim
    from dripiq.engine.dispatch.prepare import prepare
    from dripiq.repositories.outbox import commit_to_send

    world.enroll(ONE_MAIL)
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    with world.database.begin() as connection:
        ready = prepare(connection, lease, lease.actions, {Channel.EMAIL: "folder"}, NOON, None)[Channel.EMAIL]
    pause(world, world.sender_id)
    with world.database.begin() as connection:
        assert commit_to_send(connection, world.tenant_id, Channel.EMAIL, [ready[0].message.id], NOON) == {}


def test_a_sender_whose_mails_bounce_is_paused_and_the_same_bounces_never_pause_it_again(
    crowd: World, caplog: pytest.LogCaptureFixture
) -> None:
    crowd.enroll(TWO_MAILS)
    crowd.work()
    come_back(crowd, "bounce", 1, type="bounce", status="4.2.2")
    come_back(crowd, "bounce", 5, type="blocked")
    crowd.work(watching(crowd))
    assert crowd.value("SELECT count(*) FROM dripiq_app.email_sender_identities WHERE paused_at IS NOT NULL") == 0
    come_back(crowd, "bounce", 3, type="bounce", status="5.1.1")
    with caplog.at_level(logging.WARNING, logger="dripiq.engine.pause_sender"):
        crowd.work(watching(crowd))  # takes them in
        worker = crowd.work(watching(crowd))
    assert worker.done["senders_paused"] == 1
    (sender,) = crowd.rows("SELECT pause_reason, pause_note FROM dripiq_app.email_sender_identities")
    assert sender.pause_reason == "bounce_rate"
    assert sender.pause_note.endswith("and 5.0% is the most")
    assert sender.pause_note in caplog.text
    crowd.clock.pass_(days=2)
    crowd.work(watching(crowd))
    reasons = crowd.rows("SELECT DISTINCT reason FROM dripiq_app.scheduled_actions WHERE status = 'held'")
    assert reasons == [("sender_paused_bounces",)]
    released = resume(crowd, crowd.sender_id)
    assert released > 40
    crowd.clock.pass_(minutes=1)
    worker = crowd.work(watching(crowd))
    assert worker.done["senders_paused"] == 0
    assert len(crowd.mails()) == 50 + released
    crowd.clock.pass_(minutes=1)
    crowd.work(watching(crowd))
    assert crowd.value("SELECT paused_at FROM dripiq_app.email_sender_identities") is None


def test_complaints_pause_at_a_smaller_share_and_only_the_sender_that_they_are_about(crowd: World) -> None:
    second = add_sender(crowd, "second@example.com")
    with crowd.database.begin() as connection:
        for sender, contacts in ((second, crowd.contacts[:25]), (crowd.sender_id, crowd.contacts[25:])):
            enroll(connection, crowd.tenant_id, ONE_MAIL, contacts, now=crowd.clock.time, sender_identity_id=sender)
    crowd.work()
    found = crowd.rows(
        "SELECT id FROM dripiq_app.outbound_messages WHERE sender_identity_id = :second ORDER BY id", second=second
    )
    assert len(found) == 25
    crowd.receive(*({"event": "spamreport", "message": row.id} for row in found[:2]))
    crowd.work(watching(crowd))
    crowd.work(watching(crowd))
    paused = crowd.rows("SELECT id, pause_reason FROM dripiq_app.email_sender_identities WHERE paused_at IS NOT NULL")
    assert paused == [(second, "complaint_rate")]


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        (Rates(99, 99, 99), None),
        (Rates(100, 4, 1), None),
        (Rates(100, 5, 0), PauseReason.BOUNCE_RATE),
        (Rates(100, 5, 2), PauseReason.COMPLAINT_RATE),
        (Rates(1000, 49, 2), None),
        (Rates(1000, 0, 3), PauseReason.COMPLAINT_RATE),
    ],
)
def test_a_share_counts_from_the_fewest_sends_on_and_one_complaint_is_none(
    rates: Rates, reason: PauseReason | None
) -> None:
    assert fault_of(rates, Tolerance()) is reason
    assert fault_of(replace(rates, sent=0), Tolerance()) is None


def test_what_is_not_so_is_said(world: World) -> None:
    with world.database.begin() as connection:
        with pytest.raises(ConflictError, match="is not paused"):
            resume_sender(connection, world.tenant_id, world.sender_id, now=NOON)
        with pytest.raises(NotFoundError, match="no sender 'x'"):
            pause_sender(connection, world.tenant_id, "x", now=NOON)
        with pytest.raises(InputError, match="0 to 1000"):
            weigh_sender(connection, world.tenant_id, world.sender_id, 1001, now=NOON)
    pause(world, world.sender_id)
    with pytest.raises(ConflictError, match="paused already"):
        pause(world, world.sender_id)


@pytest.mark.parametrize(("result", "left"), [("invalid", 0), ("risky", 1), ("unknown", 1), ("valid", 1)])
def test_an_address_that_validation_called_invalid_is_not_written_to_and_explain_says_so(
    world: World, result: str, left: int
) -> None:
    world.execute(
        "INSERT INTO dripiq_app.email_validation_results (tenant_id, id, email, result_status, source, validated_at)"
        " VALUES (:tenant_id, :id, 'c1@example.com', :result, 'test', :now)",
        id=new_id(),
        result=result,
        now=NOON,
    )
    world.enroll(ONE_MAIL)
    with world.database.connect() as connection:
        (campaign,) = explain(connection, world.tenant_id, world.contacts[0], now=NOON).campaigns
    assert (campaign.closed.code if campaign.closed else None) == ("address_invalid" if not left else None)
    world.work()
    assert len(world.mails()) == left
    if not left:
        reason = "SELECT reason FROM dripiq_app.campaign_transitions ORDER BY seq DESC LIMIT 1"
        assert (world.campaign().status, world.value(reason)) == ("stopped", "address_invalid")


def test_a_sender_that_was_resumed_is_judged_by_what_happened_since(crowd: World) -> None:
    from dripiq.repositories.senders import read_rates

    crowd.enroll(ONE_MAIL)
    crowd.work()
    come_back(crowd, "bounce", 2, type="bounce", status="5.1.1")
    crowd.work()

    def rates() -> Rates:
        with crowd.database.connect() as connection:
            found = read_rates(connection, crowd.tenant_id, TOLERANCE, crowd.clock.time)
        return found[crowd.sender_id]

    assert rates() == Rates(50, 2, 0)
    pause(crowd, crowd.sender_id)
    crowd.clock.pass_(seconds=1)
    resume(crowd, crowd.sender_id)
    assert rates() == Rates(0, 0, 0)
    crowd.clock.time = NOON + timedelta(days=8)
    assert rates() == Rates(0, 0, 0)


def test_explain_names_the_paused_sender_of_the_message_that_is_answered(world: World) -> None:
    first = add_sender(world, "first@example.com")
    plan = email_plan(
        {"id": "intro", "senderIdentityId": first, "transitions": [{"on": "no_reply", "after": "P2D", "to": "follow"}]},
        {"id": "follow", "replyTo": "previous"},
    )
    plan["version"] = "1.1"
    del plan["nodes"][1]["subject"]
    with world.database.begin() as connection:
        enroll(connection, world.tenant_id, plan, world.contacts, now=NOON, sender_identity_id=world.sender_id)
    world.work()
    pause(world, first)
    world.clock.pass_(days=2)
    world.work()
    assert (
        world.work().done["sends_released"] == 0
    )  # whoever wrote what it answers is its sender, whatever the campaign names
    with world.database.connect() as connection:
        (said,) = explain(connection, world.tenant_id, world.contacts[0], now=world.clock.time).campaigns
    assert said.closed is not None
    assert said.send is not None
    assert (said.closed.code, said.send.from_address) == ("sender_paused", "first@example.com")
    assert (said.helps or "").startswith("dripiq senders resume first@example.com --tenant Acme;")


def test_sends_that_wait_for_the_sending_lock_while_their_sender_is_paused_are_put_off(crowd: World) -> None:
    second = add_sender(crowd, "second@example.com")
    crowd.enroll(ONE_MAIL)
    pause(crowd, second)
    share = Counter(sender for sender, _ in senders_of(crowd).values())
    event.listen(crowd.database, "begin", lambda began: began.exec_driver_sql("SET LOCAL lock_timeout = '100ms'"))
    with crowd.database.begin() as blocker:
        lock_exclusive(blocker, [(crowd.tenant_id, Channel.EMAIL)])
        crowd.work()
    put_off = crowd.rows("SELECT status, reason, count(*) FROM dripiq_app.scheduled_actions GROUP BY 1, 2")
    assert put_off == [("pending", "sending_held_up", 50)]
    crowd.clock.pass_(seconds=5)
    crowd.work()
    assert len(crowd.mails()) == share[crowd.sender_id]


def test_a_paused_sender_that_nobody_here_sends_from_makes_no_send_wait_for_the_lock(world: World) -> None:
    from dripiq.engine.claim import Share, claim
    from dripiq.engine.dispatch.prepare import prepare

    second = add_sender(world, "second@example.com")
    pause(world, world.sender_id)
    with world.database.begin() as connection:
        enroll(connection, world.tenant_id, ONE_MAIL, world.contacts, now=NOON, sender_identity_id=second)
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    event.listen(world.database, "begin", lambda began: began.exec_driver_sql("SET LOCAL lock_timeout = '100ms'"))
    with world.database.begin() as blocker, world.database.begin() as connection:
        lock_exclusive(blocker, [(world.tenant_id, Channel.EMAIL)])
        ready = prepare(connection, lease, lease.actions, {Channel.EMAIL: "folder"}, NOON, None)
    assert len(ready[Channel.EMAIL]) == 1


def test_a_sender_of_no_weight_gets_nobody_new_and_goes_on_with_those_it_wrote_to(crowd: World) -> None:
    second = add_sender(crowd, "second@example.com")
    crowd.enroll(ONE_MAIL, crowd.contacts[:25])
    crowd.work()
    before = senders_of(crowd)
    with crowd.database.begin() as connection:
        weigh_sender(connection, crowd.tenant_id, second, 0, now=NOON)
        chosen = share_out(connection, crowd.tenant_id, parse_plan(ONE_MAIL), crowd.contacts)
    assert second in {sender for sender, _ in before.values()}
    assert {c: chosen[c].sender_id for c in before} == {c: sender for c, (sender, _) in before.items()}
    assert {chosen[c].sender_id for c in crowd.contacts[25:]} == {crowd.sender_id}


def test_what_is_held_for_a_paused_sender_goes_on_by_itself_once_another_sender_is_its(crowd: World) -> None:
    """The default moved, a plan names another; who has the paused one still waits."""
    other = add_sender(crowd, "second@example.com", weight=0)
    crowd.execute("UPDATE dripiq_app.email_sender_identities SET rotation_weight = 0")
    named = email_plan({"id": "intro", "senderIdentityId": crowd.sender_id})
    moved = email_plan({"id": "intro", "senderIdentityId": crowd.sender_id, "subject": "To be moved"})
    stays, moves, follows = crowd.contacts[:3], crowd.contacts[3:6], crowd.contacts[6:]
    crowd.enroll(named, stays)
    crowd.enroll(moved, moves)
    crowd.enroll(ONE_MAIL, follows)
    pause(crowd, crowd.sender_id)
    crowd.work()
    held = "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status = 'held' AND reason = 'sender_paused'"
    assert (crowd.value(held), crowd.mails()) == (50, [])
    with crowd.database.connect() as connection:
        (before,) = explain(connection, crowd.tenant_id, follows[0], now=NOON).campaigns
    assert before.helps is not None
    assert before.helps.startswith("dripiq senders resume sender@example.com")
    assert before.helps.endswith("; it goes on by itself once another sender is its")
    crowd.execute("UPDATE dripiq_app.email_sender_identities SET is_default = false")
    crowd.execute("UPDATE dripiq_app.email_sender_identities SET is_default = true WHERE id = :id", id=other)
    with crowd.database.begin() as connection:
        anew = email_plan({"id": "intro", "senderIdentityId": other})
        replan(connection, crowd.tenant_id, anew, since=parse_plan(moved).plan_hash, now=crowd.clock.time)
    with crowd.database.connect() as connection:
        (after,) = explain(connection, crowd.tenant_id, follows[0], now=NOON).campaigns
        (still,) = explain(connection, crowd.tenant_id, stays[0], now=NOON).campaigns
    assert after.helps == "its sender is second@example.com by now, and not paused: it goes on by itself"
    assert still.helps == before.helps
    assert crowd.work().done["sends_released"] == 44  # the other plan has let go of its own
    assert (crowd.value(held), len(crowd.mails())) == (3, 47)
    assert crowd.rows("SELECT DISTINCT sender_identity_id FROM dripiq_app.outbound_messages") == [(other,)]


def test_what_is_held_for_a_paused_sender_goes_on_once_that_sender_is_deleted(world: World) -> None:
    other = add_sender(world, "second@example.com")
    world.execute("UPDATE dripiq_app.email_sender_identities SET is_default = (id = :id)", id=other)
    with world.database.begin() as connection:
        enroll(connection, world.tenant_id, ONE_MAIL, world.contacts, sender_identity_id=world.sender_id, now=NOON)
    pause(world, world.sender_id)
    world.work()
    held = "SELECT reason FROM dripiq_app.scheduled_actions WHERE status = 'held'"
    assert world.value(held) == "sender_paused"
    world.execute("DELETE FROM dripiq_app.email_sender_identities WHERE id = :id", id=world.sender_id)
    assert world.work().done["sends_released"] == 1
    assert (world.rows(held), len(world.mails())) == ([], 1)
