"""The fault matrix: a real process killed or frozen at every statement, with 1 and with 4 workers; afterwards every invariant is held.

    python -m tests.faults.matrix [--deed kill|freeze] [--workers 1|4] [--only TEXT]… [--together N] [--points]

prints the table. A point `…:before` a statement is the same moment as `:after` the one before it, so what is gone through is `:after` each statement and each
COMMIT, and `before`, `halfway` and `after` of each hand-over.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from dripiq.config.settings import Settings
from dripiq.db.session import make_engine
from dripiq.engine import plan_cache
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.enroll import enroll
from dripiq.engine.faults import watch_senders, watch_statements
from dripiq.wiring import Database, make_senders, make_worker
from tests.faults.ground import (
    CONNECTIONS,
    PATIENCE,
    TIMEOUT,
    Ground,
    Playing,
    own_ground,
    playing,
    settings_for,
)
from tests.faults.load import LATE_PLAN
from tests.faults.verdict import Verdict, Witnesses, judge


@dataclass(frozen=True)
class Case:
    """One cell of the matrix: at its points, one after another, so many workers fall. (The matrix has one point a cell; the test suite has chains of them.)"""

    points: tuple[str, ...]
    deed: str
    workers: int

    @property
    def stage(self) -> str:
        return self.points[0].partition(":")[0]

    def __str__(self) -> str:
        more = f"+{len(self.points) - 1}" if len(self.points) > 1 else ""
        return f"{self.points[0]}{more}"


@dataclass(frozen=True)
class Outcome:
    """What came of a case: at how many points somebody fell, how many processes did, what was found afterwards; `trouble`: it did not come to an end."""

    case: Case
    reached: int
    fell: int
    mails: int
    seconds: float
    verdict: Verdict
    trouble: tuple[str, ...] = ()

    @property
    def allowed_doubts(self) -> int:
        """A sub-batch on each lane of each process that fell."""
        return CONNECTIONS * self.fell

    @property
    def holds(self) -> bool:
        return not self.trouble and not self.verdict.breaches and self.verdict.in_doubt <= self.allowed_doubts


async def trace(ground: Ground) -> list[str]:
    """Every point that the load comes to, in a worker of this process."""
    seen: set[str] = set()
    note = seen.add
    async with playing(ground, "trace") as play:
        watch_statements(play.database, note)
        plan_cache._plans.clear()  # a new process reads them
        with play.database.begin() as connection:
            people = connection.execute(
                text("SELECT id FROM dripiq_app.lead_point_of_contacts WHERE tenant_id = :id"),
                {"id": ground.tenants.late},
            )
            now = DatabaseClock().now(connection)
            enroll(connection, ground.tenants.late, LATE_PLAN, list(people.scalars()), now=now)
        engine = make_engine(play.url, pool_size=6)
        watch_statements(engine, note)
        chosen = Settings(**{**settings_for(play.url, play.sink.port), "database_pool": "6"})  # type: ignore[arg-type]
        senders = watch_senders(make_senders(chosen), note)
        worker = make_worker(chosen, Database(play.url, engine), senders)
        running = asyncio.create_task(worker.run())
        quiet = await play.until_quiet()
        worker.stop()
        await running
        for sender in senders.values():
            await sender.close()
        engine.dispose()
        verdict = await asyncio.to_thread(_judge, play, late=True)
        assert quiet, "the load does not come to its end"
        assert not verdict.breaches, verdict.breaches
    return sorted(point for point in seen if not point.startswith("clock:"))  # that is this process's own


def cells(points: Iterable[str], deeds: Sequence[str], workers: Sequence[int]) -> list[Case]:
    """The matrix: of `before` and `after` of a statement, which follow each other, `after`; of a hand-over all three."""
    chosen = [point for point in points if point.endswith(":after") or ":SEND:" in point]
    return [Case((point,), deed, count) for point in chosen for deed in deeds for count in workers]


async def run_case(ground: Ground, case: Case) -> Outcome:
    """Let workers fall, bring fresh ones, and judge."""
    began = time.monotonic()
    over_http, enrolling = case.stage == "ingest", case.stage == "enroll"
    name = f"{case}_{case.deed}_x{case.workers}".replace(":", "-")
    async with playing(ground, name, over_http=over_http) as play:
        if over_http or enrolling:
            for _ in range(case.workers):
                play.start()
        reached = 0
        for point in case.points:
            reached += await _let_fall(play, f"{point}={case.deed}", case)
        if enrolling:
            again = play.start(*ground.enrol)
            await _until(lambda: again.code is not None)
        if over_http and case.deed == "kill":  # one that is frozen keeps its port, and goes on
            play.start("serve", port=str(play.port))
        elif not over_http:
            play.start()
        trouble = await play.come_to_an_end()
        verdict = await asyncio.to_thread(_judge, play, late=enrolling)
        fell = len(play.fallen)
    return Outcome(case, reached, fell, len(play.sink.received), time.monotonic() - began, verdict, tuple(trouble))


async def _let_fall(play: Playing, fault: str, case: Case) -> bool:
    """Start what falls at a point, and wait until something did; false where nothing came there."""
    if case.stage == "ingest":
        armed = [play.arm("serve", fault=fault, port=str(play.port))]
    elif case.stage == "enroll":
        armed = [play.arm(*play.ground.enrol, fault=fault)]
    else:
        armed = [play.arm(fault=fault) for _ in range(case.workers)]
    deadline = time.monotonic() + PATIENCE
    while not any(life in play.fallen for life in armed) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        if not (case.stage == "enroll" and armed[0].code is None) and await play.is_quiet():
            break
    await _until(lambda: case.stage != "enroll" or armed[0].code is not None)
    return any(life in play.fallen or life.fell for life in armed)


def _judge(play: Playing, *, late: bool) -> Verdict:
    tenants = play.ground.tenants
    mails = [*tenants.taken_before, *play.sink.received]
    silent = {mail.recipient for mail in mails if mail.recipient.startswith("silent")}
    enrolled = [(tenants.late, f"c{number}@example.com") for number in range(1, 6)] if late else []
    heard = Witnesses(tenants.ids, mails, play.people.answered, silent, enrolled)
    return judge(play.database, heard, tenants.began, timedelta(seconds=TIMEOUT / 2))


async def _until(holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def run_all(
    ground: Ground, cases: Sequence[Case], together: int, told: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    """Run cases, some at once; outcomes in the order of the cases."""
    turn = asyncio.Semaphore(together)

    async def one(case: Case) -> Outcome:
        async with turn:
            outcome = await run_case(ground, case)
            told(outcome)
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(case)) for case in cases]
    return [task.result() for task in tasks]


HEADING = f"{'point':<58} {'deed':<7} {'workers':>7} {'fell':>4} {'mails':>5} {'events':>6} {'twice':>5} {'lost':>4} {'stuck':>5} {'doubt':>5}"


def line(outcome: Outcome) -> str:
    """A row of the table."""
    c, v = outcome.case, outcome.verdict
    said = "" if outcome.reached == len(c.points) else f"  reached {outcome.reached} of {len(c.points)}"
    said += "" if outcome.holds else "  BROKEN: " + "; ".join([*outcome.trouble, *v.breaches[:3]])
    return (
        f"{c!s:<58} {c.deed:<7} {c.workers:>7} {outcome.fell:>4} {outcome.mails:>5} {v.events:>6} {v.duplicates:>5} {v.lost:>4} {v.stuck:>5}"
        f" {v.in_doubt:>2}/{outcome.allowed_doubts:<2}{said}"
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each point: all its cases, whatever the deed and the number of workers."""
    rows: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(str(outcome.case), []).append(outcome)
    lines = [
        f"{'point':<58} {'cases':>5} {'fell':>4} {'mails':>6} {'events':>6} {'twice':>5} {'lost':>4} {'stuck':>5} {'doubt':>5}"
    ]
    for point, found in rows.items():
        v = [outcome.verdict for outcome in found]
        lines.append(
            f"{point:<58} {len(found):>5} {sum(o.fell for o in found):>4} {sum(o.mails for o in found):>6} {sum(x.events for x in v):>6}"
            f" {sum(x.duplicates for x in v):>5} {sum(x.lost for x in v):>4} {sum(x.stuck for x in v):>5} {sum(x.in_doubt for x in v):>5}"
        )
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    v = [outcome.verdict for outcome in outcomes]
    missed = sum(len(o.case.points) - o.reached for o in outcomes)
    return (
        f"{len(outcomes)} cases, {sum(o.fell for o in outcomes)} processes felled, {sum(o.mails for o in outcomes):,} mails,"
        f" {sum(x.events for x in v):,} events: {sum(x.duplicates for x in v)} duplicates, {sum(x.lost for x in v)} lost, {sum(x.stuck for x in v)} stuck,"
        f" {sum(x.in_doubt for x in v)} in doubt; {sum(not o.holds for o in outcomes)} cases broken, {missed} points not reached"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--deed", choices=("kill", "freeze"), action="append")
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--only", action="append", help="points whose name has this in it; may be said again")
    parser.add_argument("--points", action="store_true", help="print the points for docs/faults.md, and run nothing")
    parser.add_argument("--together", type=int, default=6, help="cases at once")
    chosen = parser.parse_args()
    with own_ground() as ground:
        points = [point for point in asyncio.run(trace(ground)) if any(word in point for word in chosen.only or [""])]
        if chosen.points:
            say(drawn(points))
            return 0
        cases = cells(points, chosen.deed or ["kill", "freeze"], chosen.workers or [1, 4])
        say(f"{len(cases)} cases at {len(points)} points, {chosen.together} at once\n{HEADING}")
        told = itertools.count(1)
        tell: Callable[[Outcome], None] = lambda outcome: say(f"{line(outcome)}  [{next(told)}/{len(cases)}]")  # noqa: E731
        outcomes = asyncio.run(run_all(ground, cases, chosen.together, tell))
    say(f"\n{table(outcomes)}\n\n{summary(outcomes)}")
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def drawn(points: Iterable[str]) -> str:
    """The table of docs/faults.md."""
    stages: dict[str, list[str]] = {}
    for stage, statement in sorted({(point.split(":")[0], point.split(":")[1]) for point in points}):
        stages.setdefault(stage, []).append(f"`{statement}`")
    return "\n".join(
        ["| stage | points |", "|---|---|", *(f"| `{stage}` | {' '.join(found)} |" for stage, found in stages.items())]
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
