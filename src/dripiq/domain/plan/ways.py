"""Can each way on from a node be taken, does it lead somewhere, and does a wait end?"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from dripiq.domain.events import AWAITED_BY_TIMER
from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.faults import Fault, FaultCode, Hints, quoted
from dripiq.domain.plan.model import ALWAYS_STOP, STOP, Node, NodeAction, Plan, Transition
from dripiq.domain.plan.spans import surplus
from dripiq.domain.plan.stays import Before, Exit


def way_faults(
    path: str, node: Node, plan: Plan, known: Mapping[Before, tuple[Exit, ...]], hints: Hints
) -> Iterator[Fault]:
    """What is wrong with a node's transitions.

    Args:
        path: the node's.
        known: the exits from the node, by what can come before it.
    """
    taken = {exit_.way for found in known.values() for exit_ in found}
    seen: dict[str, int] = {}
    for index, way in enumerate(node.transitions):
        here = f"{path}.transitions[{index}]"
        if way.to != STOP and way.to not in plan.nodes:
            yield no_target(f"{here}.to", way.to, plan.nodes, hints)
        if way.on in seen:
            yield answered_already(f"{here}.on", way.on, seen[way.on])
            continue
        seen[way.on] = index
        if way not in taken:
            yield _never_taken(here, node, way)
        yield from _outliving(here, node, plan, way)
    if node.action is NodeAction.WAIT and all(way.after is None and way.within is None for way in node.transitions):
        message = (
            f'Nothing ends the wait {quoted(node.id)}: give it a timer, such as "no_click" with "after", or a "within".'
        )
        yield Fault(f"{path}.transitions", FaultCode.ENDLESS_WAIT, message)


def no_target(path: str, target: str, node_ids: Iterable[str], hints: Hints) -> Fault:
    """A way to a node that there is not."""
    message = f'There is no node {quoted(target)}{hints.near(target, [*node_ids, STOP])}: name a node\'s id or "stop".'
    return Fault(path, FaultCode.DANGLING_TARGET, message)


def answered_already(path: str, trigger: str, index: int) -> Fault:
    """A second way for what the node answers in `transitions[index]`."""
    return Fault(
        path, FaultCode.AMBIGUOUS_TRANSITION, f'"{trigger}" is answered by transitions[{index}] already: keep one.'
    )


def _outliving(path: str, node: Node, plan: Plan, way: Transition) -> Iterator[Fault]:
    """A window that the timer waiting for the same event cuts short, if only on a day on which the clocks are set."""
    for timer in node.timers:
        if AWAITED_BY_TIMER[timer.on] is not way.on or timer.after is None or way.within is None:
            continue
        if surplus(plan, way.within, timer.after) > timedelta(0):
            hint = "" if way.within > timer.after else " (and days of the calendar can be shorter or longer)"
            message = (
                f'"{way.on}" counts for {format_duration(way.within)}, but "{timer.on}" moves on after '
                f'{format_duration(timer.after)}{hint}: make "within" no longer than "after".'
            )
            yield Fault(f"{path}.within", FaultCode.WINDOW_OUTLIVES_TIMER, message)


def _never_taken(path: str, node: Node, way: Transition) -> Fault:
    if way.on in ALWAYS_STOP:
        message = (
            f'Nothing more is sent after "{way.on}", so this leads nowhere: write "stop", or remove the transition.'
        )
        return Fault(f"{path}.to", FaultCode.NEVER_TAKEN, message)
    if way.after is None:
        message = (
            f'"{way.on}" can be of no message here, for none is sent before the wait {quoted(node.id)}: '
            "send one first, or remove the transition."
        )
        return Fault(f"{path}.on", FaultCode.NEVER_TAKEN, message)
    first = min(
        (timer for timer in node.timers if timer.after is not None), key=lambda timer: timer.after or timedelta(0)
    )
    alike = first.after == way.after
    message = (
        f'"{way.on}" never comes to move anybody on, for "{first.on}" always does so after {format_duration(first.after or way.after)}'
        f"{', and is listed first' if alike else ''}: make it the earlier one, or remove it."
    )
    return Fault(f"{path}.after", FaultCode.NEVER_TAKEN, message)
