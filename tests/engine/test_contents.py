"""What leaves and what is kept of it: HTML with its text, variants, threads, and the engine's time."""

from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch.prepare import prepare
from dripiq.engine.steer import resume
from tests.engine.conftest import NOON, ONE_MAIL, World, email_plan

CHAIN: tuple[dict[str, Any], ...] = (
    {"id": "one", "subject": "A question", "transitions": [{"on": "no_open", "to": "two"}]},
    {"id": "two", "replyTo": "previous", "subject": None, "transitions": [{"on": "no_open", "to": "three"}]},
    {"id": "three", "replyTo": "previous", "subject": None},
)


def chain(**changes: Any) -> dict[str, Any]:
    """Three mails of one thread, three days apart."""
    plan = email_plan(*CHAIN, version="1.1", **changes)
    for node in plan["nodes"]:
        node.pop("subject") if node["subject"] is None else None
    return plan


def sent(world: World) -> dict[str, EmailMessage]:
    """The mails in the folder, by the node that sent them."""
    nodes = {row.id: row.node_id for row in world.rows("SELECT id, node_id FROM dripiq_app.outbound_messages")}
    mails = {nodes[path.stem]: message_from_bytes(path.read_bytes(), policy=policy.default) for path in world.mails()}
    assert all(isinstance(mail, EmailMessage) for mail in mails.values())
    return mails


def work_through(world: World, steps: int) -> None:
    for _ in range(steps):
        world.work()
        world.clock.pass_(hours=73)
    world.work()


def test_html_leaves_with_the_text_it_reads_as_and_values_escaped(world: World) -> None:
    world.execute("UPDATE dripiq_app.lead_point_of_contacts SET name = 'A <b>& Co'")
    html = '<p>Hello {{ contact.name }}, see <a href="https://example.com/x?a=1&amp;b=2">our site</a>.</p>'
    plan = email_plan({"id": "intro", "subject": "Hello {{ contact.name }}", "html": html}, version="1.1")
    del plan["nodes"][0]["body"]
    world.enroll(plan)
    world.work()
    mail = sent(world)["intro"]
    assert mail["Subject"] == "Hello A <b>& Co"
    text, shown = mail.iter_parts()
    assert text.get_content() == "Hello A <b>& Co, see our site (https://example.com/x?a=1&b=2).\r\n"
    assert "<p>Hello A &lt;b&gt;&amp; Co, see" in shown.get_content()
    row = world.rows("SELECT body, rendered_body, rendered_html, variant FROM dripiq_app.outbound_messages")[0]
    assert (row.body, row.variant) == (html, None)
    assert row.rendered_body == "Hello A <b>& Co, see our site (https://example.com/x?a=1&b=2).\n"
    assert row.rendered_html.startswith("<p>Hello A &lt;b&gt;&amp; Co")


def test_a_message_is_dated_by_the_engines_clock(world: World) -> None:
    world.clock.time = datetime(2031, 5, 6, 9, 30, tzinfo=UTC)
    world.enroll(ONE_MAIL)
    world.work()
    assert sent(world)["intro"]["Date"] == "Tue, 06 May 2031 09:30:00 +0000"


def test_each_contact_gets_one_variant_by_weight_and_it_is_recorded(crowd: World) -> None:
    variants = [{"body": "This is A."}, {"name": "short", "weight": 3, "body": "B."}]
    node = {"id": "intro", "variants": variants}
    plan = email_plan(node, version="1.1")
    del plan["nodes"][0]["body"]
    crowd.enroll(plan)
    crowd.work()
    rows = crowd.rows("SELECT variant, body FROM dripiq_app.outbound_messages")
    assert {(row.variant, row.body) for row in rows} == {("A", "This is A."), ("short", "B.")}
    count = Counter(row.variant for row in rows)
    assert count["A"] + count["short"] == 50
    assert count["short"] > count["A"]


def test_a_thread_answers_the_message_before_under_one_re(world: World) -> None:
    world.enroll(chain())
    work_through(world, 2)
    mails = sent(world)
    first, second, third = (mails[node] for node in ("one", "two", "three"))
    assert (first["In-Reply-To"], first["References"]) == (None, None)
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert third["In-Reply-To"] == second["Message-ID"]
    assert str(third["References"]).split() == [first["Message-ID"], second["Message-ID"]]
    assert [mail["Subject"] for mail in (first, second, third)] == ["A question", "Re: A question", "Re: A question"]
    assert first["Date"].datetime == NOON


