"""How much has left in this while, and how is it counted exactly, whoever sends?

Who commits sends of a tenant over a channel takes its turn (`LOCK_LIMITS`), reads the buckets by a later statement, and writes them in the same transaction.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.buckets import Booking, Bucket
from dripiq.domain.limits import Key, Period
from dripiq.domain.states import Channel, LimitScope
from dripiq.schema.ids import new_ids

READ_LIMITS = text(
    """
    SELECT scope, scope_value, max_per_minute, max_per_hour, max_per_day, ramp
    FROM dripiq_app.send_rate_limits
    WHERE tenant_id = :tenant_id AND channel = :channel AND (scope_value IS NULL OR scope_value = ANY (CAST(:values AS text[])))
    """
)

LOCK_LIMITS = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('dripiq.limits:' || tenant_id || ':' || channel, 0))
    FROM (VALUES (CAST(:tenant_id AS text), CAST(:channel AS text))) AS t (tenant_id, channel)
    """
)
"""Nearly every send counts in its tenant's bucket, so that a lock on the rows would make them wait just so; this one needs no row, and no order."""

READ_BUCKETS = text(
    """
    SELECT bucket.scope, bucket.scope_value, bucket.period, bucket.first_slice, bucket.taken
    FROM unnest(CAST(:scopes AS text[]), CAST(:values AS text[]), CAST(:periods AS text[])) AS wanted (scope, value, period)
    JOIN dripiq_app.send_rate_buckets AS bucket
        ON bucket.tenant_id = :tenant_id AND bucket.channel = :channel AND bucket.scope = wanted.scope
        AND bucket.scope_value = wanted.value AND bucket.period = wanted.period
    """
)

WRITE_BUCKETS = text(
    """
    INSERT INTO dripiq_app.send_rate_buckets (
        tenant_id, id, channel, scope, scope_value, period, first_slice, taken, created_at, updated_at
    )
    SELECT :tenant_id, id, :channel, scope, value, period, first_slice, CAST(taken AS jsonb), :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:scopes AS text[]), CAST(:values AS text[]), CAST(:periods AS text[]), CAST(:first_slices AS bigint[]),
        CAST(:takens AS text[])
    ) AS bucket (id, scope, value, period, first_slice, taken)
    ON CONFLICT (tenant_id, channel, scope, scope_value, period) DO UPDATE
    SET first_slice = excluded.first_slice, taken = excluded.taken, updated_at = excluded.updated_at
    """
)

BOOK_SLOTS = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET slot = CAST(booking.slot AS jsonb), updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:slots AS text[])) AS booking (id, slot)
    WHERE message.tenant_id = :tenant_id AND message.id = booking.id AND message.status = 'queued'
    """
)
"""Null says that a message has none any more. `COMMIT_TO_SEND` takes a slot from its message: it is used once."""

READ_BOOKING = text(
    """
    SELECT slot FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND contact_campaign_id = :campaign_id AND node_id = :node_id AND visit = :visit AND status = 'queued'
    """
)


LIST_LIMITS = text(
    """
    SELECT said.channel, said.scope, coalesce(sender.from_email, said.scope_value) AS scope_value, said.max_per_minute, said.max_per_hour,
        said.max_per_day, said.ramp
    FROM dripiq_app.send_rate_limits AS said
    LEFT JOIN dripiq_app.email_sender_identities AS sender
        ON sender.tenant_id = :tenant_id AND said.scope = 'sender' AND sender.id = said.scope_value
    WHERE said.tenant_id = :tenant_id
    ORDER BY said.channel, said.scope, said.scope_value NULLS FIRST
    """
)

WRITE_LIMIT = text(
    """
    INSERT INTO dripiq_app.send_rate_limits (
        tenant_id, id, channel, scope, scope_value, max_per_minute, max_per_hour, max_per_day, ramp, created_at, updated_at
    )
    VALUES (
        :tenant_id, :id, :channel, :scope, :value, :max_per_minute, :max_per_hour, :max_per_day, CAST(:ramp AS jsonb), :now, :now
    )
    ON CONFLICT (tenant_id, channel, scope, scope_value) DO UPDATE
    SET max_per_minute = excluded.max_per_minute, max_per_hour = excluded.max_per_hour, max_per_day = excluded.max_per_day,
        ramp = excluded.ramp, updated_at = excluded.updated_at
    """
)

DELETE_LIMIT = text(
    """
    DELETE FROM dripiq_app.send_rate_limits
    WHERE tenant_id = :tenant_id AND channel = :channel AND scope = :scope AND scope_value IS NOT DISTINCT FROM CAST(:value AS text)
    """
)


FIND_IDLE_TENANTS = text(
    """
    SELECT DISTINCT tenant_id FROM dripiq_app.send_rate_buckets WHERE updated_at < :before ORDER BY tenant_id LIMIT :limit
    """
)

PRUNE_BUCKETS = text("DELETE FROM dripiq_app.send_rate_buckets WHERE tenant_id = :tenant_id AND updated_at < :before")
"""One that somebody counts in meanwhile is looked at again by PostgreSQL, and stays."""


def find_idle_tenants(connection: Connection, before: datetime, limit: int) -> list[str]:
    """Tenants with buckets in which nothing was counted since `before`."""
    return list(connection.execute(FIND_IDLE_TENANTS, {"before": before, "limit": limit}).scalars())


def prune_buckets(connection: Connection, tenant_id: str, before: datetime) -> int:
    """Delete a tenant's buckets in which nothing was counted since `before`; how many."""
    return connection.execute(PRUNE_BUCKETS, {"tenant_id": tenant_id, "before": before}).rowcount


