"""What would be different if the archive were normalised again?

Every delivery that was worked is translated once more and held against what is stored. A dry run writes nothing; applied, what is missing is written, page by
page, each in a transaction of its own, so that an interrupted replay is simply run again.

- Nothing that is stored is overwritten: an event that says something else now is reported.
- Campaigns stay where they are unless it is asked for. A message whose hand-over nobody has recorded is its campaign's business, so it is then left alone too.
- Months of events that retention has dropped are not filled again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels.event_readers import EVENT_READERS
from dripiq.db.partitions import list_months
from dripiq.domain.errors import InputError
from dripiq.domain.states import Channel
from dripiq.engine.clock import Clock
from dripiq.engine.closing import find_closed, with_closed_stopped
from dripiq.engine.comparison import Difference, Page, compare
from dripiq.engine.react import answer, replied_in, with_colleagues_stopped
from dripiq.engine.translation import MAX_BYTES, inbound_of, is_about_data, lifts_of, row_of, suppression_of
from dripiq.repositories.archive import notify_work
from dripiq.repositories.intake import (
    Suppression,
    finish_deliveries,
    insert_events,
    raise_statuses,
    upsert_suppressions,
)
from dripiq.repositories.lifting import lift_suppressions
from dripiq.repositories.receiving import insert_inbound
from dripiq.repositories.replaying import Archived, count_archived, page_archived, wait_for_turn
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.repositories.standing import lock_campaigns, read_colleagues

PAGE = 50
EXAMPLES = 20
"""How many differing events a report names."""
MOST_REMEMBERED = 500_000
"""How many things of a tenant are remembered as counted (some 50 MB); beyond that, what comes in several pages of a dry run may count more than once."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is replayed: received from `since` (aware) up to `until`; `apply` writes what is missing, `move` lets campaigns answer it."""

    since: datetime
    until: datetime
    apply: bool = False
    move: bool = False
    first_kept: datetime | None = None


@dataclass(slots=True)
class Report:
    """What is different for one tenant, or was before it was applied.

    Attributes:
        deliveries, waiting: replayed, and left to the worker, who has not worked them yet.
        readable: deliveries that had failed and can be read now, in part at least.
        refused: deliveries that the database refuses for what they say.
        events: missing ones, by type.
        dropped: events that are not there because their month is not kept; they stay away.
        statuses: messages that rise, by the status they rise to first.
        unproven: messages that an event proves to be accepted, and whose campaigns have not been told.
        suppressions: missing ones, by type.
        campaigns: those that are told of something.
        differing: stored events that the archive says otherwise, and some of them (`examples`).
    """

    tenant_id: str
    deliveries: int = 0
    waiting: int = 0
    readable: int = 0
    refused: int = 0
    events: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    unproven: int = 0
    suppressions: Counter[str] = field(default_factory=Counter)
    campaigns: int = 0
    differing: int = 0
    examples: list[Difference] = field(default_factory=list)
    _counted: set[int] = field(default_factory=set)

    def note(self, page: Page, *, move: bool) -> None:
        """Add what a page says."""
        self.readable += page.readable
        self.dropped += sum(self._first("dropped", *name) for name in page.dropped)
        self.events.update(
            str(t.event.event_type)
            for t in page.missing
            if self._first("event", t.event.provider, t.event.provider_event_id)
        )
        self.statuses.update(str(f.status) for f in page.facts if self._first("status", f.message_id))
        self.unproven += sum(self._first("unproven", name) for name in page.unproven)
        self.suppressions.update(
            str(s.type) for s in page.suppressions if self._first("suppression", s.channel, s.value, s.type)
        )
        self.campaigns += sum(self._first("campaign", name) for name in page.inputs) if move else 0
        differing = [each for each in page.differing if self._first("differing", each.event_id)]
        self.differing += len(differing)
        self.examples += differing[: max(0, EXAMPLES - len(self.examples))]

    def _first(self, *name: str) -> bool:
        """Whether this has not been counted yet; it is from now on."""
        key = hash(name)
        if key in self._counted:
            return False
        if len(self._counted) < MOST_REMEMBERED:
            self._counted.add(key)
        return True


