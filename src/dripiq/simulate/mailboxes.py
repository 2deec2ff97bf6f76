"""Where does a simulation's mail go, and what comes back when?

`Mailboxes` is a `Sender` that takes every mail at once, and remembers it: the witness of what was really handed over. What each recipient does with it
comes back at its time, as SendGrid would post it, or as a reply.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final

import orjson

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.provider_events import ProviderEvent
from dripiq.channels.sendgrid_events import PROVIDER
from dripiq.domain.events import EventType
from dripiq.domain.states import Channel, Confidence
from dripiq.simulate.behaviour import REPLY, Behaviour, deeds, of_texts
from dripiq.simulate.virtual_clock import VirtualClock
from dripiq.simulate.witnesses import Event, ReceivedMail

REPLIES: Final = "simulated"
"""The provider's name of replies, which SendGrid has no event for."""

BODY_EVENTS: Final = 2_000
"""Events in one request at most."""


class Mailboxes:
    """The recipients of one tenant's mail.

    Attributes:
        received: every mail, as it was handed over.
        answered: every event that was told so far, as SendGrid posts it; replies in the same form.
    """

    provider = PROVIDER
    capacity = 1_000
    timeout = timedelta(seconds=1)

    def __init__(self, tenant_id: str, channel: Channel, clock: VirtualClock, behaviour: Behaviour, seed: int) -> None:
        self.channel = channel
        self._tenant_id = tenant_id
        self._clock = clock
        self._behaviour = behaviour if channel is Channel.EMAIL else of_texts(behaviour)
        self._seed = seed
        self._taken: list[str] = []
        self._coming: dict[datetime, list[tuple[tuple[Any, ...], dict[str, Any]]]] = defaultdict(list)
        self._ticks: list[datetime] = []
        self.received: list[ReceivedMail] = []
        self.answered: list[Event] = []

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Take every message."""
        at = self._clock.time
        self.received.extend(
            ReceivedMail(at, m.to_address, m.from_address, m.id, m.tenant_id, m.id, m.message_id) for m in batch
        )
        self._taken.extend(m.id for m in batch)
        return [Outcome(m.id, Verdict.ACCEPTED) for m in batch]

    async def close(self) -> None:
        """Nothing is open."""

    def take_new(self) -> list[str]:
        """The ids of the messages that came since the last call."""
        taken, self._taken = self._taken, []
        return taken

    def expect(self, messages: Iterable[Any]) -> None:
        """Let the recipients of these messages (id, to_address, node_id, visit), which have just come, do what they will."""
        sent = self._clock.time
        for id, address, node_id, visit in messages:
            for number, deed in enumerate(deeds(self._behaviour, self._seed, address, node_id, visit)):
                at = sent + timedelta(seconds=int(deed.after))
                tick = self._clock.tick_after(at)
                if tick not in self._coming:
                    heappush(self._ticks, tick)
                event = {
                    "event": deed.event,
                    "timestamp": int(at.timestamp()),
                    "sg_event_id": f"{id}-{number}",
                    "email": address,
                    "dripiq_tenant": self._tenant_id,
                    "dripiq_message": id,
                    **dict(deed.fields),
                }
                self._coming[tick].append(((at, address, node_id, visit, number), event))

    @property
    def next_tick(self) -> datetime | None:
        """When something comes back next."""
        return self._ticks[0] if self._ticks else None

    def come(self) -> Iterator[tuple[list[bytes], list[ProviderEvent]]]:
        """What has come back by now, in rounds: bodies of the provider's requests, then replies; each recipient's in the order of their own times."""
        found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        while self._ticks and self._ticks[0] <= self._clock.time:
            found += self._coming.pop(heappop(self._ticks))
        events = [event for _, event in sorted(found, key=lambda pair: pair[0])]
        self.answered.extend(events)
        rounds: list[tuple[list[dict[str, Any]], list[ProviderEvent]]] = []
        last: dict[str, tuple[int, bool]] = {}
        for event in events:
            number, replied = last.get(event["email"], (0, False))
            is_reply = event["event"] == REPLY
            number += replied and not is_reply  # what comes after a reply is heard after it
            last[event["email"]] = (number, is_reply)
            if number == len(rounds):
                rounds.append(([], []))
            if is_reply:
                rounds[number][1].append(_reply(event))
            else:
                rounds[number][0].append(event)
        for others, replies in rounds:
            parts = (others[start : start + BODY_EVENTS] for start in range(0, len(others), BODY_EVENTS))
            yield [orjson.dumps(part) for part in parts], replies


def _reply(event: dict[str, Any]) -> ProviderEvent:
    return ProviderEvent(
        provider=REPLIES,
        event_type=EventType.REPLIED,
        event_at=datetime.fromtimestamp(event["timestamp"], UTC),
        provider_event_id=event["sg_event_id"],
        tenant_id=event["dripiq_tenant"],
        message_id=event["dripiq_message"],
        recipient=event["email"],
        confidence=Confidence.HUMAN,
    )
