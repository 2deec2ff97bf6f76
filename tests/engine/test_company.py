"""A reply from one person of a company silences dripiq towards the others, where the plan says so."""

from typing import Any

from dripiq.domain.events import Trigger
from dripiq.domain.moves import Happened
from dripiq.engine.react import react
from dripiq.schema.ids import new_id
from tests.engine.conftest import World, email_plan

CHASE = ({"id": "intro", "transitions": [{"on": "no_reply", "to": "bump", "after": "P3D"}]}, {"id": "bump"})
TOGETHER = email_plan(*CHASE, stopCompanyOnReply=True)


def other_company(world: World, contact_id: str) -> None:
    """The contact works somewhere else."""
    lead = new_id()
    world.execute("INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES (:lead, :tenant_id, 'Other')", lead=lead)
    world.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET lead_id = :lead WHERE id = :id AND tenant_id = :tenant_id",
        lead=lead,
        id=contact_id,
    )


def reply(world: World, campaign_id: str) -> None:
    """The campaign's contact answers its last message."""
    message = world.value(
        "SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND contact_campaign_id = :id ORDER BY visit DESC LIMIT 1",
        id=campaign_id,
    )
    answer = Happened(world.clock.time, Trigger.REPLIED, message, "the-reply")
    with world.database.begin() as connection:
        react(connection, world.tenant_id, {campaign_id: [answer]}, world.clock.time)


def standing(world: World, campaign_id: str) -> tuple[Any, ...]:
    [row] = world.rows(
        "SELECT campaign.status, move.reason, move.event_ref FROM dripiq_app.contact_campaigns AS campaign"
        " JOIN dripiq_app.campaign_transitions AS move ON move.tenant_id = :tenant_id"
        " AND move.contact_campaign_id = campaign.id AND move.seq = campaign.transition_seq"
        " WHERE campaign.tenant_id = :tenant_id AND campaign.id = :id",
        id=campaign_id,
    )
    return tuple(row)


def test_a_reply_stops_the_campaigns_of_the_same_company_and_nobody_elses(crowd: World) -> None:
    other_company(crowd, crowd.contacts[2])
    enrolled = crowd.enroll(TOGETHER, crowd.contacts[:3]).enrolled
    crowd.work()
    first, colleague, stranger = (enrolled[contact] for contact in crowd.contacts[:3])
    reply(crowd, first)
    assert standing(crowd, first) == ("stopped", "replied", "the-reply")
    assert standing(crowd, colleague) == ("stopped", "company_replied", "the-reply")
    assert standing(crowd, stranger)[0] == "active"
    crowd.clock.pass_(days=4)
    crowd.work()
    assert len(crowd.mails()) == 4  # three first mails, and the stranger's second


def test_a_reply_after_the_campaign_is_over_still_stops_the_company(crowd: World) -> None:
    enrolled = crowd.enroll(TOGETHER, crowd.contacts[:1]).enrolled
    crowd.work()
    crowd.clock.pass_(days=4)
    crowd.work()
    enrolled |= crowd.enroll(TOGETHER, crowd.contacts[1:2]).enrolled
    reply(crowd, enrolled[crowd.contacts[0]])
    assert standing(crowd, enrolled[crowd.contacts[0]])[0] == "completed"
    assert standing(crowd, enrolled[crowd.contacts[1]])[:2] == ("stopped", "company_replied")


def test_a_plan_that_does_not_say_so_leaves_colleagues_alone(crowd: World) -> None:
    enrolled = crowd.enroll(email_plan(*CHASE), crowd.contacts[:2]).enrolled
    crowd.work()
    reply(crowd, enrolled[crowd.contacts[0]])
    assert standing(crowd, enrolled[crowd.contacts[1]])[0] == "active"
