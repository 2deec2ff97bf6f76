"""What is in the archive of a time, and what has been made of it already?

An event is met by (tenant, provider, provider_event_id), whatever its time: where a translation gives it another time than it was stored with, it is the
same event all the same.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.repositories.intake import Suppression

COUNT_ARCHIVED = text(
    """
    SELECT tenant_id, count(*) FILTER (WHERE status <> 'received') AS deliveries, count(*) FILTER (WHERE status = 'received') AS waiting
    FROM dripiq_app.webhook_deliveries
    WHERE provider = ANY (CAST(:providers AS text[])) AND received_at >= :since
        AND received_at < :until AND (CAST(:tenant_id AS text) IS NULL OR tenant_id = :tenant_id)
    GROUP BY tenant_id
    ORDER BY tenant_id
    """
)
"""Reads the archive once, of all tenants where none is named: a person asks for it, now and then."""

LIST_ARCHIVED = text(
    """
    SELECT id, length(raw) AS bytes FROM dripiq_app.webhook_deliveries
    WHERE tenant_id = :tenant_id AND provider = ANY (CAST(:providers AS text[])) AND status <> 'received' AND received_at >= :since AND received_at < :until
    ORDER BY received_at, id
    """
)
"""What waits to be worked for the first time is the worker's."""

READ_ARCHIVED = text(
    """
    SELECT id, provider, raw, status, error, received_at FROM dripiq_app.webhook_deliveries
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    ORDER BY received_at, id
    """
)

READ_KNOWN_EVENTS = text(
    """
    SELECT id, provider, provider_event_id, event_type, event_at, outbound_message_id, url, confidence
    FROM dripiq_app.message_events
    WHERE tenant_id = :tenant_id AND provider = ANY (CAST(:providers AS text[])) AND provider_event_id = ANY (CAST(:event_ids AS text[]))
    ORDER BY event_at, id
    """
)

READ_STATUSES = text(
    """
    SELECT id, status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    """
)

READ_COVERED = text(
    """
    SELECT wanted.position
    FROM unnest(CAST(:channels AS text[]), CAST(:values AS text[]), CAST(:types AS text[]), CAST(:seen_ats AS timestamptz[]))
        WITH ORDINALITY AS wanted (channel, value, type, seen_at, position)
    JOIN dripiq_app.communication_suppressions AS known
        ON known.tenant_id = :tenant_id AND known.channel = wanted.channel AND known.value = wanted.value AND known.type = wanted.type
    WHERE known.expires_at IS NULL OR known.expires_at > wanted.seen_at
    """
)
"""Also one that ended later than the event: somebody knew of it, and lifted it."""

WAIT_FOR_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('dripiq.normalise:' || :tenant_id, 0))")
"""The turn that a worker tries to take (`intake.TAKE_TURN`); it is let go after each of its batches."""


@dataclass(frozen=True, slots=True)
class Archived:
    """How many deliveries a tenant has of a time: worked ones, and those that wait to be worked."""

    tenant_id: str
    deliveries: int
    waiting: int


def count_archived(
    connection: Connection, providers: Iterable[str], since: datetime, until: datetime, tenant_id: str | None
) -> list[Archived]:
    """What was received from `since` up to `until`, by tenant; of one tenant where it is named."""
    parameters = {"providers": sorted(providers), "since": since, "until": until, "tenant_id": tenant_id}
    return [Archived(**row._mapping) for row in connection.execute(COUNT_ARCHIVED, parameters)]


def page_archived(
    connection: Connection,
    tenant_id: str,
    providers: Iterable[str],
    since: datetime,
    until: datetime,
    most: int,
    most_bytes: int,
) -> Iterator[list[str]]:
    """The ids of a tenant's worked deliveries, in the order in which they came, cut into pages; the transaction stays open for as long as they are asked for.

    Args:
        most, most_bytes: what a page may hold of deliveries and of their bytes; one that is larger is a page by itself.
    """
    parameters = {"tenant_id": tenant_id, "providers": sorted(providers), "since": since, "until": until}
    rows = connection.execute(LIST_ARCHIVED, parameters, execution_options={"stream_results": True})
    page: list[str] = []
    size = 0
    for row in rows:
        if page and (len(page) == most or size + row.bytes > most_bytes):
            yield page
            page, size = [], 0
        page.append(row.id)
        size += row.bytes
    if page:
        yield page


def read_archived(connection: Connection, tenant_id: str, ids: Sequence[str]) -> Sequence[Any]:
    """These deliveries, with their bytes."""
    return connection.execute(READ_ARCHIVED, {"tenant_id": tenant_id, "ids": list(ids)}).all()


def read_known_events(
    connection: Connection, tenant_id: str, named: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[Any]]:
    """The stored events of these (provider, id of the provider's), at whatever times."""
    wanted = set(named)
    known: dict[tuple[str, str], list[Any]] = {}
    providers, event_ids = sorted({provider for provider, _ in wanted}), sorted({id for _, id in wanted})
    for row in connection.execute(
        READ_KNOWN_EVENTS, {"tenant_id": tenant_id, "providers": providers, "event_ids": event_ids}
    ):
        known.setdefault((row.provider, row.provider_event_id), []).append(row)
    return known


def read_statuses(connection: Connection, tenant_id: str, message_ids: Collection[str]) -> dict[str, str]:
    """What is known of these messages."""
    rows = connection.execute(READ_STATUSES, {"tenant_id": tenant_id, "ids": sorted(message_ids)})
    return {row.id: row.status for row in rows}


def lacking(connection: Connection, tenant_id: str, wanted: Sequence[Suppression]) -> list[Suppression]:
    """Those of these suppressions that are not there."""
    if not wanted:
        return []
    parameters = {
        "tenant_id": tenant_id,
        "channels": [each.channel for each in wanted],
        "values": [each.value for each in wanted],
        "types": [each.type for each in wanted],
        "seen_ats": [each.seen_at for each in wanted],
    }
    covered = set(connection.execute(READ_COVERED, parameters).scalars())
    return [each for position, each in enumerate(wanted, start=1) if position not in covered]


def wait_for_turn(connection: Connection, tenant_id: str) -> None:
    """Be the only one who normalises a tenant's deliveries until the transaction ends; waits for the batch that a worker is at."""
    connection.execute(WAIT_FOR_TURN, {"tenant_id": tenant_id})
