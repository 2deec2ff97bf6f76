"""Whose is each event of a request, and how is a tenant's part of it kept?"""

import re
from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import Connection

from dripiq.channels.sendgrid_events import PROVIDER, RawEvent, routing_of
from dripiq.repositories.archive import Slice, find_tenants, find_tenants_by_provider_id

UNKNOWN_TENANT = "unknown_tenant"
"""Why a part of a request is in quarantine whose tenant was not found."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9][eE]-[0-9]{4}|\.[0-9]{1000}")
"""PostgreSQL's numeric ends at 16,383 decimal places, where a float would round. (Numbers beyond a double are no JSON to orjson.)"""


def route_events(
    connection: Connection, events: Sequence[RawEvent]
) -> tuple[dict[str, list[RawEvent]], list[RawEvent]]:
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


def slice_of(tenant_id: str, raw: bytes) -> Slice:
    """A tenant's part of a request, as it is archived."""
    return Slice(tenant_id, raw, _fits_jsonb(raw))


def join_events(events: Iterable[RawEvent]) -> bytes:
    """Events as one request would have brought them, each byte for byte."""
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