def plan_replay(connection: Connection, scope: Scope, tenant_id: str | None) -> tuple[Scope, list[Archived]]:
    """What a replay has before it, by tenant; the scope knows the first month that is kept.

    Raises:
        InputError: `month_not_kept` where `since` lies before the months of events that are kept; `no_time` where it is not before `until`.
    """
    if scope.since >= scope.until:
        raise InputError(
            "A replay goes from a time to a later one: --since must lie before --until and before now.", code="no_time"
        )
    first = next((partition.month for partition in list_months(connection)), None)
    if first is not None and scope.since < first:
        raise InputError(
            f"Events are kept from {first:%Y-%m} on, and those of earlier months would be made anew: replay --since {first:%Y-%m-%d} or later.",
            code="month_not_kept",
            facts={"since": scope.since.isoformat(), "first_kept": first.isoformat()},
        )
    archived = count_archived(connection, EVENT_READERS, scope.since, scope.until, tenant_id)
    return replace(scope, first_kept=first), archived


def replay(
    database: Engine, clock: Clock, archived: Archived, scope: Scope, advance: Callable[[int], object]
) -> Report:
    """Replay one tenant's deliveries; `advance` is told of each page how many there were.

    Raises:
        sqlalchemy.exc.OperationalError: a lock could not be had in time; the pages before are written, and the rest is by running it again.
    """
    report = Report(archived.tenant_id, waiting=archived.waiting)
    for ids in _pages(database, archived.tenant_id, scope):
        _work(database, clock, report, ids, scope)
        report.deliveries += len(ids)
        advance(len(ids))
    return report


def _pages(database: Engine, tenant_id: str, scope: Scope) -> Iterator[list[str]]:
    with database.connect() as connection:
        yield from page_archived(connection, tenant_id, EVENT_READERS, scope.since, scope.until, PAGE, MAX_BYTES)


def _work(database: Engine, clock: Clock, report: Report, ids: Sequence[str], scope: Scope) -> None:
    """One page; what the database refuses for what it says is worked delivery by delivery, and the one it still refuses is passed over."""
    try:
        with database.begin() as connection:
            if scope.apply:
                wait_for_turn(connection, report.tenant_id)
            page = compare(connection, report.tenant_id, ids, scope.first_kept, move=scope.move)
            if scope.apply:
                _write(connection, report.tenant_id, page, clock.now(connection), move=scope.move)
    except DBAPIError as error:
        if not is_about_data(error):
            raise
        for each in ids if len(ids) > 1 else ():
            _work(database, clock, report, [each], scope)
        report.refused += len(ids) == 1
        return
    report.note(page, move=scope.move)


def _write(connection: Connection, tenant_id: str, page: Page, now: datetime, *, move: bool) -> None:
    if page.suppressions:
        # Nothing but reads came before: every later statement sees what was committed while this waited.
        lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    colleagues = read_colleagues(connection, tenant_id, replied_in(page.inputs)) if move else {}
    inputs = with_colleagues_stopped(page.inputs, colleagues, now) if move else {}
    if move:
        lacking = {_named(each) for each in page.suppressions}  # what was lifted since closes nothing again
        closing = [t for t in page.missing if (s := suppression_of(t)) is not None and _named(s) in lacking]
        closed = find_closed(connection, tenant_id, closing)
        inputs = with_closed_stopped(inputs, closed, {each.cause for each in closed}, now)
    campaigns = lock_campaigns(connection, tenant_id, inputs) if inputs else []
    insert_inbound(connection, tenant_id, inbound_of(page.missing), now)
    insert_events(connection, tenant_id, [row_of(tied) for tied in page.missing], now)
    raise_statuses(connection, tenant_id, page.facts, now)
    if page.suppressions:
        upsert_suppressions(connection, tenant_id, page.suppressions, now)
    if lifts := lifts_of(page.missing):
        lift_suppressions(connection, tenant_id, lifts, now)
    if page.finished:
        finish_deliveries(connection, tenant_id, page.finished, now)
    if campaigns:
        answer(connection, tenant_id, campaigns, inputs, now)
        notify_work(connection)


def _named(suppression: Suppression) -> tuple[str, str, str]:
    return suppression.channel, suppression.value, suppression.type
