"""How does a visit of a node end, and when?

What the machine does at one node, said in advance. Each `Exit` is a way on that can really be taken, or the end of the campaign because none can happen any
more. What can never be taken is left out:

* a timer behind another that surely fires first, at one instant because the plan lists it first: one that no event makes void without moving the
  campaign or making both void;
* an event of a message on a wait that no message comes before;
* `unsubscribed` and `spamreport` to anything but `stop`: the machine passes them over.

Times are counted from entry, for sends that are handed over and events that are reported at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from dripiq.domain.events import AWAITED_BY_TIMER, CONTACT_WIDE, IMPLIES, Trigger
from dripiq.domain.plan.model import ALWAYS_STOP, STOP, Node, NodeAction, Plan, Transition
from dripiq.domain.plan.spans import longest, shortest, surplus
from dripiq.domain.states import Confidence
from dripiq.domain.visits import OPEN_END

_NOTHING: Final = timedelta(0)


class Before(Enum):
    """Whether the provider took a message of this campaign before a node is entered. `OPENED`: it did, and a wait is entered as it is opened, so by a
    click perhaps, which from then on counts as a click only.
    """

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"
    OPENED = "opened"


Standing = tuple[str, Before]
"""A node's id, and what came before it."""


@dataclass(frozen=True, slots=True)
class Exit:
    """One way in which a visit can end.

    Attributes:
        way: the way on; None where nothing more can happen and the campaign completes.
        soonest: the least time from entry to it.
        latest: the most.
        after: whether a message has been taken by then.
    """

    way: Transition | None
    soonest: timedelta
    latest: timedelta
    after: Before


def standings(plan: Plan, closed: timedelta = _NOTHING) -> dict[Standing, tuple[Exit, ...]]:
    """Every standing that a campaign can come to from the plan's start, with the exits from it; none where the start is no node.

    Args:
        closed: how long a send can wait for an allowed moment (`timing.longest_closed`).
    """
    first = (plan.start_node_id, Before.NO)
    found: dict[Standing, tuple[Exit, ...]] = {}
    waiting = [first] if plan.start_node_id in plan.nodes else []
    while waiting:
        standing = waiting.pop()
        if standing not in found:
            found[standing] = exits(plan, plan.nodes[standing[0]], standing[1], closed)
            waiting.extend(leads for leads in map(target, found[standing]) if leads and leads[0] in plan.nodes)
    return found


def target(exit_: Exit) -> Standing | None:
    """Where an exit leads; None where it ends the campaign."""
    return None if exit_.way is None or exit_.way.to == STOP else (exit_.way.to, exit_.after)


def exits(plan: Plan, node: Node, before: Before, closed: timedelta = _NOTHING) -> tuple[Exit, ...]:
    """Every way in which a visit can end: those of the plan in its order, the end for want of any last."""
    return tuple(_Stay(plan, node, before).exits(closed))


