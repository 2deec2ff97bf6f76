"""What the database refuses, fills in, deletes and forgets beyond the contract's lines, whoever writes to it, and how the entities read it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.orm import Session

from dripiq.domain.states import ActionStatus, CampaignStatus, MessageStatus
from dripiq.schema import (
    Base,
    CommunicationSuppression,
    ContactCampaign,
    InboundMessage,
    LeadPointOfContact,
    OutboundMessage,
    ScheduledAction,
    SendRateLimit,
    Tenant,
)
from tests.db.schema_rows import HOST_TABLES, NOW, ROWS, add, add_everything, refused, rows, values_of


def test_a_tenants_settings_have_defaults_and_are_there_once(connection: Connection) -> None:
    add_everything(connection)
    (row,) = rows(connection, "tenant_settings")

    assert (row["in_doubt_policy"], row["in_doubt_after"]) == ("assume_sent", timedelta(hours=24))
    refused(connection, "uq_tenant_settings_tenant_id", lambda: add(connection, "tenant_settings", id="again"))
    guess = update(Base.metadata.tables["dripiq_app.tenant_settings"]).values(in_doubt_policy="guess")
    refused(connection, "ck_tenant_settings_in_doubt_policy", lambda: connection.execute(guess))


def test_an_external_reference_names_one_contact_of_a_tenant(connection: Connection) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")
    for tenant in ("t", "other"):
        add(connection, "lead_point_of_contacts", tenant, id=f"{tenant}first", external_ref="crm-1")

    refused(
        connection,
        "uq_lead_point_of_contacts_tenant_id_external_ref",
        lambda: add(connection, "lead_point_of_contacts", id="again", external_ref="crm-1"),
    )


@pytest.mark.parametrize("table", ROWS)
def test_every_row_knows_when_it_came_in_utc(connection: Connection, table: str) -> None:
    add_everything(connection)
    (row,) = rows(connection, table)

    assert row["created_at"] == row["updated_at"] == connection.exec_driver_sql("SELECT now()").scalar_one()
    assert row["created_at"].tzinfo is not None


def test_the_same_event_at_another_time_is_another_event(connection: Connection) -> None:
    add_everything(connection)
    add(connection, "message_events", id="later", event_at=NOW + timedelta(seconds=1))

    assert len(rows(connection, "message_events")) == 2


def test_a_user_has_one_default_sender_and_a_contact_one_primary_address_a_channel(connection: Connection) -> None:
    add_everything(connection)
    add(connection, "email_sender_identities", id="a", from_email="a@example.com", is_default=True)
    add(connection, "contact_channels", id="a", value="a@example.com", is_primary=True)
    add(connection, "contact_channels", id="sms", channel="sms", value="+41791234567", is_primary=True)

    second_sender: dict[str, Any] = {"id": "b", "from_email": "b@example.com", "is_default": True}
    refused(
        connection,
        "uq_email_sender_identities_default",
        lambda: add(connection, "email_sender_identities", **second_sender),
    )
    second_address: dict[str, Any] = {"id": "b", "value": "b@example.com", "is_primary": True}
    refused(connection, "uq_contact_channels_primary", lambda: add(connection, "contact_channels", **second_address))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "queued"},
        {"status": "queued", "job_id": "j"},
        {"status": "queued", "lease_until": NOW},
        {"status": "pending", "job_id": "j", "lease_until": NOW},
        {"status": "completed", "job_id": "j"},
        {"status": "error", "lease_until": NOW},
    ],
)
def test_an_action_has_a_lease_while_it_is_queued_and_only_then(
    connection: Connection, changes: dict[str, Any]
) -> None:
    add_everything(connection)

    refused(
        connection, "ck_scheduled_actions_lease", lambda: connection.execute(update(ScheduledAction).values(changes))
    )
    connection.execute(update(ScheduledAction).values(status="queued", job_id="j", lease_until=NOW))


def test_a_limits_domain_is_lower_case_and_a_senders_id_is_as_it_is(connection: Connection) -> None:
    add_everything(connection)
    add(connection, "send_rate_limits", id="sender", scope="sender", scope_value="Id")
    capitals = {"id": "domain", "scope": "domain", "scope_value": "Example.com"}

    refused(
        connection,
        "ck_send_rate_limits_scope_value_lower",
        lambda: add(connection, "send_rate_limits", **capitals),
    )


ALL_CAMPAIGN_TABLES = [table for table in ROWS if table not in HOST_TABLES]
OF_A_CAMPAIGN = {
    "contact_campaigns",
    "campaign_plan_versions",
    "scheduled_actions",
    "outbound_messages",
    "message_events",
    "campaign_transitions",
}


@pytest.mark.parametrize(
    ("parent", "gone"),
    [
        ("tenants", set(ALL_CAMPAIGN_TABLES) | {"leads", "lead_point_of_contacts"}),
        ("users", {"email_sender_identities", "sender_accounts"}),
        ("leads", OF_A_CAMPAIGN | {"lead_point_of_contacts", "contact_channels", "email_validation_results"}),
        ("lead_point_of_contacts", OF_A_CAMPAIGN | {"contact_channels", "email_validation_results"}),
        ("contact_campaigns", OF_A_CAMPAIGN - {"contact_campaigns"}),
        ("outbound_messages", {"message_events"}),
        ("email_sender_identities", {"sender_accounts"}),
    ],
)
def test_a_deleted_row_takes_with_it_what_is_its_own_and_nothing_else(
    connection: Connection, parent: str, gone: set[str]
) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")
    table = Base.metadata.tables[f"dripiq_app.{parent}"]
    owner = table.c.id == values_of(parent)["id"] if parent in HOST_TABLES else table.c.tenant_id == "t"

    connection.execute(table.delete().where(owner))

    left = {name: len(rows(connection, name)) for name in ROWS if name != parent}
    assert left == {name: 1 if name in gone else 2 for name in left}


def test_an_event_outlives_its_campaign_when_it_hangs_on_no_message(connection: Connection) -> None:
    add_everything(connection)
    add(connection, "message_events", id="loose", provider_event_id="loose", outbound_message_id=None)

    connection.execute(ContactCampaign.__table__.delete())  # type: ignore[attr-defined]

    assert [row["id"] for row in rows(connection, "message_events")] == ["loose"]


def test_words_are_read_as_members_of_their_vocabulary(connection: Connection) -> None:
    add_everything(connection)

    assert connection.execute(select(ContactCampaign.status)).scalar_one() is CampaignStatus.DRAFT
    assert connection.execute(select(OutboundMessage.status)).scalar_one() is MessageStatus.QUEUED
    pending = select(ScheduledAction.id).where(ScheduledAction.status == ActionStatus.PENDING)
    assert connection.execute(pending).scalars().all() == ["scheduled_actions"]


def test_none_is_stored_as_null_and_not_as_json_null(connection: Connection) -> None:
    add_everything(connection)
    add(connection, "scheduled_actions", id="none", dedupe_key="none", payload=None)
    add(connection, "scheduled_actions", id="some", dedupe_key="some", payload={"ü": [1, None]})

    stored = connection.exec_driver_sql(
        "SELECT id, payload::text FROM dripiq_app.scheduled_actions WHERE payload IS NOT NULL"
    )
    assert [(name, json.loads(payload)) for name, payload in stored] == [("some", {"ü": [1, None]})]


def test_updated_at_moves_with_an_update_through_the_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        add_everything(connection)
    with engine.begin() as connection:
        connection.execute(update(SendRateLimit).values(notes="slower"))
        (row,) = rows(connection, "send_rate_limits")

    assert row["updated_at"] > row["created_at"]


def test_relations_are_walked_both_ways_within_a_tenant(connection: Connection) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        campaign = session.get_one(ContactCampaign, ("t", "contact_campaigns"))

        assert campaign.tenant.id == "t"
        assert campaign.lead.contacts == [campaign.contact]
        assert campaign.contact.name == "Bob"
        assert campaign.sender_identity is not None
        assert campaign.sender_identity.contact_campaigns == [campaign]
        assert campaign.sender_identity.user.sender_identities == [campaign.sender_identity]
        assert [version.creator.id for version in campaign.plan_versions if version.creator] == ["tuser"]
        assert [action.contact_campaign for action in campaign.scheduled_actions] == [campaign]
        assert [transition.tenant_id for transition in campaign.transitions] == ["t"]
        (message,) = campaign.outbound_messages
        assert message.events == campaign.message_events
        assert [event.outbound_message for event in message.events] == [message]
        assert [event.contact_campaign for event in message.events] == [campaign]
        (reply,) = session.query(InboundMessage).filter_by(tenant_id="t")
        assert reply in campaign.inbound_messages
        assert reply.contact is campaign.contact
        assert len(campaign.tenant.communication_suppressions) == 1


def test_deleting_through_a_session_leaves_the_cascade_to_the_database(connection: Connection) -> None:
    add_everything(connection)
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        session.delete(session.get_one(Tenant, "t"))
        session.commit()

    assert rows(connection, "message_events") == []


def test_a_session_gives_new_rows_an_id_and_reads_a_host_only_for_what_every_host_has(connection: Connection) -> None:
    add_everything(connection)
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        values = values_of("communication_suppressions", value="new@example.com")
        del values["id"]
        suppression = CommunicationSuppression(**values)
        session.add(suppression)
        session.flush()
        assert len(suppression.id) == 24

        contact = session.query(LeadPointOfContact).one()
        assert {"tenant_id", "external_ref", "timezone"}.isdisjoint(contact.__dict__)
        assert contact.timezone is None
