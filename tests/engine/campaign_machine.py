"""A tenant's campaigns under whatever may happen, in any order: the state machine of `test_stateful`.

Every step is a stage or a caller on the real database. A worker's step may be cut in two at any of its points (`dripiq.engine.faults`): there it dies, or
somebody else does something, on another connection. The provider's record is the witness, and what was done before (`campaign_machine_model`).
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch import Outbox, dispatch
from dripiq.engine.faults import watch_senders
from dripiq.engine.fire import fire
from dripiq.engine.ingest import ingest
from dripiq.engine.normalise import normalise
from dripiq.engine.resolve import settle
from dripiq.engine.upkeep import expire
from dripiq.repositories.audit import read_record
from dripiq.simulate.invariants import broken_chains, events_once, sent_once, stuck
from dripiq.simulate.witnesses import Event
from tests.engine import campaign_world_reading as reading
from tests.engine.campaign_machine_draws import (
    DEEDS,
    EVERYBODY,
    HOLDS,
    LAST_MOMENT,
    NAMED,
    STEERED,
    Cut,
    answers,
    event_of,
    lateness,
    minutes,
    numbers,
    some,
    words,
)
from tests.engine.campaign_machine_model import Model
from tests.engine.campaign_world import PEOPLE, Provider, settle_world
from tests.engine.campaign_world_deeds import take_hold

LEASE = timedelta(minutes=2)


class DiedError(Exception):
    """The worker's process is gone."""


