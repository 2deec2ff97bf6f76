"""How is a provider's request kept, before it is answered?

The request is cut into one slice per tenant, each archived with its own hash; what cannot be routed is quarantined. Nothing is made of the events here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection

from dripiq.channels.sendgrid_events import PROVIDER, RawEvent, routing_of, split_events
from dripiq.repositories.archive import (
    Slice,
    Stray,
    archive,
    find_tenants,
    find_tenants_by_provider_id,
    notify_work,
    quarantine,
)

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9][eE]-[0-9]{4}|\.[0-9]{1000}")
"""PostgreSQL's numeric ends at 16,383 decimal places, where a float would round. (Numbers beyond a double are no JSON to orjson.)"""


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
    by_tenant, strays = _route(connection, events)
    whole = len(by_tenant) == 1 and not strays
    slices = [Slice(t, body := raw if whole else _join(own), _fits_jsonb(body)) for t, own in sorted(by_tenant.items())]
    stored = archive(connection, PROVIDER, slices, now)
    lost = [Stray("unknown_tenant", _join(strays))] if strays else []
    put_aside = quarantine(connection, PROVIDER, lost, now)
    if stored:
        notify_work(connection)
    return Receipt(stored, len(slices) - stored, len(strays), changed=stored + put_aside > 0)


def _route(connection: Connection, events: Sequence[RawEvent]) -> tuple[dict[str, list[RawEvent]], list[RawEvent]]:
    """The events of each tenant, and those of nobody: by the custom argument, else by the provider's message id."""
    routes = [routing_of(event.value) for event in events]
    named = find_tenants(connection, {tenant_id for tenant_id, _ in routes if tenant_id})
    nameless = {message_id for tenant_id, message_id in routes if tenant_id not in named and message_id}
    by_message = find_tenants_by_provider_id(connection, PROVIDER, nameless) if nameless else {}
    by_tenant: dict[str, list[RawEvent]] = {}
    strays: list[RawEvent] = []
    for event, (named_tenant, message_id) in zip(events, routes, strict=True):
        tenant_id = named_tenant if named_tenant in named else by_message.get(message_id or "")
        if tenant_id is None:
            strays.append(event)
        else:
            by_tenant.setdefault(tenant_id, []).append(event)
    return by_tenant, strays


def _join(events: Iterable[RawEvent]) -> bytes:
    return b"[" + b",".join(event.raw for event in events) + b"]"


def _fits_jsonb(raw: bytes) -> bool:
    """Whether jsonb can hold the slice: the bytes are kept in any case, and one broken event must not refuse its neighbours."""
    if b"\\u0000" in raw or b"\\ud" in raw.lower():
        return False
    if _LONG_NUMBER.search(raw) and _LONG_NUMBER.search(_STRING.sub(b"", raw)):
        return False
    try:
        orjson.loads(raw)
    except ValueError:
        return False
    return True
