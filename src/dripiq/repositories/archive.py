"""How is what a provider tells us kept before anything is made of it?

Each tenant's slice of a request becomes one row of `webhook_deliveries`; what no tenant can be found for goes to `webhook_quarantine`. The same slice
again meets its hash and changes nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from dripiq.schema.ids import new_ids

INSERT_DELIVERIES = text(
    """
    INSERT INTO dripiq_app.webhook_deliveries (
        tenant_id, id, provider, received_at, signature_valid, raw, payload, payload_hash, status, created_at, updated_at
    )
    SELECT tenant_id, id, :provider, :now, true, raw, CASE WHEN fits_jsonb THEN CAST(convert_from(raw, 'UTF8') AS jsonb) END, payload_hash,
        'received', :now, :now
    FROM unnest(CAST(:tenant_ids AS text[]), CAST(:ids AS text[]), CAST(:raws AS bytea[]), CAST(:fit AS bool[]), CAST(:hashes AS text[]))
        AS slice (tenant_id, id, raw, fits_jsonb, payload_hash)
    ON CONFLICT (tenant_id, provider, payload_hash) DO NOTHING
    RETURNING id
    """
)

INSERT_QUARANTINED = text(
    """
    INSERT INTO dripiq_app.webhook_quarantine (id, provider, received_at, reason, raw, payload_hash, created_at, updated_at)
    SELECT id, :provider, :now, reason, raw, payload_hash, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[]), CAST(:raws AS bytea[]), CAST(:hashes AS text[])) AS slice (id, reason, raw, payload_hash)
    ON CONFLICT (provider, payload_hash) DO NOTHING
    RETURNING id
    """
)

FIND_TENANTS = text("SELECT id FROM dripiq_app.tenants WHERE id = ANY (CAST(:ids AS text[]))")

FIND_TENANTS_BY_PROVIDER_ID = text(
    """
    SELECT provider_message_id, min(tenant_id) AS tenant_id
    FROM dripiq_app.outbound_messages
    WHERE provider = :provider AND provider_message_id = ANY (CAST(:ids AS text[]))
    GROUP BY provider_message_id
    HAVING count(DISTINCT tenant_id) = 1
    """
)
"""The look-up that finds out whose an event is; an id that two tenants know is nobody's."""

NOTIFY_WORK = text("SELECT pg_notify('dripiq_work', '')")


@dataclass(frozen=True, slots=True)
class Slice:
    """One tenant's part of a request: its bytes as received, and whether jsonb can hold them."""

    tenant_id: str
    raw: bytes
    fits_jsonb: bool


@dataclass(frozen=True, slots=True)
class Stray:
    """A part of a request that could not be routed, and why (a code)."""

    reason: str
    raw: bytes


def archive(connection: Connection, provider: str, slices: Sequence[Slice], now: datetime) -> int:
    """Store slices; how many were new."""
    if not slices:
        return 0
    rows = connection.execute(
        INSERT_DELIVERIES,
        {
            "provider": provider,
            "now": now,
            "tenant_ids": [s.tenant_id for s in slices],
            "ids": new_ids(len(slices)),
            "raws": [s.raw for s in slices],
            "fit": [s.fits_jsonb for s in slices],
            "hashes": [hashlib.sha256(s.raw).hexdigest() for s in slices],
        },
    )
    return len(rows.all())


def quarantine(connection: Connection, provider: str, strays: Sequence[Stray], now: datetime) -> int:
    """Store what cannot be routed; how many were new."""
    if not strays:
        return 0
    rows = connection.execute(
        INSERT_QUARANTINED,
        {
            "provider": provider,
            "now": now,
            "ids": new_ids(len(strays)),
            "reasons": [s.reason for s in strays],
            "raws": [s.raw for s in strays],
            "hashes": [hashlib.sha256(s.raw).hexdigest() for s in strays],
        },
    )
    return len(rows.all())


def find_tenants(connection: Connection, tenant_ids: Iterable[str]) -> set[str]:
    """Which of these tenants exist."""
    return set(connection.execute(FIND_TENANTS, {"ids": sorted(set(tenant_ids))}).scalars())


def find_tenants_by_provider_id(connection: Connection, provider: str, message_ids: Iterable[str]) -> dict[str, str]:
    """The tenant of each of the provider's message ids that exactly one tenant knows."""
    rows = connection.execute(FIND_TENANTS_BY_PROVIDER_ID, {"provider": provider, "ids": sorted(set(message_ids))})
    return {row.provider_message_id: row.tenant_id for row in rows}


def notify_work(connection: Connection) -> None:
    """Wake waiting workers when this transaction commits."""
    connection.execute(NOTIFY_WORK)
