"""A tenant's campaigns under whatever may happen, in any order: the state machine of `test_stateful`.

Every step is a stage or a caller on the real database. A worker's step may be cut in two at any of its points (`dripiq.engine.faults`): there it dies, or
somebody else does something, on another connection. The provider's record is the witness.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from dripiq.domain.states import Channel
from dripiq.engine import steer
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch import Outbox, dispatch
from dripiq.engine.faults import watch_senders
from dripiq.engine.fire import fire
from dripiq.engine.ingest import ingest
from dripiq.engine.normalise import normalise
from dripiq.engine.resolve import settle
from dripiq.engine.suppress import suppress
from dripiq.engine.upkeep import expire
from dripiq.repositories.audit import read_record
from dripiq.simulate.invariants import broken_chains, events_once, sent_once, stuck
from dripiq.simulate.witnesses import Event, ReceivedMail
from tests.engine.campaign_world import ANSWERS, ASSUMED, CAMPAIGNS_OF, NEWLY_SENDING, OPEN, PLAN, WORDS, Provider
from tests.engine.conftest import World, settle_tenant

PEOPLE = 4
LEASE = timedelta(minutes=2)
DEEDS = ("die", "pause", "resume", "stop", "suppress", "switch", "switch back", "tell", "lose the lease")

Cut = tuple[int | str, str]
"""At which of its points a worker's step is cut in two (by number, or by name), and by what."""
NAMED = (
    "claim:COMMIT:after", "dispatch.prepare:READ_SENDS:after", "dispatch.prepare:COMMIT:after", "dispatch.commit:LOCK_SHARED:before",
    "dispatch.commit:COMMIT:before", "dispatch.commit:COMMIT:after", "dispatch.hand_over:SEND:before", "dispatch.hand_over:SEND:halfway",
    "dispatch.hand_over:SEND:after", "dispatch.record:COMMIT:before", "dispatch.record:COMMIT:after", "resolve:FIND_OLD_DOUBTS:after",
)  # fmt: skip
moments = st.none() | st.tuples(st.sampled_from(NAMED) | st.integers(1, 90), st.sampled_from(DEEDS))
answers = st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3)
chosen = st.sets(st.integers(0, PEOPLE - 1), min_size=1)


class DiedError(Exception):
    """The worker's process is gone."""


