"""Changing the plan of campaigns that are under way, with a worker before, between and after."""

from typing import Any

import pytest
from sqlalchemy import text

import dripiq
from dripiq.domain.errors import ConflictError, InputError, NotFoundError, PlanError
from dripiq.domain.plan_diff import PlanDiff
from dripiq.engine.claim import Share, claim
from dripiq.engine.fire import fire
from dripiq.engine.normalise import normalise
from dripiq.engine.replan import forward, page, work
from tests.engine.conftest import World, email_plan

BUMP = {"id": "bump", "body": "Once more."}
FIRST = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "patience", "within": "PT72H"},
            {"on": "no_open", "to": "bump", "after": "PT72H"},
        ],
    },
    {
        "id": "patience",
        "action": "wait",
        "transitions": [
            {"on": "clicked", "to": "stop", "within": "PT24H"},
            {"on": "no_click", "to": "bump", "after": "PT24H"},
        ],
    },
    BUMP,
)
QUICKER = email_plan(
    {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT24H"}]},
    {"id": "bump", "body": "Shall I close this?"},
)
DELAYED = email_plan({"id": "intro", "schedule": {"delay": "PT5H"}})


def change(world: World, plan: dict[str, Any], **more: Any) -> PlanDiff:
    with world.database.begin() as connection:
        return dripiq.replan(connection, world.tenant_id, plan, now=world.clock.time, **more)


def go_back(world: World, **more: Any) -> PlanDiff:
    with world.database.begin() as connection:
        return dripiq.roll_back(connection, world.tenant_id, now=world.clock.time, **more)


def everything(world: World) -> list[Any]:
    """All that a change of plan could write."""
    tables = ("contact_campaigns", "campaign_plan_versions", "campaign_transitions", "scheduled_actions")
    return [
        (table, *row)
        for table in (*tables, "outbound_messages")
        for row in world.rows(
            f"SELECT to_jsonb(t)::text FROM dripiq_app.{table} AS t WHERE tenant_id = :tenant_id ORDER BY id"
        )
    ]


def open_actions(world: World) -> dict[str, Any]:
    rows = world.rows(
        "SELECT coalesce(payload ->> 'timer', 'send') AS name, run_at FROM dripiq_app.scheduled_actions"
        " WHERE tenant_id = :tenant_id AND status IN ('pending', 'held', 'queued')"
    )
    return {row.name: (row.run_at - world.clock.time).total_seconds() / 3600 for row in rows}


def bodies(world: World) -> set[str]:
    return {mail.read_text().partition("\n\n")[2].strip() for mail in world.mails()}


def test_campaigns_go_on_under_the_new_plan_and_it_is_recorded(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    world.clock.pass_(hours=10)

    diff = change(world, QUICKER, actor="kim")

    assert (diff.moved, dict(diff.flows)) == (1, {("intro", "intro", "active"): 1})
    assert open_actions(world) == {"no_open": 14}
    campaign = world.campaign()
    assert (campaign.plan_hash, campaign.plan_json) == (diff.to, QUICKER)
    versions = world.rows(
        "SELECT version, plan_hash, generated_by, notes FROM dripiq_app.campaign_plan_versions ORDER BY length(version), version"
    )
    assert [(v.version, v.plan_hash, v.generated_by) for v in versions] == [
        ("1", diff.since, "manual"),
        ("2", diff.to, "migration"),
    ]
    assert diff.since in versions[-1].notes
    move = world.rows("SELECT * FROM dripiq_app.campaign_transitions ORDER BY seq DESC")[0]
    assert (move.trigger, move.from_node_id, move.to_node_id, move.actor) == ("migrated", "intro", "intro", "kim")
    world.clock.pass_(hours=15)
    world.work()
    assert bodies(world) == {"This is intro.", "Shall I close this?"}


def test_a_dry_run_says_the_same_and_writes_nothing(crowd: World) -> None:
    crowd.enroll(FIRST)
    crowd.work()
    crowd.clock.pass_(hours=30)
    before = everything(crowd)

    surveyed = change(crowd, QUICKER, dry_run=True)

    assert everything(crowd) == before
    assert surveyed.as_json() == {**change(crowd, QUICKER).as_json(), "applied": False}
    assert surveyed.moved == 50
    shift = surveyed.shifts["intro", "intro", "no_open"]
    assert (shift.moved, shift.at_once, shift.least, shift.most) == (50, 50, shift.most, shift.least)
    assert surveyed.as_json()["shifts"][0] == {
        "from": "intro",
        "to": "intro",
        "action": "no_open",
        "was": "P3D",
        "becomes": "P1D",
        "moved": 50,
        "least": "-P2D",
        "most": "-P2D",
        "added": 0,
        "dropped": 0,
        "at_once": 50,
    }


def test_a_pending_send_says_what_the_new_plan_says(world: World) -> None:
    world.enroll(DELAYED)
    change(world, email_plan({"id": "intro", "body": "New.", "schedule": {"delay": "PT1H"}}))
    assert open_actions(world) == {"send": 1}
    world.clock.pass_(hours=1)
    world.work()
    assert bodies(world) == {"New."}


def test_a_renamed_node_is_mapped_and_a_sent_message_is_not_sent_again(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    renamed = email_plan({"id": "hello", "transitions": [{"on": "no_open", "to": "bump", "after": "PT9H"}]}, BUMP)

    assert change(world, renamed).stuck == {"no_target": 1}
    assert change(world, renamed, mapping={"intro": "hello"}).moved == 1

    world.work()
    assert len(world.mails()) == 1
    world.clock.pass_(hours=9)
    world.work()
    assert bodies(world) == {"This is intro.", "Once more."}
    assert world.campaign().status == "completed"


def test_nodes_can_be_mapped_to_the_end(world: World) -> None:
    world.enroll(DELAYED)
    diff = change(world, QUICKER, mapping={"intro": "stop"})
    assert dict(diff.flows) == {("intro", "intro", "stopped"): 1}
    move = world.rows("SELECT * FROM dripiq_app.campaign_transitions ORDER BY seq DESC")[0]
    assert (world.campaign().status, move.trigger, move.reason) == ("stopped", "migrated", "plan_changed")
    assert (world.campaign().plan_hash, open_actions(world)) == (diff.since, {})


def test_events_that_came_before_the_change_count_after_it(world: World) -> None:
    quiet = email_plan({"id": "intro", "transitions": [{"on": "no_reply", "to": "bump", "after": "PT72H"}]}, BUMP)
    world.enroll(quiet)
    world.work()
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": world.message()})
    world.work()

    diff = change(world, FIRST)

    assert dict(diff.flows) == {("intro", "patience", "active"): 1}
    assert open_actions(world) == {"no_click": 24}


def test_forward_and_back_leaves_everything_to_come_as_it_was(crowd: World) -> None:
    crowd.enroll(FIRST)
    crowd.work()
    crowd.clock.pass_(hours=3)
    opened = crowd.rows("SELECT id FROM dripiq_app.outbound_messages ORDER BY id LIMIT 20")
    crowd.receive(*({"event": "open", "message": row.id} for row in opened))
    crowd.work()
    stands = (
        "SELECT campaign.contact_id, campaign.status, campaign.current_node_id, campaign.plan_hash, campaign.visits::text, action.run_at,"
        " action.payload::text FROM dripiq_app.contact_campaigns AS campaign JOIN dripiq_app.scheduled_actions AS action"
        " ON action.contact_campaign_id = campaign.id AND action.status = 'pending' ORDER BY campaign.id"
    )
    before = crowd.rows(stands)
    moved = email_plan(
        {"id": "hello", "transitions": [{"on": "no_open", "to": "bump", "after": "PT9H"}]},
        {"id": "pause", "action": "wait", "transitions": [{"on": "no_click", "to": "bump", "after": "PT90H"}]},
        {"id": "bump", "transitions": [{"on": "no_reply", "to": "pause", "after": "PT90H"}]},
        maxVisits=3,
    )

    there = change(crowd, moved, mapping={"intro": "hello", "patience": "pause"})
    assert dict(there.flows) == {("intro", "hello", "active"): 30, ("patience", "pause", "active"): 20}
    back = go_back(crowd)

    assert dict(back.flows) == {("hello", "intro", "active"): 30, ("pause", "patience", "active"): 20}
    assert crowd.rows(stands) == before
    crowd.work()
    assert len(crowd.mails()) == 50


def test_going_back_twice_goes_back_two_versions_and_no_further(world: World) -> None:
    plans = [email_plan({"id": "intro", "body": name, "schedule": {"delay": "PT5H"}}) for name in "abc"]
    world.enroll(plans[0])
    for plan in plans[1:]:
        change(world, plan)
    followed = []
    for _ in range(2):
        assert go_back(world).moved == 1
        followed.append(world.campaign().plan_json)
    assert followed == [plans[1], plans[0]]
    assert go_back(world).stuck == {"no_version_before": 1}


def test_each_campaign_goes_back_to_its_own_version(crowd: World) -> None:
    old = [email_plan({"id": "intro", "body": name, "schedule": {"delay": "PT5H"}}) for name in ("a", "b")]
    new = email_plan({"id": "intro", "body": "c", "schedule": {"delay": "PT5H"}})
    for number, plan in enumerate(old):
        crowd.enroll(plan, crowd.contacts[number::2])
    with pytest.raises(ConflictError, match=r"several plans: \w{12} \(25\), \w{12} \(25\)"):
        change(crowd, new)
    followed = "SELECT contact_id, plan_hash FROM dripiq_app.contact_campaigns ORDER BY id"
    before = crowd.rows(followed)
    for plan_hash in sorted({row.plan_hash for row in before}):
        change(crowd, new, since=plan_hash[:10])

    assert go_back(crowd).moved == 50
    assert crowd.rows(followed) == before


def test_who_would_be_sent_a_text_again_is_named(crowd: World) -> None:
    crowd.enroll(FIRST)
    crowd.work()
    again = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "reminder", "after": "PT24H"}]},
        {"id": "reminder", "body": "This is intro."},
    )

    diff = change(crowd, again, dry_run=True)

    assert diff.repeats == {"reminder": 50}
    first = diff.repeat_list[0]
    assert (first.email or "").endswith("@example.com")
    assert (first.node_id, first.sent_at) == ("reminder", crowd.clock.time)
    assert change(crowd, QUICKER, dry_run=True).repeats == {}


