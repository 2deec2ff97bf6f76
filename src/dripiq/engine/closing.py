"""Which other campaigns end with an address that is closed by what came in, or by what a provider answered?

A message's own campaign hears what happened, and its plan may answer it. Whoever else writes to that address over that channel is stopped, as the gates would
stop it at its next send.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.domain.moves import Input, Stop
from dripiq.engine.react import Inputs
from dripiq.engine.translation import Tied, suppression_of
from dripiq.repositories.intake import Suppression
from dripiq.repositories.reaching import find_reaching


@dataclass(frozen=True, slots=True)
class Closed:
    """A campaign that ends because its address is closed; `cause` names what closed it (an event or a message), `event_ref` the event, where it is one."""

    campaign_id: str
    cause: str
    code: str
    event_ref: str | None = None


def find_closed(connection: Connection, tenant_id: str, tied: Iterable[Tied]) -> list[Closed]:
    """The open campaigns that events close, beside those that hear them. Reads only."""
    closing = [(t, s) for t in tied if (s := suppression_of(t)) is not None]
    own = {t.message.contact_campaign_id for t, _ in closing if t.message is not None}
    return [
        Closed(campaign_id, t.id, f"suppressed_{s.type}", t.id)
        for (t, s), campaigns in zip(closing, reached_by(connection, tenant_id, [s for _, s in closing]), strict=True)
        for campaign_id in campaigns
        if campaign_id not in own
    ]


def reached_by(connection: Connection, tenant_id: str, suppressions: Collection[Suppression]) -> list[list[str]]:
    """For each of these suppressions of addresses, the open campaigns that write to it."""
    by_address: dict[tuple[str, str], list[str]] = {}
    for channel in sorted({s.channel for s in suppressions}):
        found = find_reaching(connection, tenant_id, channel, {s.value for s in suppressions if s.channel == channel})
        for campaign_id, address in found.items():
            by_address.setdefault((channel, address), []).append(campaign_id)
    return [by_address.get((s.channel, s.value), []) for s in suppressions]


def with_closed_stopped(inputs: Inputs, closed: Iterable[Closed], causes: Collection[str], now: datetime) -> Inputs:
    """The same inputs, and a stop for each campaign that one of these causes closes."""
    found: dict[str, list[Input]] = {campaign_id: list(events) for campaign_id, events in inputs.items()}
    for each in closed:
        if each.cause in causes:
            found.setdefault(each.campaign_id, []).append(Stop(now, each.code, event_ref=each.event_ref))
    return found


def campaigns_of(
    inputs: Mapping[str, object], colleagues: Mapping[str, Collection[str]], closed: Iterable[Closed]
) -> set[str]:
    """Every campaign that may have to be locked."""
    return set(inputs).union(*colleagues.values(), (each.campaign_id for each in closed))
