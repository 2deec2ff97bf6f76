"""Everything at once, for as long as one likes: what may go wrong does, in an order drawn from a seed; afterwards nothing is twice, lost or stuck.

    python -m tests.faults.torture [--minutes N] [--seed N] [--workers N]          (make torture MINUTES=30 SEED=7)

Workers and the API are killed and frozen, at any instant and at their points; PostgreSQL is ended in the mode `immediate`; the provider refuses, fails, hangs,
cuts and keeps silent, and posts its events doubled, late and in no order; campaigns and senders are paused and resumed, the kill switch is turned,
addresses are suppressed, while contacts go on being enrolled. Then all of that stops, what is due is done, and the invariants are held.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from dripiq.db.embedded import EmbeddedPostgres
from dripiq.db.migrate import upgrade
from dripiq.db.session import make_engine
from dripiq.engine.steer import resume
from dripiq.simulate.hostile import HostileProvider
from dripiq.simulate.malice import Fate, Malice
from dripiq.simulate.provider import Faults, SimulatedProvider
from dripiq.simulate.recipients import Deed, deeds
from tests.engine.conftest import settle_tenant
from tests.faults.chaos import CONNECTIONS, LEASE, SOME_CAMPAIGNS, Scene
from tests.faults.points import documented
from tests.faults.verdict import Verdict, Witnesses, judge

EVERYTHING = {
    "kill": 5, "freeze": 5, "restart_postgres": 1, "enrol": 12, "pause_some": 2, "resume_some": 3, "switch": 1, "suppress_one": 3, "hasten": 4,
    "resume_senders": 2,
}  # fmt: skip
"""What happens, and how often beside the others."""
MALICE = Malice(refused=0.05, failed=0.03, hung=0.01, unanswered=0.02, cut=0.03, dropped=0.03)
FAULTS = Faults(doubled=0.3, late=0.3, nameless=0.1, reposted=0.3, a_day_late=0.05)
PATIENCE = 600.0
"""Seconds for what is due to be done in the end."""
WAITING = text(
    """
    SELECT (SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status IN ('pending', 'queued'))
        + (SELECT count(*) FROM dripiq_app.webhook_deliveries WHERE status = 'received')
        + (SELECT count(*) FROM dripiq_app.outbound_messages WHERE status = 'sending')
        + (SELECT count(*) FROM dripiq_app.contact_campaigns WHERE status = 'paused')
    """
)


@dataclass(frozen=True)
class Ordeal:
    """How long, drawn from which seed, how many workers, and what happens how often."""

    seconds: float
    seed: int
    workers: int = 4
    deeds: Mapping[str, int] = field(default_factory=lambda: EVERYTHING)
    pause: float = 0.6
    """Seconds between two of them, on average."""
    armed: bool = True
    malice: Malice = MALICE
    haste: float = 1.0
    """How many times faster than usual people are."""


@dataclass(frozen=True)
class Result:
    """What came of it: the verdict, what was done how often, and what was wrong on the way."""

    verdict: Verdict
    tally: Mapping[str, int]
    allowed_doubts: int
    trouble: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.trouble and not self.verdict.breaches and self.verdict.in_doubt <= self.allowed_doubts


def torture(ordeal: Ordeal, folder: Path) -> Result:
    """Make a world in a folder of its own, and let it suffer."""
    folder.chmod(0o711)  # under root the server is another user's
    server = EmbeddedPostgres(folder / "home", settings={"fsync": "off", "track_commit_timestamp": "on"})
    with server as url:
        upgrade(url)
        database = make_engine(url, pool_size=4)
        try:
            scene = Scene(random.Random(ordeal.seed), server, database, folder)
            scene.tenants = [settle_tenant(database, 1, name)[0] for name in ("One", "Two", "Three")]
            return asyncio.run(_suffer(ordeal, scene))
        finally:
            database.dispose()


async def _suffer(ordeal: Ordeal, scene: Scene) -> Result:
    began, stop = datetime.now(UTC), asyncio.Event()

    def hasty(seed: int, address: str, count: int) -> list[Deed]:
        return [replace(deed, after=deed.after / ordeal.haste) for deed in deeds(seed, address, count)]

    scene.people = SimulatedProvider(ordeal.seed, FAULTS, people=hasty)
    scene.provider = HostileProvider(ordeal.malice, ordeal.seed, lambda mail, _fate, _way: scene.people.accept(mail))
    scene.points = documented() if ordeal.armed else ()
    async with scene.provider.listening():
        for command in ("serve", *["worker"] * ordeal.workers):
            scene.born(command)
        url = f"http://127.0.0.1:{scene.port}/webhooks/sendgrid"
        posting = asyncio.create_task(scene.people.post_until(stop, url))
        watching = asyncio.create_task(scene.watch())
        try:
            doing = asyncio.create_task(_do_deeds(ordeal, scene))
            ended, _ = await asyncio.wait((watching, doing), return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
            watching.cancel()
            await _calm(ordeal, scene)
        finally:
            watching.cancel()
            stop.set()
            await posting
            await asyncio.to_thread(scene.end)
    tally = scene.tally | scene.provider.tally | scene.people.ledger.tally
    heard = Witnesses(scene.tenants, scene.provider.received, scene.people.ledger.answered, enrolled=scene.enrolled)
    verdict = judge(scene.database, heard, began, timedelta(seconds=LEASE))
    tally["mails accepted"] = len(heard.mails)
    return Result(verdict, tally, _allowed(ordeal, tally), tuple(scene.trouble))


async def _do_deeds(ordeal: Ordeal, scene: Scene) -> None:
    """One after the other, until the time is over."""
    names, weights = list(ordeal.deeds), list(ordeal.deeds.values())
    end, told = time.monotonic() + ordeal.seconds, time.monotonic()
    while time.monotonic() < end:
        await getattr(scene, scene.chance.choices(names, weights)[0])()
        await asyncio.sleep(scene.chance.expovariate(1 / ordeal.pause))
        if time.monotonic() > told + 60:
            told = time.monotonic()
            say(f"{(end - told) / 60:5.1f} minutes left: {_line(scene)}")


async def _calm(ordeal: Ordeal, scene: Scene) -> None:
    """Nothing bad happens any more; until all is done."""
    await asyncio.to_thread(scene.end)
    scene.points, scene.provider.malice = (), Malice(0, 0, 0, 0, 0, 0)
    for command in ("serve", *["worker"] * ordeal.workers):
        scene.born(command)
    deadline, quiet = time.monotonic() + PATIENCE, 0
    while quiet < 2:
        if time.monotonic() > deadline:
            scene.trouble.append(f"not quiet after {PATIENCE:.0f} s: {await _waiting(scene)} things wait")
            return
        await scene.hasten()
        await scene.resume_senders()
        for tenant in scene.tenants:
            await scene.ask("resumes", lambda c, t=tenant: resume(c, t, _paused(c, t)))  # type: ignore[misc]
        quiet = quiet + 1 if not scene.people.waiting and not await _waiting(scene) else 0
        scene.look_after()
        await asyncio.sleep(0.5)


def _paused(connection: Connection, tenant: str) -> list[str]:
    return list(connection.execute(SOME_CAMPAIGNS, {"tenant": tenant, "status": "paused"}).scalars())


async def _waiting(scene: Scene) -> int:
    def read() -> int:
        with scene.database.begin() as connection:
            return int(connection.execute(WAITING).scalar_one())

    with suppress(SQLAlchemyError):
        return await asyncio.to_thread(read)
    return 1


def _allowed(ordeal: Ordeal, tally: Mapping[str, int]) -> int:
    """How many doubts there may be: what was in hand-over in who fell, or whose database fell, and the mails of which the provider said nothing clear."""
    fell = sum(tally.get(name, 0) for name in ("kills", "kills at a point", "freezes", "freezes at a point"))
    fell += ordeal.workers * tally.get("restarts of PostgreSQL", 0)
    return CONNECTIONS * fell + sum(tally.get(fate, 0) for fate in Fate if fate not in (Fate.TAKEN, Fate.REFUSED))


def _line(scene: Scene) -> str:
    t = scene.tally
    return (
        f"{len(scene.provider.received):,} mails, {len(scene.people.ledger.answered):,} events heard, {t['contacts enrolled']:,} enrolled,"
        f" {t['kills'] + t['kills at a point']} kills, {t['freezes'] + t['freezes at a point']} freezes, {t['restarts of PostgreSQL']} restarts"
    )


def told(result: Result) -> str:
    """All of it, for people."""
    v = result.verdict
    lines = [f"{count:>9,} {name.replace('_', ' ')}" for name, count in sorted(result.tally.items())]
    lines += [
        f"{v.events:>9,} events, each in the database once",
        "",
        f"accepted twice {v.duplicates}, lost {v.lost}, stuck {v.stuck}, in doubt {v.in_doubt} (at most {result.allowed_doubts} may be):"
        f" {'all invariants hold' if result.holds else 'BROKEN'}",
        *(f"  {what}" for what in [*result.trouble, *v.breaches][:20]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=4)
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    say(f"seed {seed}, {chosen.minutes:g} minutes, {chosen.workers} workers")
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="dripiq-torture-", dir=parent) as name:
        result = torture(Ordeal(60 * chosen.minutes, seed, chosen.workers), Path(name))
    say(f"seed {seed}\n{told(result)}")
    return 0 if result.holds else 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
