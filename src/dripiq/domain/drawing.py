"""What does the machine look like? `docs/state-machine.md` is written here, from its table, and never by hand.

The table is shown as it is declared; the diagram has every change of status that the rules make when campaigns of a plan with every kind of way on are
handed every kind of input, in every order.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from dripiq.domain.events import Trigger
from dripiq.domain.machine import TABLE, step
from dripiq.domain.moves import Accepted, Happened, Input, Pause, Refused, Replan, Resume, Start, State, Stop, TimerDue
from dripiq.domain.plan.model import STOP, Content, Node, NodeAction, Plan, Transition
from dripiq.domain.states import CampaignStatus, Channel

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_HEAD: Final = """\
# The state machine

Drawn from [`domain/machine.py`](../src/dripiq/domain/machine.py) by `python -m dripiq.domain.drawing`; a test holds this page to it. What the rules
decide where the plan language leaves room is in [decision 7](decisions/0007-the-machine.md).

## Statuses

"""


def render() -> str:
    """The page, as Markdown."""
    return "".join((_HEAD, _diagram(), "\n## The table\n\n", _table(), "\n## The rules\n\n", _rules()))


def changes() -> dict[tuple[CampaignStatus, CampaignStatus], set[str]]:
    """Every change of status that some input makes, and what it is recorded as (`campaign_transitions.trigger`)."""
    found: dict[tuple[CampaignStatus, CampaignStatus], set[str]] = {}
    seen: set[object] = set()
    waiting = [State(CampaignStatus.DRAFT)]
    while waiting:
        state = waiting.pop()
        for event in _inputs(state):
            decision = step(_SHOWCASE, state, event, event.at)
            for move in decision.moves:
                if move.from_status is not move.to_status:
                    found.setdefault((move.from_status, move.to_status), set()).add(move.trigger)
            after = decision.after
            kind = (after.status, after.node_id, after.message is None, tuple(a.ref.name for a in after.actions))
            if kind not in seen:
                seen.add(kind)
                waiting.append(after)
    return found


def _ways(*triggers: Trigger, to: str) -> tuple[Transition, ...]:
    day = timedelta(days=1)
    return tuple(Transition(on, to, after=day if on.is_timer else None) for on in triggers)


_T = Trigger
_SHOWCASE: Final = Plan(
    "1.1",
    "UTC",
    "a",
    {
        node.id: node
        for node in (
            Node("a", Channel.EMAIL, NodeAction.SEND, (Content("s", "b"),), transitions=(
                *_ways(_T.OPENED, _T.NO_OPEN, to="b"), *_ways(_T.CLICKED, _T.DELIVERED, _T.BLOCKED, _T.FAILED, to=STOP))),
            Node("b", Channel.EMAIL, NodeAction.WAIT, transitions=(
                *_ways(_T.CLICKED, to="c"), *_ways(_T.NO_CLICK, to=STOP))),
            Node("c", Channel.EMAIL, NodeAction.SEND, (Content("s", "b"),), transitions=_ways(_T.OPENED, to="d")),
            Node("d", Channel.EMAIL, NodeAction.SEND, (Content("s", "b"),)),
        )
    },
    "",
    max_visits=2,
)  # fmt: skip


def _inputs(state: State) -> Iterator[Input]:
    at = (state.entered_at or _EPOCH) + timedelta(hours=1)
    node_id, visit = state.node_id or "a", state.visit
    message_id = state.message.id if state.message is not None else f"m{visit}"
    yield from (Start(at), Pause(at), Resume(at), Stop(at, "stopped_by_operator"))
    yield from (Replan(at, target, _SHOWCASE) for target in (*_SHOWCASE.nodes, STOP))
    yield Accepted(at, f"m{visit}", node_id, visit)
    yield Refused(at, node_id, visit, "550")
    for action in state.actions:
        yield TimerDue(action.run_at, *action.ref)
    for trigger in Trigger:
        if not trigger.is_timer:
            yield Happened(at, trigger, message_id, f"{trigger}{visit}")


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {CampaignStatus.DRAFT}: enrolled"]
    for (before, after), triggers in sorted(changes().items(), key=lambda found: _place(*found[0])):
        lines.append(f"    {before} --> {after}: {', '.join(sorted(triggers))}")
    lines += [f"    {status} --> [*]" for status in CampaignStatus if status.is_final]
    return "\n".join([*lines, "```", ""])


def _place(*statuses: CampaignStatus) -> list[int]:
    order = list(CampaignStatus)
    return [order.index(status) for status in statuses]


def _table() -> str:
    kinds = list(dict.fromkeys(kind for _, kind in TABLE))
    lines = ["| input | " + " | ".join(CampaignStatus) + " |", "|---" * (len(CampaignStatus) + 1) + "|"]
    for kind in kinds:
        cells = " | ".join(_name(TABLE[status, kind]) for status in CampaignStatus)
        lines.append(f"| {kind.__name__} | {cells} |")
    return "\n".join([*lines, ""])


def _rules() -> str:
    rules = dict.fromkeys(TABLE.values())
    lines = [f"| {_name(rule)} | {' '.join((rule.__doc__ or '').split())} |" for rule in rules]
    return "\n".join(["| rule | |", "|---|---|", *lines, ""])


def _name(rule: object) -> str:
    return getattr(rule, "__name__", "").strip("_").replace("_", " ")


if __name__ == "__main__":
    sys.stdout.write(render())
