"""How does what is in quarantine come to its tenant?

By a person who names the tenant (`route`), or by looking again for the tenant of each event (`route_again`), as on arrival: by what had been sent then. It
becomes that tenant's delivery with the time at which it was received, and leaves the quarantine in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from dripiq.domain.errors import InputError, NotFoundError
from dripiq.engine.slices import UNKNOWN_TENANT, cut, slice_of
from dripiq.repositories.archive import Slice, archive, notify_work, quarantine
from dripiq.repositories.quarantined import page_quarantined, take_quarantined

PAGE = 20
"""Parts of requests in one transaction; each may be as large as a request."""


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of some of the quarantine.

    Attributes:
        looked_at: parts of requests.
        emptied: those of which nothing is left in quarantine.
        stored: deliveries that are new; a tenant that had the same bytes already gains none.
        last: the id to go on after; None where there is no more.
    """

    looked_at: int
    emptied: int
    stored: int
    last: str | None


def route(connection: Connection, ids: Sequence[str], tenant_id: str) -> int:
    """Give parts of requests to a tenant, all of them or none, in the caller's transaction; how many deliveries are new.

    Raises:
        NotFoundError: `not_quarantined`, naming those that are not in quarantine (any more).
    """
    taken = take_quarantined(connection, ids)
    missing = sorted(set(ids) - {row.id for row in taken})
    if missing:
        raise NotFoundError(
            f"Nothing in quarantine is called {', '.join(map(repr, missing[:5]))}{' …' if len(missing) > 5 else ''}, so nothing was changed: "
            "`dripiq quarantine list` shows what there is.",
            code="not_quarantined",
            facts={"ids": missing},
        )
    stored = sum(_archive(connection, row, [slice_of(tenant_id, row.raw)]) for row in taken)
    notify_work(connection)
    return stored


def route_again(database: Engine, after: str = "", limit: int = PAGE) -> Routed:
    """Look again for the tenants of the next `limit` parts after an id, in one transaction.

    Only of those whose tenant was not found on arrival: what spoke for somebody else is never believed by itself. Events whose tenant is still unknown
    stay, as a part of their own.
    """
    emptied = stored = 0
    with database.begin() as connection:
        page = page_quarantined(connection, UNKNOWN_TENANT, after, limit)
        for row in page:
            try:
                parts = cut(connection, row.provider, row.raw, row.received_at)
            except InputError:  # nothing of it can be read: only a person can say whose it is
                continue
            if parts.slices:
                take_quarantined(connection, [row.id])
                stored += _archive(connection, row, parts.slices)
                quarantine(connection, row.provider, parts.strays, row.received_at)
                emptied += not parts.strays
        if stored:
            notify_work(connection)
    return Routed(len(page), emptied, stored, page[-1].id if len(page) == limit else None)


def _archive(connection: Connection, row: Any, slices: Sequence[Slice]) -> int:
    received_at: datetime = row.received_at
    return archive(connection, row.provider, slices, received_at)