class Campaigns(RuleBasedStateMachine):
    """`others` is where callers work, `workers` where stages do, which tell `reached` of their points."""

    others: ClassVar[Engine]
    workers: ClassVar[Engine]
    reached: ClassVar[Callable[[str], None]]
    tally: ClassVar[Counter[str]] = Counter()

    @initialize()
    def settle_in(self) -> None:
        self.world = World(self.others, Path())
        self.world.tenant_id, _, self.world.contacts = settle_tenant(self.others, PEOPLE)
        self.provider = Provider(self.world.clock)
        self.answered: list[Event] = []
        self.seen: set[tuple[str, int]] = set()
        self.wrong: list[str] = []
        self.cut: Cut | None = None
        self.dead = False
        type(self).reached = self._at
        self._steer("enrol", {0, 1, 2})

    @rule(stage=st.sampled_from(["act", "act", "act", "listen", "keep up"]), answers=answers, cut=moments)
    def work(self, stage: str, answers: list[str], cut: Cut | None) -> None:
        """A round of a worker: it acts on what is due, normalises what has come in, or puts right what broke."""
        self.provider.answers = cycle(answers)
        with self._cut_at(cut):
            {"act": self._act, "listen": self._listen, "keep up": self._keep_up}[stage]()

    @rule(deed=st.sampled_from(["enrol", "pause", "resume", "stop", "suppress", "switch", "switch back"]), who=chosen)
    def take_hold(self, deed: str, who: set[int]) -> None:
        """Somebody takes hold of some people's campaigns, or of the tenant's sending."""
        self._steer(deed, who)

    def _act(self) -> None:
        lease = claim(self.workers, self.world.clock, self.world.tenant_id, Share(lease=LEASE))
        fire(self.workers, self.world.clock, lease)
        senders = watch_senders({Channel.EMAIL: self.provider}, self._at)
        asyncio.run(dispatch(Outbox(self.workers, self.world.clock, senders), lease))

    def _listen(self) -> None:
        while normalise(self.workers, self.world.clock, self.world.tenant_id):
            pass

    def _keep_up(self) -> None:
        expire(self.workers, self.world.clock, LEASE)
        settle(self.workers, self.world.clock)

    def _steer(self, deed: str, who: set[int]) -> None:
        tenant_id, now = self.world.tenant_id, self.world.clock.time
        if deed == "enrol":
            self.world.enroll(PLAN, [self.world.contacts[at] for at in who])
            return
        people = [self.world.contacts[at] for at in who]
        found = [row.id for row in self.world.rows(CAMPAIGNS_OF, people=people)]
        with self.others.begin() as connection:
            match deed:
                case "suppress":
                    suppress(connection, tenant_id, [f"c{at + 1}@example.com" for at in who], now=now)
                case "switch":
                    steer.pause_sending(connection, tenant_id, reason="test", now=now)
                case "switch back":
                    steer.resume_sending(connection, tenant_id, now=now)
                case "pause":
                    steer.pause(connection, tenant_id, found, now=now)
                case "resume":
                    steer.resume(connection, tenant_id, found, now=now)
                case "stop":
                    steer.stop(connection, tenant_id, found, now=now)

    @rule(
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
        number=st.integers(0, 20),
        late=st.sampled_from([0, 1, 3_600, 86_400]),
        again=st.booleans(),
    )
    def tell(self, words: list[str], number: int, late: int, again: bool) -> None:
        """The provider tells something of a mail that it took, or tells again what it told."""
        if again and self.answered:
            self._post([self.answered[number % len(self.answered)]])
        elif self.provider.taken:
            mail = self.provider.taken[-1 - number % len(self.provider.taken)]
            self._post([self._event(mail, word, late + at) for at, word in enumerate(words)])

    @rule(minutes=st.sampled_from([1, 5, 25, 180, 1_500]))
    def wait(self, minutes: int) -> None:
        self.world.clock.pass_(minutes=minutes)

    def _event(self, mail: ReceivedMail, word: str, late: int) -> Event:
        more = {"bounce": {"type": "bounce", "status": "5.1.1"}, "blocked": {"type": "blocked", "status": "5.7.1"}}
        return {
            "event": "bounce" if word == "blocked" else word,
            "timestamp": int(self.world.clock.time.timestamp()) - late,
            "sg_event_id": f"{mail.message_id}-{len(self.answered)}-{word}-{late}", "email": mail.recipient,
            "sg_message_id": mail.queue_id, "dripiq_tenant": mail.tenant_id, "dripiq_message": mail.message_id,
            **more.get(word, {}), **({"url": "https://example.com/"} if word == "click" else {}),
        }  # fmt: skip

    def _post(self, events: list[Event]) -> None:
        with self.others.begin() as connection:
            ingest(connection, json.dumps(events).encode(), self.world.clock.time)
        self.answered += events

    # Cutting a worker's step in two.

    @contextmanager
    def _cut_at(self, cut: Cut | None) -> Iterator[None]:
        self.cut, self.dead = cut, False
        try:
            yield
        except Exception as error:
            # What a deed was refused or did comes back to the worker as what the database says; anything else is a fault.
            if not self.dead and not isinstance(error, OperationalError):
                raise
        finally:
            self.cut, self.dead = None, False

    def _at(self, point: str) -> None:
        """The worker has come to one of its points."""
        if self.dead:
            raise DiedError
        if point == "dispatch.commit:COMMIT:after":
            self._see_who_may_leave()
        if self.cut is None:
            return
        where, deed = self.cut
        if isinstance(where, int) and where > 1:
            self.cut = where - 1, deed
        elif where in (1, point):
            self.cut = None
            self._do(deed)

    def _do(self, deed: str) -> None:
        self.tally[f"{deed} at a point"] += 1
        if deed == "die":
            self.dead = True
            raise DiedError
        try:
            match deed:
                case "tell":
                    self._tell_and_listen()
                case "lose the lease":
                    self._lose_the_lease()
                case _:
                    self._steer(deed, set(range(PEOPLE)))
        except OperationalError:  # the worker holds what it needs: a caller would hear so too
            self.tally[f"{deed} at a point, refused"] += 1

    def _tell_and_listen(self) -> None:
        for mail in self.provider.taken[-3:]:
            self._post([self._event(mail, "delivered", 0), self._event(mail, "open", 0)])
        normalise(self.others, self.world.clock, self.world.tenant_id)

    def _lose_the_lease(self) -> None:
        """The worker was frozen for longer than its lease, and others have noticed."""
        self.world.clock.pass_(minutes=5)
        expire(self.others, self.world.clock, LEASE)

    # What must hold.

    def _see_who_may_leave(self) -> None:
        """Of what has just been committed to sending, nothing was suppressed, stopped, paused or switched off before."""
        with self.others.begin() as connection:
            found = connection.execute(NEWLY_SENDING, {"tenant_id": self.world.tenant_id}).all()
        for row in found:
            if (row.id, row.attempts) not in self.seen and (row.closed or row.switched or row.status != "active"):
                self.wrong.append(f"became sending: {row}")
            self.seen.add((row.id, row.attempts))

    @invariant()
    def nothing_is_twice_or_stuck(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.others.begin() as connection:
            record = read_record(connection, [self.world.tenant_id], virtual=True)
            assumed = {row.id for row in connection.execute(text(ASSUMED), {"tenant_id": self.world.tenant_id})}
        known = {mail.message_id for mail in self.provider.taken}
        rows = [row for row in record.messages if row.id in known or row.id not in assumed]
        wrong = [*self.wrong, *sent_once(rows, self.provider.taken), *stuck(record.campaigns)]
        wrong += broken_chains(record.campaigns, record.moves)
        assert not wrong, wrong

    def teardown(self) -> None:
        """Whatever was, once all is let go on everything comes to its end."""
        if not hasattr(self, "world"):
            return
        try:
            self._come_to_an_end()
        finally:
            self.world.execute("DELETE FROM dripiq_app.tenants WHERE id = :tenant_id")

    def _come_to_an_end(self) -> None:
        self.provider.answers = cycle(["taken"])
        self._steer("switch back", set())
        self._steer("resume", set(range(PEOPLE)))
        for _ in range(30):
            self.world.clock.pass_(hours=26)
            self._keep_up()
            self._listen()
            self._act()
            if not self.world.value(OPEN):
                break
        self.nothing_is_twice_or_stuck()
        with self.others.begin() as connection:
            record = read_record(connection, [self.world.tenant_id], virtual=True)
        wrong = list(events_once(record.events, self.answered))
        wrong += [
            f"{campaign} has not ended"
            for campaign in record.campaigns
            if campaign.status not in ("completed", "stopped", "error")
        ]
        sent = {row.campaign_id for row in record.messages if row.sent_at is not None}
        wrong += [
            f"{campaign} is complete, and nothing of it was sent"
            for campaign in record.campaigns
            if campaign.status == "completed" and campaign.id not in sent
        ]
        assert not wrong, wrong
        self.tally["examples"] += 1
        self.tally["mails taken"] += len(self.provider.taken)
        self.tally["events"] += len(self.answered)
        self.tally["campaigns"] += len(record.campaigns)
