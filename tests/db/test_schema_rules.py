"""What the database itself refuses, fills in, deletes and forgets, whoever writes to it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
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

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)

# One row of each table for tenant `t`, with nothing but what must be given; "$" stands for the tenant's name in ids.
ROWS: dict[str, dict[str, Any]] = {
    "tenants": {"id": "$", "name": "Acme"},
    "users": {"id": "$user", "email": "ann@example.com", "name": "Ann"},
    "leads": {"id": "$lead", "tenant_id": "$", "name": "Example"},
    "lead_point_of_contacts": {
        "id": "$contact",
        "tenant_id": "$",
        "lead_id": "$lead",
        "name": "Bob",
        "email": "bob@example.com",
    },
    "email_sender_identities": {
        "user_id": "$user",
        "from_email": "ann@example.com",
        "from_name": "Ann",
        "domain": "example.com",
    },
    "contact_campaigns": {
        "lead_id": "$lead",
        "contact_id": "$contact",
        "channel": "email",
        "plan_json": {},
        "plan_hash": "h",
        "sender_identity_id": "email_sender_identities",
    },
    "campaign_plan_versions": {
        "contact_campaign_id": "contact_campaigns",
        "version": "1.0",
        "plan_json": {},
        "plan_hash": "h",
        "generated_by": "manual",
        "created_by": "$user",
    },
    "scheduled_actions": {
        "contact_campaign_id": "contact_campaigns",
        "node_id": "n",
        "visit": 1,
        "action_type": "send",
        "run_at": NOW,
        "dedupe_key": "k",
    },
    "outbound_messages": {
        "contact_campaign_id": "contact_campaigns",
        "contact_id": "$contact",
        "node_id": "n",
        "visit": 1,
        "channel": "email",
        "sender_identity_id": "email_sender_identities",
        "to_address": "bob@example.com",
        "body": "Hello",
        "provider": "folder",
        "dedupe_key": "k",
    },
    "message_events": {
        "outbound_message_id": "outbound_messages",
        "contact_campaign_id": "contact_campaigns",
        "provider": "sendgrid",
        "event_type": "opened",
        "event_at": NOW,
        "provider_event_id": "e",
    },
    "webhook_deliveries": {
        "provider": "sendgrid",
        "received_at": NOW,
        "signature_valid": True,
        "raw": b"[]",
        "payload_hash": "h",
    },
    "inbound_messages": {
        "contact_campaign_id": "contact_campaigns",
        "contact_id": "$contact",
        "channel": "email",
        "to_address": "ann@example.com",
        "from_address": "bob@example.com",
        "provider_message_id": "m",
        "received_at": NOW,
    },
    "communication_suppressions": {
        "channel": "email",
        "value": "bob@example.com",
        "scope": "address",
        "type": "manual",
        "source": "manual",
        "first_seen_at": NOW,
        "last_seen_at": NOW,
    },
    "send_rate_limits": {"channel": "email", "scope": "domain"},
    "email_validation_results": {
        "contact_id": "$contact",
        "email": "bob@example.com",
        "result_status": "valid",
        "source": "test",
        "validated_at": NOW,
    },
    "contact_channels": {"contact_id": "$contact", "channel": "email", "value": "bob@example.com"},
    "campaign_transitions": {
        "contact_campaign_id": "contact_campaigns",
        "seq": 1,
        "to_status": "active",
        "trigger": "start",
        "at": NOW,
    },
    "tenant_settings": {},
}
HOST_TABLES = ("tenants", "users", "leads", "lead_point_of_contacts")


def values_of(table: str, tenant: str = "t", **changes: object) -> dict[str, Any]:
    """The row of a table for a tenant; a campaign table's row has the table's name as its id."""
    values = {
        name: value.replace("$", tenant) if isinstance(value, str) else value for name, value in ROWS[table].items()
    }
    if table not in HOST_TABLES:
        values |= {"tenant_id": tenant, "id": table}
    return values | changes


def add(connection: Connection, table: str, tenant: str = "t", **changes: Any) -> None:
    connection.execute(insert(Base.metadata.tables[f"dripiq_app.{table}"]).values(values_of(table, tenant, **changes)))


def add_everything(connection: Connection, tenant: str = "t") -> None:
    for table in ROWS:
        add(connection, table, tenant)


def rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(Base.metadata.tables[f"dripiq_app.{table}"])).mappings()]


def refused(connection: Connection, constraint: str, attempt: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=constraint), connection.begin_nested():
        attempt()


@pytest.mark.parametrize(
    ("table", "defaults"),
    [
        ("email_sender_identities", {"validation_status": "pending", "is_default": False}),
        (
            "contact_campaigns",
            {"status": "draft", "visit": 0, "visits": {}, "transition_seq": 0, "plan_version": "1.0"},
        ),
        ("scheduled_actions", {"status": "pending", "attempts": 0, "job_id": None, "lease_until": None}),
        ("outbound_messages", {"status": "queued", "attempts": 0}),
        ("message_events", {"confidence": "unknown"}),
        ("webhook_deliveries", {"status": "received", "attempts": 0}),
        ("inbound_messages", {"classification": "unknown"}),
        ("contact_channels", {"is_primary": False}),
        ("tenant_settings", {"in_doubt_policy": "assume_sent", "in_doubt_after": timedelta(hours=24)}),
    ],
)
def test_what_is_not_given_is_filled_in(connection: Connection, table: str, defaults: dict[str, object]) -> None:
    add_everything(connection)
    (row,) = rows(connection, table)

    assert {name: row[name] for name in defaults} == defaults


@pytest.mark.parametrize("table", ROWS)
def test_every_row_knows_when_it_came_in_utc(connection: Connection, table: str) -> None:
    add_everything(connection)
    (row,) = rows(connection, table)

    assert row["created_at"] == row["updated_at"] == connection.exec_driver_sql("SELECT now()").scalar_one()
    assert row["created_at"].tzinfo is not None


@pytest.mark.parametrize(
    ("table", "constraint", "changes"),
    [
        ("email_sender_identities", "tenant_email_unique", {}),
        ("contact_campaigns", "contact_channel_unique", {}),
        ("campaign_plan_versions", "uq_campaign_plan_versions", {}),
        ("scheduled_actions", "uq_scheduled_actions_tenant_id_dedupe_key", {}),
        ("outbound_messages", "uq_outbound_messages_tenant_id_dedupe_key", {}),
        ("message_events", "tenant_id_provider_provider_event_id_event_at", {}),
        ("webhook_deliveries", "uq_webhook_deliveries_tenant_id_provider_payload_hash", {}),
        ("inbound_messages", "uq_inbound_messages_tenant_id_channel_provider_message_id", {}),
        ("communication_suppressions", "uq_communication_suppressions_tenant_id_channel_value_type", {}),
        ("send_rate_limits", "uq_send_rate_limits_tenant_id_channel_scope_scope_value", {}),
        ("email_validation_results", "uq_email_validation_results_tenant_id_email", {}),
        ("contact_channels", "uq_contact_channels_tenant_id_contact_id_channel_value", {}),
        ("campaign_transitions", "uq_campaign_transitions_tenant_id_contact_campaign_id_seq", {}),
        ("tenant_settings", "uq_tenant_settings_tenant_id", {}),
        ("lead_point_of_contacts", "uq_lead_point_of_contacts_tenant_id_external_ref", {"external_ref": "crm-1"}),
    ],
)
def test_the_same_thing_is_not_stored_twice_for_a_tenant_but_may_be_for_another(
    connection: Connection, table: str, constraint: str, changes: dict[str, Any]
) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")
    if changes:
        add(connection, table, id="first", **changes)
        add(connection, table, "other", id="elsewhere", **changes)

    # PostgreSQL names a partition's copy of a key by its columns, cut to 63 bytes.
    name = "provider_event_id" if table == "message_events" else constraint
    refused(connection, name, lambda: add(connection, table, id="again", **changes))


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
    ("table", "column", "value"),
    [
        ("contact_campaigns", "status", "finished"),
        ("contact_campaigns", "channel", "fax"),
        ("campaign_plan_versions", "generated_by", "magic"),
        ("scheduled_actions", "action_type", "call"),
        ("outbound_messages", "status", "lost"),
        ("message_events", "event_type", "open"),
        ("message_events", "confidence", "certain"),
        ("webhook_deliveries", "status", "new"),
        ("inbound_messages", "classification", "spam"),
        ("communication_suppressions", "scope", "company"),
        ("communication_suppressions", "type", "other"),
        ("communication_suppressions", "source", "rumour"),
        ("send_rate_limits", "scope", "planet"),
        ("email_validation_results", "result_status", "maybe"),
        ("campaign_transitions", "to_status", "gone"),
        ("tenant_settings", "in_doubt_policy", "guess"),
    ],
)
def test_a_word_outside_its_vocabulary_is_refused(connection: Connection, table: str, column: str, value: str) -> None:
    add_everything(connection)
    change = update(Base.metadata.tables[f"dripiq_app.{table}"]).values({column: value})

    refused(connection, f"ck_{table}_{column}", lambda: connection.execute(change))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("email_sender_identities", "from_email"),
        ("email_sender_identities", "domain"),
        ("email_sender_identities", "reply_to"),
        ("outbound_messages", "to_address"),
        ("inbound_messages", "to_address"),
        ("inbound_messages", "from_address"),
        ("communication_suppressions", "value"),
        ("email_validation_results", "email"),
        ("contact_channels", "value"),
        ("send_rate_limits", "scope_value"),
    ],
)
def test_an_address_with_capitals_is_refused(connection: Connection, table: str, column: str) -> None:
    add_everything(connection)
    change = update(Base.metadata.tables[f"dripiq_app.{table}"]).values({column: "Bob@Example.com"})

    refused(connection, f"ck_{table}_{column}_lower", lambda: connection.execute(change))


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


CROSSINGS = [
    (table, column)
    for table, row in ROWS.items()
    for column, value in row.items()
    if isinstance(value, str) and value in ROWS and (table, column) != ("message_events", "contact_campaign_id")
]


@pytest.mark.parametrize(("table", "column"), CROSSINGS)
def test_a_row_cannot_point_into_another_tenant(connection: Connection, table: str, column: str) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")
    parent = Base.metadata.tables[f"dripiq_app.{ROWS[table][column]}"]
    foreign_row = values_of(ROWS[table][column], "other", id="theirs") | {"dedupe_key": "x"}
    foreign_row = {name: value for name, value in foreign_row.items() if name in parent.columns}
    distinct = {"email_sender_identities": {"from_email": "x@example.com"}, "contact_campaigns": {"channel": "sms"}}
    connection.execute(insert(parent).values(foreign_row | distinct.get(parent.name, {})))

    child = Base.metadata.tables[f"dripiq_app.{table}"]
    change = update(child).where(child.c.tenant_id == "t").values({column: "theirs"})
    refused(connection, f"tenant_id_{column}", lambda: connection.execute(change))


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
        ("users", {"email_sender_identities"}),
        ("leads", OF_A_CAMPAIGN | {"lead_point_of_contacts", "contact_channels", "email_validation_results"}),
        ("lead_point_of_contacts", OF_A_CAMPAIGN | {"contact_channels", "email_validation_results"}),
        ("contact_campaigns", OF_A_CAMPAIGN - {"contact_campaigns"}),
        ("outbound_messages", {"message_events"}),
        ("email_sender_identities", set()),
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


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (
            "email_sender_identities",
            {"contact_campaigns": "sender_identity_id", "outbound_messages": "sender_identity_id"},
        ),
        ("users", {"campaign_plan_versions": "created_by"}),
        ("lead_point_of_contacts", {"inbound_messages": "contact_id"}),
        ("contact_campaigns", {"inbound_messages": "contact_campaign_id"}),
    ],
)
def test_a_row_that_outlives_its_parent_forgets_it_but_not_its_tenant(
    connection: Connection, parent: str, children: dict[str, str]
) -> None:
    add_everything(connection)

    connection.execute(Base.metadata.tables[f"dripiq_app.{parent}"].delete())

    for child, column in children.items():
        (row,) = rows(connection, child)
        assert (row["tenant_id"], row[column]) == ("t", None)


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
