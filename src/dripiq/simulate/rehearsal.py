"""What would this plan do with these people?

A rehearsal: a cohort goes through the real engine, its SQL and all, on a virtual clock, and simulated recipients answer. At each stop of the clock, what
has come back is archived and normalised first, then what is due is done; then the clock jumps to the next instant at which anything is due or comes back.
The same script gives the same report, whatever the machine.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from dripiq.domain.contact_file import ContactRow
from dripiq.domain.errors import InputError
from dripiq.domain.moves import NOBODY, Contact
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.model import CONTACT_ZONE, Plan
from dripiq.domain.plan.variables import listed, variable_faults
from dripiq.domain.plan.verify import check_plan
from dripiq.engine.claim import Share
from dripiq.engine.dispatch import Outbox
from dripiq.engine.enroll import enroll
from dripiq.engine.hear import hear
from dripiq.engine.ingest import ingest
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.normalise import normalise
from dripiq.engine.translation import tie
from dripiq.repositories.audit import read_record
from dripiq.repositories.rehearsing import read_next_due, read_sent
from dripiq.simulate.audience import channel_of, contact_id, made_people, refusing_known_people, settle
from dripiq.simulate.behaviour import Behaviour
from dripiq.simulate.mailboxes import Mailboxes
from dripiq.simulate.rehearsal_report import Report, Terms, report_of
from dripiq.simulate.virtual_clock import VirtualClock, tick_for

START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""A Monday morning: not the day of the run, so that a run on another day gives the same."""

PEOPLE: Final = 1_000
LONGEST_DAYS: Final = 3_660
SHARE: Final = Share(actions=1_000_000, lease=timedelta(hours=6))
"""All that is due at a stop in one lease, which is the quickest."""


@dataclass(frozen=True, slots=True)
class Script:
    """What is rehearsed.

    Attributes:
        plan: the plan's JSON document.
        people: the cohort, each address once; None for `PEOPLE` made-up ones.
        seed: decides what each of them does, and which variant and jitter each gets.
        start: when all of them are enrolled (aware; whole seconds).
        days: how long the clock runs at most; what is under way then is reported as such.
        tick: how far apart the clock's stops are; None for one that fits the plan (`virtual_clock.tick_for`).
    """

    plan: Mapping[str, Any]
    people: Sequence[ContactRow] | None = None
    seed: int = 1
    behaviour: Behaviour = field(default_factory=Behaviour)
    start: datetime = START
    days: int = 366
    tick: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How far it is, for who watches: the virtual time, mails sent and events told so far."""

    time: datetime
    sent: int
    events: int


class _Stage:
    """The parts of one rehearsal, and how they play together."""

    def __init__(self, database: Engine, script: Script, plan: Plan, people: Sequence[ContactRow]) -> None:
        self.database = database
        self.plan = plan
        self.script = script
        self.people = people
        self.clock = VirtualClock(script.start, script.tick or tick_for(facts(plan).longest), script.start)
        self.ids = {row.email: contact_id(script.seed, row.email) for row in people}
        with refusing_known_people(), database.begin() as connection:
            self.tenant_id = settle(connection, people, plan, script.seed, self.clock.time)
        channel = channel_of(plan)
        self.mailboxes = Mailboxes(self.tenant_id, channel, self.clock, script.behaviour, script.seed)
        outbox = Outbox(
            database, self.clock, {channel: self.mailboxes}, lambda *_: "https://www.example.com/unsubscribe"
        )
        self._worker = Worker(outbox, Pace(share=SHARE))
        local = plan.timezone == CONTACT_ZONE
        self._zones = [Contact("", zone) for zone in dict.fromkeys(r.timezone for r in people)] if local else [NOBODY]

    async def play(self, watch: Callable[[Look], object]) -> None:
        """From the enrolment to the end."""
        with self.database.begin() as connection:
            enroll(connection, self.tenant_id, dict(self.script.plan), sorted(self.ids.values()), now=self.clock.time)
        end = self.script.start + timedelta(days=self.script.days)
        while True:
            self._hear()
            due = self._next_due()
            while due is not None and due <= self.clock.time:
                await self._worker.act_for(self.tenant_id)
                due = self._next_due()
            watch(Look(self.clock.time, len(self.mailboxes.received), len(self.mailboxes.answered)))
            stop = self._next_stop(due)
            if stop is None or stop > end:
                return
            self.clock.time = stop

    def _hear(self) -> None:
        """Let the engine take what has come back by now."""
        for bodies, replies in self.mailboxes.come():
            for body in bodies:  # one after the other, for those that are archived together are read in any order
                with self.database.begin() as connection:
                    ingest(connection, body, self.clock.time)
                normalise(self.database, self.clock, self.tenant_id)
            if replies:
                with self.database.begin() as connection:
                    hear(connection, self.tenant_id, tie(connection, self.tenant_id, replies), self.clock.time)

    def _next_due(self) -> datetime | None:
        """When the next action is due; what was sent since the last call has come to its recipients."""
        taken = self.mailboxes.take_new()
        with self.database.begin() as connection:
            if taken:
                self.mailboxes.expect(read_sent(connection, self.tenant_id, taken))
            return read_next_due(connection, self.tenant_id)

    def _next_stop(self, due: datetime | None) -> datetime | None:
        act = self.clock.stop_for(due, self.plan, self._zones) if due is not None else None
        return min((stop for stop in (act, self.mailboxes.next_tick) if stop is not None), default=None)


def rehearse(database: Engine, script: Script, watch: Callable[[Look], object] = lambda _: None) -> Report:
    """Let a plan run its course with simulated recipients.

    Args:
        database: migrated. The rehearsal makes a tenant of its own there, leaves it, and touches no other; so take a database that may be thrown away.
        watch: is told at each stop how far it is.

    Raises:
        PlanError: the plan has faults.
        InputError: `script`: the script cannot be followed.
        ConflictError: `rehearsed_before`: the same people have rehearsed here with the same seed.
    """
    plan = check_plan(dict(script.plan))
    people = list(made_people(PEOPLE) if script.people is None else script.people)
    _check(script, people)
    stage = _Stage(database, script, plan, people)
    with _rare_collections():
        asyncio.run(stage.play(watch))
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        record = read_record(connection, [stage.tenant_id], virtual=True)
    return report_of(
        plan, record, stage.mailboxes.received, stage.mailboxes.answered, stage.ids, variable_faults(plan, listed(people)),
        Terms(script.seed, script.start, stage.clock.time, stage.clock.tick, script.behaviour),
    )  # fmt: skip


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles of garbage rarely: there is little, and hundreds of thousands of objects live to the end."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _check(script: Script, people: Sequence[ContactRow]) -> None:
    if not people:
        raise InputError("A simulation needs people: name a CSV with some, or a count.", code="script")
    if script.start.tzinfo is None or script.start.microsecond:
        raise InputError("The start must be a whole second with a time zone, as 2026-01-05T09:00:00Z.", code="script")
    if not 1 <= script.days <= LONGEST_DAYS:
        raise InputError(f"The days must be 1 to {LONGEST_DAYS}.", code="script", facts={"days": script.days})
    if script.tick is not None and (script.tick < timedelta(seconds=1) or script.tick.microseconds):
        raise InputError("The tick must be whole seconds, one at least.", code="script")
