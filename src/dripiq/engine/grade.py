"""Was it a person who followed these links?

A click is graded by its company too: by the clicks that came with it, also those that nobody has worked yet. So what our own links tell is left to ripen for a
few seconds before it is read: then all that belongs together is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from dripiq.channels.own_events import PROVIDER, read_events
from dripiq.domain.attention import TOGETHER, Click, by_company
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.engine.translation import Tied
from dripiq.repositories.clicks import read_clicks, read_waiting

RIPENS: Final = TOGETHER + timedelta(seconds=2)
"""How long what our own links tell is left alone: its company, and a second each for whole seconds and for a commit that takes its time."""


def grade(connection: Connection, tenant_id: str, tied: Sequence[Tied]) -> list[Tied]:
    """The events, those that our own links told with the confidence that their company leaves them."""
    clicks = [t for t in tied if _is_click(t)]
    if not clicks:
        return list(tied)
    first, last = min(t.event.event_at for t in clicks), max(t.event.event_at for t in clicks)
    message_ids = {t.message.id for t in clicks if t.message is not None}
    others = [_click(t) for t in clicks]
    others += _waiting(connection, tenant_id, last + RIPENS)
    others += read_clicks(connection, tenant_id, PROVIDER, message_ids, first - TOGETHER, last + TOGETHER)
    by_message: dict[str, list[Click]] = {}
    for other in others:
        by_message.setdefault(other.message_id, []).append(other)
    return [_graded(t, by_message) if _is_click(t) else t for t in tied]


def _is_click(tied: Tied) -> bool:
    return tied.event.provider == PROVIDER and tied.event.event_type is EventType.CLICKED


def _click(tied: Tied) -> Click:
    event = tied.event
    return Click(event.message_id or "", event.event_at, event.url, event.confidence)


def _graded(tied: Tied, by_message: dict[str, list[Click]]) -> Tied:
    click = _click(tied)
    sent_at = tied.message.sent_at if tied.message is not None else None
    confidence = by_company(click, by_message[click.message_id], sent_at)
    return replace(tied, event=replace(tied.event, confidence=confidence))


def _waiting(connection: Connection, tenant_id: str, until: datetime) -> Iterable[Click]:
    """What waits in the archive still."""
    for raw in read_waiting(connection, tenant_id, PROVIDER, until):
        try:
            (event,), _ = read_events(raw, until)
        except InputError:
            continue
        if event.event_type is EventType.CLICKED:
            yield Click(event.message_id or "", event.event_at, event.url, event.confidence)