def test_a_text_is_the_same_wherever_its_unsubscribe_link_leads_and_whatever_it_answers(world: World) -> None:
    html = '<p>Hello</p><a href="{{ unsubscribe_url }}">No more</a>'
    plan = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT1H"}]},
        {"id": "bump", "replyTo": "previous", "html": html},
        version="1.1",
    )
    del plan["nodes"][1]["subject"]
    world.enroll(plan)
    world.execute(
        "INSERT INTO dripiq_app.outbound_messages (tenant_id, id, contact_campaign_id, contact_id, node_id, visit, channel, to_address, subject,"
        " body, rendered_body, rendered_html, provider, status, sent_at, dedupe_key)"
        " SELECT tenant_id, id, id, contact_id, 'bump', 0, 'email', 'c1@example.com', 'Re: Hello', '', '', :html, 'folder', 'sent', :now, id"
        " FROM dripiq_app.contact_campaigns",
        html=html.replace("{{ unsubscribe_url }}", "https://mail.example.com/base/unsubscribe/abc.DEF-_1"),
        now=world.clock.time,
    )
    assert change(world, {**plan, "timezone": "Asia/Tokyo"}, dry_run=True).repeats == {"bump": 1}


def test_the_tenants_own_role_may_change_its_plans(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    with world.database.begin() as connection, dripiq.as_tenant(connection, world.tenant_id):
        assert dripiq.replan(connection, world.tenant_id, QUICKER, dry_run=True).moved == 1
        assert dripiq.replan(connection, world.tenant_id, QUICKER).moved == 1
        assert dripiq.roll_back(connection, world.tenant_id).moved == 1


def test_paused_campaigns_stay_paused(world: World) -> None:
    world.enroll(DELAYED)
    with world.database.begin() as connection:
        dripiq.pause(connection, world.tenant_id, [world.campaign().id])
    change(world, email_plan({"id": "hello"}), mapping={"intro": "hello"})
    world.clock.pass_(hours=9)
    world.work()
    assert (world.campaign().status, world.mails()) == ("paused", [])
    with world.database.begin() as connection:
        dripiq.resume(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.work()
    assert len(world.mails()) == 1


def test_what_a_worker_holds_stays_and_so_nothing_old_leaves_after_the_change(world: World) -> None:
    world.enroll(email_plan({"id": "intro"}))
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    assert change(world, QUICKER).stuck == {"in_hand_over": 1}
    assert world.campaign().plan_json == email_plan({"id": "intro"})
    world.execute(
        "UPDATE dripiq_app.scheduled_actions SET status = 'pending', job_id = NULL, lease_until = NULL WHERE job_id = :token",
        token=lease.token,
    )
    assert change(world, QUICKER).moved == 1


def test_what_is_in_doubt_stays(world: World) -> None:
    world.enroll(email_plan({"id": "intro"}))
    world.execute("UPDATE dripiq_app.scheduled_actions SET status = 'held', reason = 'in_doubt'")
    assert change(world, QUICKER).stuck == {"in_doubt": 1}


def test_finished_campaigns_are_not_touched(world: World) -> None:
    world.enroll(email_plan({"id": "intro"}))
    world.work()
    before = everything(world)
    assert change(world, QUICKER).moved == 0
    with pytest.raises(NotFoundError, match="no open campaigns"):
        go_back(world)
    assert everything(world) == before


def test_the_same_change_again_changes_nothing(world: World) -> None:
    world.enroll(FIRST)
    change(world, QUICKER)
    before = everything(world)
    assert change(world, QUICKER).moved == 0
    assert everything(world) == before


def test_a_change_that_was_interrupted_goes_on_where_it_ended(crowd: World) -> None:
    crowd.enroll(FIRST)
    with crowd.database.begin() as connection:
        job = forward(connection, crowd.tenant_id, QUICKER, None, {})
        work(connection, job, page(connection, job, "", 20), job.diff(applied=True), now=crowd.clock.time)
    assert change(crowd, QUICKER).moved == 30
    assert crowd.value("SELECT count(*) FROM dripiq_app.campaign_plan_versions WHERE generated_by = 'migration'") == 50


def test_a_draft_takes_the_new_plan_and_stays_a_draft(world: World) -> None:
    world.enroll(FIRST)
    world.execute("DELETE FROM dripiq_app.scheduled_actions")
    world.execute(
        "UPDATE dripiq_app.contact_campaigns SET status = 'draft', current_node_id = NULL, node_entered_at = NULL, started_at = NULL, visits = '{}'"
    )
    assert dict(change(world, QUICKER).flows) == {(None, None, "draft"): 1}
    assert (world.campaign().status, world.campaign().plan_json) == ("draft", QUICKER)
    assert dict(go_back(world).flows) == {(None, None, "draft"): 1}
    assert world.campaign().plan_json == FIRST


def test_a_change_that_cannot_be_meant_is_refused(world: World) -> None:
    world.enroll(FIRST)
    before = everything(world)
    by_sms = {**QUICKER, "nodes": [{"id": "intro", "channel": "sms", "action": "send", "body": "Hello"}]}
    for error, code, plan, more in (
        (PlanError, "plan_faults", {**QUICKER, "startNodeId": "nowhere"}, {}),
        (ConflictError, "other_channel", by_sms, {}),
        (InputError, "unknown_node", QUICKER, {"mapping": {"into": "intro"}}),
        (InputError, "unknown_node", QUICKER, {"mapping": {"intro": "hello"}}),
        (NotFoundError, "unknown_plan", QUICKER, {"since": "beef"}),
    ):
        with pytest.raises(error) as raised:
            change(world, plan, **more)
        assert raised.value.error_code == code
    assert everything(world) == before


def test_the_callers_transaction_decides(world: World) -> None:
    world.enroll(FIRST)
    before = everything(world)
    with world.database.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert dripiq.replan(connection, world.tenant_id, QUICKER).moved == 1
        connection.rollback()
    assert everything(world) == before


def test_a_timer_that_a_worker_holds_while_it_is_put_off_fires_later(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    world.clock.pass_(hours=72)
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    slower = {**FIRST, "nodes": [{**FIRST["nodes"][0]}, *FIRST["nodes"][1:]]}
    slower["nodes"][0]["transitions"] = [{"on": "no_open", "to": "patience", "after": "PT96H"}]
    assert change(world, slower).moved == 1

    fire(world.database, world.clock, lease)

    assert (world.campaign().current_node_id, open_actions(world)) == ("intro", {"no_open": 24})
    world.clock.pass_(hours=24)
    world.work()
    assert world.campaign().current_node_id == "patience"


def test_a_webhook_about_the_message_still_finds_its_campaign_after_a_change(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    message = world.message()
    renamed = email_plan({"id": "hello", "transitions": [{"on": "opened", "to": "bump"}]}, BUMP)
    change(world, renamed, mapping={"intro": "hello"})
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": message})
    normalise(world.database, world.clock, world.tenant_id)
    assert world.campaign().current_node_id == "bump"
