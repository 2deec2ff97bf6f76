"""How is a provider's request kept, before it is answered?

The request is cut into one slice per tenant, each archived with its own hash; what cannot be routed is quarantined. Nothing is made of the events here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels import sendgrid_events
from dripiq.engine.slices import cut
from dripiq.repositories.archive import archive, notify_work, quarantine


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


def ingest(connection: Connection, raw: bytes, now: datetime, provider: str = sendgrid_events.PROVIDER) -> Receipt:
    """Archive one verified request in the caller's transaction; answer the provider once it is committed.

    Args:
        provider: who sent it, one of `event_readers.EVENT_READERS`.

    Raises:
        InputError: nothing of it can be read (SendGrid's is no JSON array, Twilio's no form); nothing is written.
    """
    parts = cut(connection, provider, raw, now)
    stored = archive(connection, provider, parts.slices, now)
    put_aside = quarantine(connection, provider, parts.strays, now)
    if stored:
        notify_work(connection)
    return Receipt(stored, len(parts.slices) - stored, parts.stray_events, changed=stored + put_aside > 0)