class _Stay:
    """A visit, once its windows have started."""

    def __init__(self, plan: Plan, node: Node, before: Before) -> None:
        self.plan, self.node, self.before = plan, node, before
        self.sends = node.action is NodeAction.SEND
        self.ways: Mapping[Trigger, Transition] = {way.on: way for way in reversed(node.transitions)}
        self.timers = {on: way.after for on, way in self.ways.items() if way.after is not None}
        self.voiders = {on: list(self._voiders(on, after)) for on, after in self.timers.items()}
        self.firing = {on: after for on, after in self.timers.items() if self._can_fire(on, after)}

    def exits(self, closed: timedelta) -> Iterator[Exit]:
        entry_soonest = shortest(self.plan, self.node.delay) if self.sends else _NOTHING
        entry_latest = longest(self.plan, self.node.delay) + closed if self.sends else _NOTHING
        end = self._end()
        for way in dict.fromkeys(self.ways[way.on] for way in self.node.transitions):
            soonest, latest = entry_soonest, entry_latest
            if way.after is not None:
                if way.on not in self.firing:
                    continue
                soonest += shortest(self.plan, way.after)
                latest += longest(self.plan, way.after)
            elif not self._can_come(way):
                continue
            else:
                # What belongs to the contact may come before the send.
                soonest = _NOTHING if way.on in CONTACT_WIDE else soonest
                latest += end if way.within is None else min(end, longest(self.plan, way.within))
            yield Exit(way, soonest, latest, self._after(way))
        if all(self.voiders.values()):
            closes = self._closes()
            soonest = _NOTHING if closes is None else shortest(self.plan, closes)
            yield Exit(None, entry_soonest + soonest, entry_latest + end, Before.YES if self.sends else self.before)

    def _can_come(self, way: Transition) -> bool:
        if way.on in ALWAYS_STOP and way.to != STOP:
            return False
        return self.sends or self.before is not Before.NO or way.on in CONTACT_WIDE

    def _after(self, way: Transition) -> Before:
        """A send that is left has been taken, unless it was refused. What belongs to the contact and comes before it speaks of a message, too."""
        onward = self.plan.nodes.get(way.to)
        waits = onward is not None and onward.action is NodeAction.WAIT
        of_message = way.after is None and (self.sends or way.on not in CONTACT_WIDE)
        if waits and (way.on is Trigger.OPENED or (self.before is Before.OPENED and not way.after)):
            return Before.OPENED
        if self.sends and way.on is Trigger.FAILED and self.before in (Before.NO, Before.MAYBE):
            return Before.MAYBE
        return Before.YES if self.sends or of_message or self.before is Before.OPENED else self.before

    def _closes(self) -> timedelta | None:
        """The last window of those of the events; None where no event has a way on."""
        windows = [OPEN_END if way.within is None else way.within for way in self.ways.values() if way.after is None]
        return max(windows, key=lambda window: longest(self.plan, window), default=None)

    def _end(self) -> timedelta:
        """How long the windows can stay open."""
        ends = [longest(self.plan, after) for after in self.firing.values()]
        closes = self._closes()
        if closes is not None and all(self.voiders.values()):
            ends.append(longest(self.plan, closes))
        return max(ends, default=_NOTHING)

    def _can_fire(self, timer: Trigger, after: timedelta) -> bool:
        """Whether each timer that would surely fire earlier can be made void, and this one not with it."""
        awaited = AWAITED_BY_TIMER[timer]
        listed = [way.on for way in self.node.transitions]
        return all(
            any(awaited not in met for met in self.voiders[other])
            for other, earlier in self.timers.items()
            if surplus(self.plan, earlier, after) < _NOTHING
            or (surplus(self.plan, earlier, after) == _NOTHING and listed.index(other) < listed.index(timer))
        )

    def _voiders(self, timer: Trigger, after: timedelta) -> Iterator[frozenset[Trigger]]:
        """What each event that can make the timer void in time, and does not move the campaign, counts as."""
        awaited = AWAITED_BY_TIMER[timer]
        of_message = self.sends or self.before is not Before.NO
        if not of_message or awaited in self.ways or awaited in self.plan.stop_on:
            return
        for event in (awaited, *(one for one, implied in IMPLIES.items() if implied is awaited)):
            met = {event, *([IMPLIES[event]] if event in IMPLIES else [])}
            if all(self._can_miss(self.ways[one], after) for one in met if one in self.ways):
                yield frozenset(met - self.ways.keys())
        if self.before is Before.OPENED and awaited in IMPLIES:
            yield frozenset({awaited})

    def _can_miss(self, way: Transition, after: timedelta) -> bool:
        """Whether the event of `way` can come by `after` and not take it: on weak evidence, or out of its window."""
        if way.min_confidence is not Confidence.MACHINE:
            return True
        return way.within is not None and surplus(self.plan, way.within, after) < _NOTHING
