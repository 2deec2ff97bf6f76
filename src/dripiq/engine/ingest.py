"""How is a provider's request kept, before it is answered?

The request is cut into one slice per tenant, each archived with its own hash; what cannot be routed is quarantined. Nothing is made of the events here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels.sendgrid_events import PROVIDER, split_events
from dripiq.engine.slices import UNKNOWN_TENANT, join_events, route_events, slice_of
from dripiq.repositories.archive import Stray, archive, notify_work, quarantine


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request.

    Attributes:
        stored, known: slices (one a tenant) that are new, and that were there before.
        quarantined: events that no tenant could be found for.
        changed: whether anything of it is new, quarantine included.
    """

    stored: int
    known: int
    quarantined: int
    changed: bool


def ingest(connection: Connection, raw: bytes, now: datetime) -> Receipt:
    """Archive one verified SendGrid request in the caller's transaction; answer the provider once it is committed.

    Raises:
        InputError: the body is no JSON array of events; nothing is written.
    """
    events = split_events(raw)
    by_tenant, strays = route_events(connection, events)
    whole = len(by_tenant) == 1 and not strays
    slices = [slice_of(t, raw if whole else join_events(own)) for t, own in sorted(by_tenant.items())]
    stored = archive(connection, PROVIDER, slices, now)
    lost = [Stray(UNKNOWN_TENANT, join_events(strays))] if strays else []
    put_aside = quarantine(connection, PROVIDER, lost, now)
    if stored:
        notify_work(connection)
    return Receipt(stored, len(slices) - stored, len(strays), changed=stored + put_aside > 0)
