"""Which rows of a filled database can its statements be tried on, and what do its indexes weigh?

For measuring: nothing here is part of the engine's work.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ForeignKeyConstraint, Table, TextClause, text

READ_NOW = text(
    "SELECT max(lease_until) - INTERVAL '2 minutes' FROM dripiq_app.scheduled_actions WHERE status = 'queued'"
)
"""When the seeded history ends: its leases have two minutes left."""

READ_BIGGEST_TENANT = text(
    "SELECT tenant_id FROM dripiq_app.contact_campaigns GROUP BY tenant_id ORDER BY count(*) DESC LIMIT 1"
)

READ_CAMPAIGNS = text(
    """
    SELECT campaign.id, campaign.contact_id, campaign.lead_id, campaign.sender_identity_id, campaign.plan_hash, campaign.plan_json::text AS plan,
        campaign.transition_seq, campaign.started_at, lower(contact.email) AS address
    FROM dripiq_app.contact_campaigns AS campaign
    JOIN dripiq_app.lead_point_of_contacts AS contact ON contact.id = campaign.contact_id
    WHERE campaign.tenant_id = :tenant_id AND campaign.status = 'active'
    ORDER BY campaign.id LIMIT :limit
    """
)

READ_MESSAGES = text(
    """
    SELECT id, contact_campaign_id, provider_message_id, dedupe_key, attempts, sent_at FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND sent_at IS NOT NULL
    ORDER BY id LIMIT :limit
    """
)

READ_IN_HAND = text(
    """
    SELECT id, attempts, status FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND status IN ('queued', 'sending', 'in_doubt')
    ORDER BY id
    """
)

READ_LEASED = text(
    """
    SELECT id, job_id FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND status = 'queued' AND lease_until > :now
    ORDER BY id LIMIT :limit
    """
)

READ_DELIVERIES = text(
    "SELECT id FROM dripiq_app.webhook_deliveries WHERE tenant_id = :tenant_id AND status = 'received' ORDER BY id LIMIT :limit"
)

READ_INBOUND = text(
    "SELECT provider_message_id FROM dripiq_app.inbound_messages WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit"
)

READ_INDEXES = text(
    """
    WITH ours AS (
        SELECT class.oid, class.relname AS name, owner.relname AS table_name, held.indisunique AS is_unique, held.indisprimary AS is_primary,
            constraint_of.conname IS NOT NULL AS is_constraint, held.indpred IS NOT NULL AS is_partial, pg_get_indexdef(class.oid) AS definition
        FROM pg_index AS held
        JOIN pg_class AS class ON class.oid = held.indexrelid
        JOIN pg_class AS owner ON owner.oid = held.indrelid
        LEFT JOIN pg_constraint AS constraint_of ON constraint_of.conindid = class.oid AND constraint_of.contype IN ('p', 'u')
        WHERE class.relnamespace = CAST('dripiq_app' AS regnamespace) AND NOT class.relispartition AND owner.relname NOT LIKE 'dripiq_%'
    )
    SELECT ours.*, coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(ours.oid)), pg_relation_size(ours.oid)) AS bytes
    FROM ours
    ORDER BY table_name, name
    """
)

READ_INDEX_PARENTS = text(
    """
    SELECT child.relname AS name, parent.relname AS parent
    FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid AND child.relkind IN ('i', 'I')
    JOIN pg_class AS parent ON parent.oid = inhparent
    """
)

READ_TABLES = text(
    """
    SELECT class.relname AS name,
        coalesce((SELECT sum(pg_table_size(relid)) FROM pg_partition_tree(class.oid)), pg_table_size(class.oid)) AS bytes,
        coalesce((SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree(class.oid) WHERE isleaf), pg_indexes_size(class.oid)) AS index_bytes,
        coalesce(
            (SELECT sum(greatest(leaf.reltuples, 0)) FROM pg_partition_tree(class.oid) JOIN pg_class AS leaf ON leaf.oid = relid AND isleaf),
            greatest(class.reltuples, 0)
        ) AS rows
    FROM pg_class AS class
    WHERE class.relnamespace = CAST('dripiq_app' AS regnamespace) AND class.relkind IN ('r', 'p') AND NOT class.relispartition
      AND class.relname NOT LIKE 'dripiq_%'
    ORDER BY class.relname
    """
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of the tenant that has the most, and the time at which the seeded history ends."""

    now: datetime
    tenant_id: str
    campaigns: tuple[Any, ...]
    messages: tuple[Any, ...]
    in_hand: tuple[Any, ...]
    leased: tuple[Any, ...]
    delivery_ids: tuple[str, ...]
    inbound_ids: tuple[str, ...]


def read_sample(connection: Connection, size: int) -> Sample:
    """Read at most `size` rows of each kind from a database that was filled by `seed_bulk`."""
    now = connection.execute(READ_NOW).scalar_one()
    tenant_id = connection.execute(READ_BIGGEST_TENANT).scalar_one()
    of_tenant = {"tenant_id": tenant_id, "limit": size, "now": now}
    return Sample(
        now=now,
        tenant_id=tenant_id,
        campaigns=tuple(connection.execute(READ_CAMPAIGNS, of_tenant)),
        messages=tuple(connection.execute(READ_MESSAGES, of_tenant)),
        in_hand=tuple(connection.execute(READ_IN_HAND, of_tenant)),
        leased=tuple(connection.execute(READ_LEASED, of_tenant)),
        delivery_ids=tuple(connection.execute(READ_DELIVERIES, of_tenant).scalars()),
        inbound_ids=tuple(connection.execute(READ_INBOUND, of_tenant).scalars()),
    )


def key_check(key: ForeignKeyConstraint) -> TextClause:
    """What PostgreSQL looks up in a table when a row that it refers to is deleted; a parameter for each column of the key."""
    wanted = " AND ".join(f"{column.name} = :{column.name}" for column in key.columns)
    return text(f"SELECT FROM {_name(key)} WHERE {wanted}")


def read_key(connection: Connection, key: ForeignKeyConstraint) -> dict[str, Any]:
    """The columns of a key in some row that has it; nulls where none does."""
    names = [column.name for column in key.columns]
    present = " AND ".join(f"{name} IS NOT NULL" for name in names)
    query = text(f"SELECT {', '.join(names)} FROM {_name(key)} WHERE {present} OFFSET 5 LIMIT 1")  # noqa: S608
    row = connection.execute(query).mappings().first()
    return dict(row) if row is not None else dict.fromkeys(names)


def _name(key: ForeignKeyConstraint) -> str:
    table = key.parent
    assert isinstance(table, Table)
    return table.fullname


def drop_index(connection: Connection, table: str, name: str, *, is_constraint: bool) -> None:
    """Drop an index, and what stands on it, in a transaction that is rolled back."""
    if is_constraint:
        connection.exec_driver_sql(f"ALTER TABLE dripiq_app.{table} DROP CONSTRAINT {name} CASCADE")
    else:
        connection.exec_driver_sql(f"DROP INDEX dripiq_app.{name}")