def test_an_answer_comes_from_whom_the_message_before_came_from(world: World) -> None:
    world.enroll(chain())
    world.work()
    world.execute(
        "INSERT INTO dripiq_app.email_sender_identities (id, tenant_id, user_id, from_email, from_name, domain, validation_status)"
        " SELECT 'other', tenant_id, user_id, 'other@example.com', 'Other', domain, 'verified' FROM dripiq_app.email_sender_identities"
    )
    world.execute("UPDATE dripiq_app.contact_campaigns SET sender_identity_id = 'other'")
    world.clock.pass_(hours=73)
    world.work()
    assert sent(world)["two"]["From"].addresses[0].addr_spec == "sender@example.com"


def enroll_at_two(world: World, plan: dict[str, Any]) -> None:
    """As after a migration of the plan: where the campaign stands, its enrolment has sent nothing."""
    world.enroll(plan)
    world.execute("UPDATE dripiq_app.contact_campaigns SET current_node_id = 'two'")
    world.execute("UPDATE dripiq_app.scheduled_actions SET node_id = 'two' WHERE status = 'pending'")
    world.work()


def test_an_answer_to_nothing_is_held_and_says_what_it_needs(world: World) -> None:
    enroll_at_two(world, chain())
    assert world.mails() == []
    (action,) = world.rows("SELECT status, reason, last_error FROM dripiq_app.scheduled_actions")
    assert (action.status, action.reason) == ("held", "nothing_to_answer")
    assert action.last_error == (
        "The node 'two' answers the message before, and none was sent in this campaign: give it a subject."
    )


def test_an_answer_to_nothing_with_a_subject_of_its_own_begins_a_thread(world: World) -> None:
    plan = chain()
    plan["nodes"][1]["subject"] = "Hello {{ contact.name }}"
    world.enroll(ONE_MAIL)
    world.work()  # an enrolment before, whose thread is over
    world.clock.pass_(hours=1)
    enroll_at_two(world, plan)
    mail = sent(world)["two"]
    assert (mail["Subject"], mail["In-Reply-To"], mail["References"]) == ("Hello Contact 1", None, None)


def test_what_is_held_for_a_missing_value_in_html_leaves_once_it_is_there(world: World) -> None:
    world.enroll(email_plan({"id": "intro", "html": "<p>{{ contact.external_ref | upcase }}</p>"}, version="1.1"))
    world.work()
    (action,) = world.rows("SELECT status, reason FROM dripiq_app.scheduled_actions")
    assert (action.status, action.reason) == ("held", "template_missing")
    world.execute("UPDATE dripiq_app.lead_point_of_contacts SET external_ref = 'a<b'")
    with world.database.begin() as connection:
        resume(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.work()
    assert "<p>A&lt;B</p>" in list(sent(world)["intro"].iter_parts())[1].get_content()


def test_a_message_that_a_webhook_proves_in_the_second_of_the_start_is_answered(world: World) -> None:
    world.clock.pass_(milliseconds=700)
    world.enroll(chain())
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    with world.database.begin() as connection:
        prepare(connection, lease, lease.actions, {Channel.EMAIL: "sendgrid"}, world.clock.time, None)
    # Handed over, and the worker is gone: the provider's event, in whole seconds, is all that is known.
    world.execute(
        "UPDATE dripiq_app.outbound_messages SET status = 'sending', attempts = 1, updated_at = updated_at + interval '1 microsecond'"
    )
    world.receive({"event": "processed", "message": world.message("one")})
    world.work()
    world.clock.pass_(hours=73)
    world.work()
    (mail,) = sent(world).values()
    assert (mail["Subject"], mail["In-Reply-To"] is not None) == ("Re: A question", True)


def test_what_comes_out_blank_is_held_with_the_reason(world: World) -> None:
    world.enroll(email_plan({"id": "intro", "subject": '{{ contact.title | default: "" }}'}))
    world.work()
    [action] = world.rows("SELECT status, reason, last_error FROM dripiq_app.scheduled_actions")
    assert (action.status, action.reason) == ("held", "nothing_to_say")
    assert "The subject of the node 'intro' comes out blank" in action.last_error
    assert world.mails() == []
