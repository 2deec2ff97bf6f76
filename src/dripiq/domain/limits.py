"""How much may leave?

A tenant's limits, or the defaults: for each sender, for the tenant as a whole, and to each recipient's domain, over a minute, an hour or a day.
`buckets` counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from dripiq.domain.addresses import domain_of
from dripiq.domain.errors import InputError
from dripiq.domain.states import LimitScope

_MOST_DOUBLINGS: Final = 30


class Period(StrEnum):
    """The windows over which a limit holds."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def span(self) -> timedelta:
        """Its length; a day is 24 hours."""
        return _SPANS[self]


_SPANS: Final = {
    Period.MINUTE: timedelta(minutes=1),
    Period.HOUR: timedelta(hours=1),
    Period.DAY: timedelta(days=1),
}

DEFAULTS: Final[Mapping[LimitScope, Mapping[Period, int]]] = {
    LimitScope.SENDER: {Period.MINUTE: 20, Period.HOUR: 1000},
    LimitScope.TENANT: {Period.HOUR: 5000},
    LimitScope.DOMAIN: {Period.HOUR: 200},
}
"""What holds for a scope where the tenant says nothing of it."""


class Key(NamedTuple):
    """What a bucket counts: one sender (its id), one recipient domain, or the tenant itself (""), over one period."""

    scope: LimitScope
    value: str
    period: Period

    @property
    def code(self) -> str:
        """What people see where it is full."""
        return f"limit_{self.scope}_{self.period}"


class Row(Protocol):
    """A row of `send_rate_limits`."""

    @property
    def scope(self) -> str: ...
    @property
    def scope_value(self) -> str | None: ...
    @property
    def max_per_minute(self) -> int | None: ...
    @property
    def max_per_hour(self) -> int | None: ...
    @property
    def max_per_day(self) -> int | None: ...
    @property
    def ramp(self) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, slots=True)
class Ramp:
    """A day's limit that begins at `start` and doubles every `days` from `since` on."""

    start: int
    days: int
    since: datetime

    def most(self, now: datetime, at_most: int | None) -> int:
        """The day's limit at `now`."""
        doublings = min(_MOST_DOUBLINGS, max(0, (now - self.since) // timedelta(days=self.days)))
        grown = self.start << doublings
        return grown if at_most is None else min(grown, at_most)


def parse_ramp(given: Mapping[str, Any]) -> Ramp:
    """Read {"start": 50, "double_every_days": 3, "started_at": "2026-03-01T00:00:00Z"}.

    Raises:
        InputError: `ramp`, saying what is wrong.
    """
    unknown = sorted(set(given) - {"start", "double_every_days", "started_at"})
    if unknown:
        raise _no_ramp(f"does not know {unknown[0]!r}")
    for name in ("start", "double_every_days"):
        if type(given.get(name)) is not int or given[name] < 1:
            raise _no_ramp(f"needs {name!r}, a whole number of at least 1")
    try:
        since = datetime.fromisoformat(str(given.get("started_at")))
    except ValueError:
        since = None
    if since is None or since.tzinfo is None:
        raise _no_ramp("needs 'started_at', a time with its zone as in 2026-03-01T00:00:00Z")
    return Ramp(given["start"], given["double_every_days"], since)


def _no_ramp(wrong: str) -> InputError:
    return InputError(f'A ramp {wrong}: {{"start": 50, "double_every_days": 3, "started_at": "…"}}.', code="ramp")


class Rules:
    """The limits of one tenant over one channel: its rows, and the defaults where no row of a scope is for each one."""

    def __init__(self, rows: Iterable[Row], now: datetime) -> None:
        self._maxima = {(row.scope, row.scope_value): _maxima(row, now) for row in rows}

    def keys(self, sender_id: str, address: str) -> dict[Key, int]:
        """What counts a send, and how much each allows. A row for just this sender or domain takes the place of the one for each."""
        asked = [(LimitScope.SENDER, sender_id), (LimitScope.TENANT, "")]
        if "@" in address:
            asked.append((LimitScope.DOMAIN, domain_of(address)))
        return {Key(scope, value, p): most for scope, value in asked for p, most in self._of(scope, value).items()}

    def _of(self, scope: LimitScope, value: str) -> Mapping[Period, int]:
        own = self._maxima.get((scope, value))
        return own if own is not None else self._maxima.get((scope, None), DEFAULTS[scope])


def _maxima(row: Row, now: datetime) -> dict[Period, int]:
    day = parse_ramp(row.ramp).most(now, row.max_per_day) if row.ramp is not None else row.max_per_day
    given = {Period.MINUTE: row.max_per_minute, Period.HOUR: row.max_per_hour, Period.DAY: day}
    return {period: most for period, most in given.items() if most is not None}
