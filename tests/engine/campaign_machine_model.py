"""What follows from what was done to `campaign_machine`'s tenant, whatever its database says.

Told of each deed once its COMMIT has returned, and of each event that was posted; knows whom nothing may leave to, and whose campaign has to be over.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dripiq.simulate.witnesses import Event
from tests.engine.campaign_world import CLOSING, MOST_AN_HOUR, SENDER, Provider
from tests.engine.campaign_world_reading import ENDED


@dataclass
class Model:
    """A tenant as it has to be.

    Attributes:
        addresses: of each contact, by id.
        campaigns: the contact of each campaign, by its id, as far as seen.
        closed: addresses that nobody may write to.
        paused, over: contacts whose campaign is paused, or has to be in a final state.
        started: how often each contact was enrolled.
        unheard: events of new kinds that nobody has normalised yet.
        left: when something became `sending`.
    """

    addresses: dict[str, str]
    limited: bool
    campaigns: dict[str, str] = field(default_factory=dict)
    switched_off: bool = False
    sender_paused: bool = False
    closed: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    started: Counter[str] = field(default_factory=Counter)
    unheard: list[Event] = field(default_factory=list)
    told: set[object] = field(default_factory=set)
    left: list[datetime] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    # What is done.

    def enrolled(self, people: Collection[str]) -> None:
        self.started.update(people)
        self.paused.difference_update(people)
        self.over.difference_update(people)

    def took_hold(self, deed: str, people: Collection[str], standing: Mapping[str, str]) -> None:
        """Somebody did a deed to these people; `standing` is the status that their campaigns had, by contact, where they had one."""
        match deed:
            case "pause":
                self.paused.update(person for person in people if standing.get(person) == "active")
            case "resume":
                self.paused.difference_update(people)
            case "stop":
                self.over.update(person for person in people if person in standing)
            case "suppress":
                self.close({self.addresses[person] for person in people}, standing)
            case "lift":
                self.closed.difference_update(self.addresses[person] for person in people)
            case "switch" | "switch back":
                self.switched_off = deed == "switch"
            case "pause sender" | "resume sender":
                self.sender_paused = deed == "pause sender"

    def close(self, addresses: Collection[str], standing: Collection[str], spared: Collection[str] = ()) -> None:
        """Nobody may write to these addresses; whose campaign does is over, but for those spared, whose plan may answer."""
        self.closed.update(addresses)
        self.over.update(p for p in standing if self.addresses[p] in addresses and p not in spared)

    def posted(self, events: Iterable[Event]) -> None:
        new = {event["sg_event_id"]: event for event in events if event["sg_event_id"] not in self.told}
        self.unheard += new.values()
        self.told.update(new)

    def heard(self, owners: Mapping[str, str]) -> None:
        """All that was posted is normalised; `owners` has the contact of each message."""
        for event in self.unheard:
            if event["event"] in CLOSING and event.get("type") != "blocked":
                own = [owners[str(event["dripiq_message"])]] if event["event"] == "bounce" else []
                self.close({str(event["email"])}, self.campaigns.values(), own)
        self.unheard.clear()

    # What must hold.

    def let_leave(self, rows: Sequence[Any], now: datetime) -> Iterator[str]:
        """What has just become `sending` although it must not."""
        for row in rows:
            if (row.id, row.attempts) in self._seen:
                continue
            self._seen.add((row.id, row.attempts))
            self.left.append(now)
            against = {
                "the kill switch is on": self.switched_off,
                "its address is closed": row.to_address in self.closed,
                "its sender is paused": self.sender_paused,
                "its campaign is paused": row.contact_id in self.paused,
                "its campaign is over": row.contact_id in self.over,
                "its campaign is not active": row.status != "active",
            }
            yield from (f"became sending, and {why}: {row}" for why, holds in against.items() if holds)
        crowded = self.left[-1 - MOST_AN_HOUR :] if self.limited else []
        if len(crowded) > MOST_AN_HOUR and crowded[-1] - crowded[0] < timedelta(hours=1):
            yield f"more than {MOST_AN_HOUR} became sending within an hour: {crowded}"

    def faults_of(self, campaigns: Sequence[Any], starts: Mapping[str, int], provider: Provider) -> Iterator[str]:
        """Campaigns that stand otherwise than they have to, and mails that somebody else sent."""
        self.campaigns |= {row.id: row.contact_id for row in campaigns}
        for row in campaigns:
            if row.status in ENDED:
                self.paused.discard(row.contact_id)
            elif row.contact_id in self.over:
                yield f"{row} has to be over"
            elif (row.status == "paused") != (row.contact_id in self.paused):
                yield f"{row} has to be {'paused' if row.contact_id in self.paused else 'active'}"
        if dict(starts) != dict(self.started):
            yield f"started {dict(starts)}, and enrolled were {dict(self.started)}"
        yield from (f"{mail} is another's" for mail in provider.taken if mail.sender != SENDER)