class Campaigns(RuleBasedStateMachine):
    """`others` is where callers work, `workers` where stages do, which tell `reached` of their points."""

    others: ClassVar[Engine]
    workers: ClassVar[Engine]
    neighbour_id: ClassVar[str]
    reached: ClassVar[Callable[[str], None]]
    tally: ClassVar[Counter[str]] = Counter()
    settled = False

    @initialize(limited=st.booleans(), takes_turns=st.booleans(), who=some)
    def settle_in(self, limited: bool, takes_turns: bool, who: frozenset[int]) -> None:
        self.world = settle_world(self.others, limited=limited, takes_turns=takes_turns)
        addresses = dict(
            self.world.rows("SELECT id, email FROM dripiq_app.lead_point_of_contacts WHERE tenant_id = :tenant_id")
        )
        self.model = Model(addresses, limited)
        self.provider = Provider(self.world.clock)
        self.answered: list[Event] = []
        self.wrong: list[str] = []
        self.cut: Cut | None = None
        self.dead = self.is_whole = False
        self.settled = True
        type(self).reached = self._at
        self._hold("enrol", who | {0, PEOPLE - 1})

    # A worker's rounds.

    @rule(minutes=minutes, answers=answers)
    def act(self, minutes: int, answers: list[str]) -> None:
        """A worker acts on what is due by now."""
        self.world.clock.pass_(minutes=minutes)
        self._work(self._act, None, answers)

    @rule(
        minutes=minutes, answers=answers, where=st.sampled_from(NAMED) | numbers, deed=st.sampled_from(DEEDS), who=some
    )
    def act_interrupted(
        self, minutes: int, answers: list[str], where: int | str, deed: str, who: frozenset[int]
    ) -> None:
        """The same with everybody who can begin beginning, cut in two."""
        self._hold("enrol", EVERYBODY)
        self.world.clock.pass_(minutes=minutes)
        self._work(self._act, (where, deed, who), answers)

    @rule(deed=st.sampled_from(HOLDS), who=some)
    def act_held_at_the_last_moment(self, deed: str, who: frozenset[int]) -> None:
        """Nothing stands in the way, what begins passes the gates, and then somebody takes hold."""
        self._begin()
        self._work(self._act, (LAST_MOMENT, deed, who), ["taken"])

    @rule(where=st.just(0) | numbers, deed=st.sampled_from(("die", "pause", "resume", "stop", "switch")), who=some)
    def listen(self, where: int, deed: str, who: frozenset[int]) -> None:
        """A worker normalises what has come in, and may be cut in two."""
        self._work(self._listen, (where, deed, who) if where else None)

    @rule(where=st.just(0) | numbers, deed=st.sampled_from(("die", "pause", "resume", "stop", "tell")), who=some)
    def keep_up(self, where: int, deed: str, who: frozenset[int]) -> None:
        """A worker puts right what broke, and may be cut in two."""
        self._work(self._keep_up, (where, deed, who) if where else None)

    def _begin(self) -> None:
        for deed in ("switch back", "resume sender", "lift", "resume", "enrol"):
            self._hold(deed, EVERYBODY)

    def _work(self, round: Callable[[], None], cut: Cut | None, answers: list[str] | None = None) -> None:
        self.provider.answers = answers or ["taken"]
        with self._cut_at(cut):
            round()

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

    # What others do.

    @rule(who=some)
    def enrol(self, who: frozenset[int]) -> None:
        self._hold("enrol", who)

    @rule(deed=st.sampled_from(STEERED), who=some)
    def take_hold(self, deed: str, who: frozenset[int]) -> None:
        """Somebody takes hold of some people's campaigns, or of the tenant's sending, or lets go of them."""
        self._hold(deed, who)

    @rule(minutes=minutes, words=words, number=st.integers(0, 4), late=lateness)
    def tell(self, minutes: int, words: list[str], number: int, late: int) -> None:
        """The provider tells something of a mail that it took, the last ones before the first."""
        self._tell(minutes, words, number, late)

    def _tell(self, minutes: int, words: list[str], number: int, late: int) -> None:
        self.world.clock.pass_(minutes=minutes)
        if not self.provider.taken:
            return
        taken = sorted(self.provider.taken, key=lambda mail: (mail.began_at, mail.recipient))
        mail = taken[-1 - number % len(taken)]
        now = int(self.world.clock.time.timestamp())
        self._post([event_of(mail, word, now - late - at, len(self.answered)) for at, word in enumerate(words)])

    @rule(minutes=minutes, words=words, number=st.integers(0, 4), late=lateness)
    def tell_and_listen(self, minutes: int, words: list[str], number: int, late: int) -> None:
        """The same, and a worker takes note at once."""
        self._tell(minutes, words, number, late)
        self._work(self._listen, None)

    @rule(number=st.integers(0, 20))
    def tell_again(self, number: int) -> None:
        if self.answered:
            self._post([self.answered[-1 - number % len(self.answered)]])

    def _hold(self, deed: str, who: frozenset[int]) -> None:
        self.wrong += take_hold(self.world, self.model, deed, [self.world.contacts[at] for at in sorted(who)])

    def _post(self, events: list[Event]) -> None:
        with self.others.begin() as connection:
            ingest(connection, json.dumps(events).encode(), self.world.clock.time)
        self.answered += events
        self.model.posted(events)

    # Cutting a worker's step in two.

    @contextmanager
    def _cut_at(self, cut: Cut | None) -> Iterator[None]:
        self.cut, self.dead, self.is_whole = cut, False, cut is None
        try:
            yield
        except Exception as error:
            # What a deed was refused or did comes back to the worker as what the database says; anything else is a fault.
            if not self.dead and (cut is None or not isinstance(error, OperationalError)):
                raise
        finally:
            self.cut, self.dead = None, False

    def _at(self, point: str) -> None:
        """The worker has come to one of its points."""
        if self.dead:
            raise DiedError
        if point == "dispatch.commit:COMMIT:after":
            with self.others.begin() as connection:
                rows = connection.execute(reading.NEWLY_SENDING, {"tenant_id": self.world.tenant_id}).all()
            self.wrong += self.model.let_leave(rows, self.world.clock.time)
        if self.cut is None:
            return
        where, deed, who = self.cut
        if isinstance(where, int) and where > 1:
            self.cut = where - 1, deed, who
        elif where in (1, point):
            self.cut = None
            self._do(deed, who)

    def _do(self, deed: str, who: frozenset[int]) -> None:
        self.tally[f"{deed} at a point"] += 1
        if deed == "die":
            self.dead = True
            raise DiedError
        try:
            match deed:
                case "tell":
                    now = int(self.world.clock.time.timestamp())
                    for mail in self.provider.taken[-3:]:
                        self._post([event_of(mail, word, now, len(self.answered)) for word in ("delivered", "open")])
                    normalise(self.others, self.world.clock, self.world.tenant_id)
                case "lose the lease":  # the worker was frozen for longer than its lease, and others have noticed
                    self.world.clock.pass_(minutes=5)
                    expire(self.others, self.world.clock, LEASE)
                case _:
                    self._hold(deed, who)
        except OperationalError:  # the worker holds what it needs: a caller would hear so too
            self.tally[f"{deed} at a point, refused"] += 1

    # What must hold.

    @invariant()
    def all_is_as_it_has_to_be(self) -> None:
        if not self.settled:
            return
        tenant = {"tenant_id": self.world.tenant_id}
        with self.others.begin() as connection:
            record = read_record(connection, [self.world.tenant_id], virtual=True)
            assumed = set(connection.execute(reading.ASSUMED, tenant).scalars())
            campaigns = connection.execute(reading.CAMPAIGNS, tenant).all()
            starts = {row.contact_id: row.times for row in connection.execute(reading.STARTS, tenant)}
            unread = connection.execute(reading.UNREAD, tenant).scalar()
            self.wrong += reading.breaches(connection, self.world.tenant_id, self.neighbour_id)
        if self.provider.closed and self.is_whole:  # a worker that dies before it takes note leaves them open
            self.model.close(self.provider.closed, self.model.campaigns.values())
        self.provider.closed.clear()
        wrong = [*self.wrong, *self.model.faults_of(campaigns, starts, self.provider)]
        if not unread and self.model.unheard:
            self.model.heard({row.id: self.model.campaigns[row.campaign_id] for row in record.messages})
            wrong += self.model.faults_of(campaigns, starts, self.provider)
        known = {mail.message_id for mail in self.provider.taken}
        rows = [row for row in record.messages if row.id in known or row.id not in assumed]
        wrong += [*sent_once(rows, self.provider.taken), *stuck(record.campaigns)]
        wrong += broken_chains(record.campaigns, record.moves)
        assert not wrong, wrong

    def teardown(self) -> None:
        """Whatever was, once all is let go on everything comes to its end."""
        if not self.settled:
            return
        try:
            self._come_to_an_end()
        finally:
            self.world.execute("DELETE FROM dripiq_app.tenants WHERE id = :tenant_id")

    def _come_to_an_end(self) -> None:
        for deed in ("switch back", "resume sender", "resume"):
            self._hold(deed, EVERYBODY)
        for _ in range(30):
            self.world.clock.pass_(hours=26)
            for stage in (self._keep_up, self._listen, self._act):
                self._work(stage, None)
            if not self.world.value(reading.OPEN):
                break
        self.all_is_as_it_has_to_be()
        with self.others.begin() as connection:
            record = read_record(connection, [self.world.tenant_id], virtual=True)
        sent = {row.campaign_id for row in record.messages if row.sent_at is not None}
        wrong = list(events_once(record.events, self.answered))
        for campaign in record.campaigns:
            if campaign.status not in reading.ENDED:
                wrong.append(f"{campaign} has not ended")
            elif campaign.status == "completed" and campaign.id not in sent:
                wrong.append(f"{campaign} is complete, and nothing of it was sent")
        assert not wrong, wrong
        self.tally["examples"] += 1
        self.tally["mails taken"] += len(self.provider.taken)
        self.tally["events"] += len(self.answered)
        self.tally["campaigns"] += len(record.campaigns)
