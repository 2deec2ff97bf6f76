"""Whose is each event of a request, and how is a tenant's part of it kept?

What names a tenant is believed where it is one of ours; what names none is its message's tenant's. What names somebody whom we do not know, but is about a
message of ours, speaks for somebody else: only a person can say whose it is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import Connection

from dripiq.channels import sendgrid_events, twilio_events
from dripiq.repositories.archive import Slice, Stray, find_tenants, find_tenants_by_provider_id
from dripiq.repositories.recipients import find_tenants_by_writer

UNKNOWN_TENANT: Final = "unknown_tenant"
"""Why a part of a request is in quarantine whose tenant was not found."""
OTHER_TENANT: Final = "other_tenant"
"""Why a part of a request is in quarantine that names a tenant, and a message of another's."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9][eE]-[0-9]{4}|\.[0-9]{1000}")
"""PostgreSQL's numeric ends at 16,383 decimal places, where a float would round. (Numbers beyond a double are no JSON to orjson.)"""


@dataclass(frozen=True, slots=True)
class Parts:
    """A request, cut: each tenant's slice, what has none, and how many events that is."""

    slices: Sequence[Slice]
    strays: Sequence[Stray]
    stray_events: int


def cut(connection: Connection, provider: str, raw: bytes, at: datetime) -> Parts:
    """Cut a request by tenants.

    Args:
        provider: who sent it; one that does not tell of events is nobody's.
        at: when it came in; who wrote to somebody only later is not whom they answer.

    Raises:
        InputError: nothing of it can be read.
    """
    if provider == sendgrid_events.PROVIDER:
        return _cut_events(connection, raw)
    if provider == twilio_events.PROVIDER:
        return _cut_text(connection, raw, at)
    return Parts((), (Stray(UNKNOWN_TENANT, raw),), 1)


def _cut_events(connection: Connection, raw: bytes) -> Parts:
    """SendGrid's: by the custom argument, else by SendGrid's message id."""
    events = sendgrid_events.split_events(raw)
    routes = [sendgrid_events.routing_of(event.value) for event in events]
    owners = _owners(connection, sendgrid_events.PROVIDER, routes)
    by_owner: dict[str, list[sendgrid_events.RawEvent]] = {}
    for event, owner in zip(events, owners, strict=True):
        by_owner.setdefault(owner, []).append(event)
    whole = len(by_owner) == 1
    strays = [
        Stray(reason, join_events(by_owner[reason])) for reason in (UNKNOWN_TENANT, OTHER_TENANT) if reason in by_owner
    ]
    slices = [
        slice_of(owner, raw if whole else join_events(own))
        for owner, own in sorted(by_owner.items())
        if owner not in (UNKNOWN_TENANT, OTHER_TENANT)
    ]
    return Parts(slices, strays, sum(len(by_owner.get(reason, ())) for reason in (UNKNOWN_TENANT, OTHER_TENANT)))


def _cut_text(connection: Connection, raw: bytes, at: datetime) -> Parts:
    """Twilio's: a report by our ids in its address, else by Twilio's name for the message; a text by who was written to last.

    A STOP or START concerns everybody who writes from that number: each of them hears it.
    """
    routing = twilio_events.routing_of(raw)
    if routing.writer is None:
        (owner,) = _owners(connection, twilio_events.PROVIDER, [(routing.tenant_id, routing.sid)])
        owners = [owner]
    else:
        found = find_tenants_by_writer(connection, routing.writer, at)
        owners = (found if routing.is_stop_or_start else found[:1]) or [UNKNOWN_TENANT]
    if owners[0] in (UNKNOWN_TENANT, OTHER_TENANT):
        return Parts((), (Stray(owners[0], raw),), 1)
    return Parts([Slice(owner, raw, fits_jsonb=False) for owner in sorted(owners)], (), 0)


def _owners(connection: Connection, provider: str, routes: Sequence[tuple[str | None, str | None]]) -> list[str]:
    """The tenant of each event, by the tenant that it names and the provider's id of its message; else why it has none."""
    named = find_tenants(connection, {tenant_id for tenant_id, _ in routes if tenant_id})
    nameless = {message_id for tenant_id, message_id in routes if tenant_id not in named and message_id}
    by_message = find_tenants_by_provider_id(connection, provider, nameless) if nameless else {}
    owners = []
    for tenant_id, message_id in routes:
        known = by_message.get(message_id or "")
        if tenant_id in named:
            owners.append(tenant_id or "")
        elif tenant_id:
            owners.append(OTHER_TENANT if known is not None else UNKNOWN_TENANT)
        else:
            owners.append(known or UNKNOWN_TENANT)
    return owners


def slice_of(tenant_id: str, raw: bytes) -> Slice:
    """A tenant's part of a request, as it is archived."""
    return Slice(tenant_id, raw, _fits_jsonb(raw))


def join_events(events: Iterable[sendgrid_events.RawEvent]) -> bytes:
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