def read_limits(connection: Connection, tenant_id: str, channel: Channel, values: Iterable[str]) -> Sequence[Any]:
    """A tenant's limits for each one of a scope, and those for these senders (by id) and domains."""
    return connection.execute(
        READ_LIMITS, {"tenant_id": tenant_id, "channel": channel, "values": sorted(set(values))}
    ).all()


def lock_limits(connection: Connection, tenant_id: str, channel: Channel) -> None:
    """Wait for one's turn to count what leaves, and keep it until the transaction ends."""
    connection.execute(LOCK_LIMITS, {"tenant_id": tenant_id, "channel": channel})


def read_buckets(
    connection: Connection, tenant_id: str, channel: Channel, wanted: Mapping[Key, int]
) -> dict[Key, Bucket]:
    """The buckets of these keys, those that there are not yet empty. Who is to change them has taken its turn before.

    Args:
        wanted: how much each allows.
    """
    parameters = {
        "tenant_id": tenant_id,
        "channel": channel,
        "scopes": [str(key.scope) for key in wanted],
        "values": [key.value for key in wanted],
        "periods": [str(key.period) for key in wanted],
    }
    stored = {
        Key(LimitScope(row.scope), row.scope_value, Period(row.period)): (row.first_slice, row.taken)
        for row in connection.execute(READ_BUCKETS, parameters)
    }
    return {key: Bucket(key, most, *stored.get(key, (0, ()))) for key, most in wanted.items()}


def write_buckets(
    connection: Connection, tenant_id: str, channel: Channel, buckets: Sequence[Bucket], now: datetime
) -> None:
    """Store what buckets hold by now."""
    if not buckets:
        return
    counts = [bucket.stored(now) for bucket in buckets]
    connection.execute(
        WRITE_BUCKETS,
        {
            "tenant_id": tenant_id,
            "channel": channel,
            "now": now,
            "ids": new_ids(len(buckets)),
            "scopes": [str(bucket.key.scope) for bucket in buckets],
            "values": [bucket.key.value for bucket in buckets],
            "periods": [str(bucket.key.period) for bucket in buckets],
            "first_slices": [first for first, _ in counts],
            "takens": [json.dumps(taken) for _, taken in counts],
        },
    )


def book_slots(connection: Connection, tenant_id: str, slots: Mapping[str, Booking | None], now: datetime) -> None:
    """Give messages (by id) their slots, or none."""
    if not slots:
        return
    stored = [json.dumps(booking.as_json()) if booking is not None else None for booking in slots.values()]
    connection.execute(BOOK_SLOTS, {"tenant_id": tenant_id, "ids": list(slots), "slots": stored, "now": now})


def read_booking(connection: Connection, tenant_id: str, campaign_id: str, node_id: str, visit: int) -> Booking | None:
    """The slot that a visit's message has, if it has one."""
    parameters = {"tenant_id": tenant_id, "campaign_id": campaign_id, "node_id": node_id, "visit": visit}
    stored = connection.execute(READ_BOOKING, parameters).scalar()
    return Booking.from_json(stored) if stored is not None else None


def write_limit(
    connection: Connection,
    tenant_id: str,
    channel: Channel,
    scope: LimitScope,
    value: str | None,
    maxima: Mapping[Period, int],
    ramp: Mapping[str, Any] | None,
    now: datetime,
) -> None:
    """Store a limit in the place of the one with that key."""
    connection.execute(
        WRITE_LIMIT,
        {
            "tenant_id": tenant_id,
            "id": new_ids(1)[0],
            "channel": channel,
            "scope": scope,
            "value": value,
            **{f"max_per_{period}": maxima.get(period) for period in Period},
            "ramp": json.dumps(ramp) if ramp is not None else None,
            "now": now,
        },
    )


def delete_limit(
    connection: Connection, tenant_id: str, channel: Channel, scope: LimitScope, value: str | None
) -> bool:
    """Take a limit away; whether there was one."""
    key = {"tenant_id": tenant_id, "channel": channel, "scope": scope, "value": value}
    return connection.execute(DELETE_LIMIT, key).rowcount > 0


def list_limits(connection: Connection, tenant_id: str) -> Sequence[Any]:
    """All of a tenant's limits, those for each one of a scope first; a sender by its address."""
    return connection.execute(LIST_LIMITS, {"tenant_id": tenant_id}).all()
