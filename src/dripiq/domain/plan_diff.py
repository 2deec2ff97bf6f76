"""What does a change of plan do to the campaigns that it is made to?

Counts what each campaign's move comes to: who goes from where to where, which timers shift and how, who cannot move and why, and who would be sent a text
that they have had already. Bounded: what is listed by name are the first `LISTED`; everything is counted.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from dripiq.domain.moves import CLOSE, SEND, Decision, OpenAction
from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.model import NodeAction, Plan
from dripiq.domain.states import CampaignStatus

LISTED: Final = 1_000
"""How many contacts a list holds at most."""

_LINK: Final = re.compile(r"https?://\S*?/unsubscribe/[\w.\-]+")


@dataclass(slots=True)
class Shift:
    """How the actions of one name at one node shift.

    Attributes:
        was, becomes: the span that the plans give them; None where a plan has no such action there, or closes the visit with it.
        moved: how many have another time; by how much, is between `least` and `most` (below zero: earlier).
        added, dropped: how many there are only after, or only before.
        at_once: how many of those moved or added are due by now.
    """

    was: timedelta | None
    becomes: timedelta | None
    moved: int = 0
    added: int = 0
    dropped: int = 0
    at_once: int = 0
    least: timedelta | None = None
    most: timedelta | None = None

    def add(self, before: OpenAction | None, after: OpenAction | None, now: datetime) -> None:
        """Count one campaign's action, as it was and as it is."""
        if after is None:
            self.dropped += 1
            return
        self.at_once += after.run_at <= now
        if before is None:
            self.added += 1
            return
        by = after.run_at - before.run_at
        self.moved += 1
        self.least = by if self.least is None else min(by, self.least)
        self.most = by if self.most is None else max(by, self.most)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A contact who would be sent a text that they have had already."""

    campaign_id: str
    email: str | None
    node_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Stuck:
    """A campaign that cannot move, and why (a code)."""

    campaign_id: str
    node_id: str | None
    reason: str


@dataclass
class PlanDiff:
    """What a change of plan did, or would do.

    Attributes:
        since: the hash of the plan that the campaigns follow before.
        to: the hash of the plan that they follow after; None where each goes back to its own.
        applied: whether it was done.
        flows: how many campaigns go, by (node before, node after, status after); a node is None in a draft.
        shifts: how their timers and pending sends shift, by (node before, node after, name).
        stuck: the campaigns that cannot move, by reason; `stuck_list` names the first.
        repeats: how many contacts would be sent a text again, by node; `repeat_list` names the first.
    """

    since: str
    to: str | None
    applied: bool
    flows: Counter[tuple[str | None, str | None, CampaignStatus]] = field(default_factory=Counter)
    shifts: dict[tuple[str, str, str], Shift] = field(default_factory=dict)
    stuck: Counter[str] = field(default_factory=Counter)
    stuck_list: list[Stuck] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    repeat_list: list[Repeat] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """How many campaigns move."""
        return self.flows.total()

    def add(self, decision: Decision, since: Plan, plan: Plan, now: datetime) -> None:
        """Count one campaign that moves from one plan to another."""
        before, after = decision.before, decision.after
        self.flows[before.node_id, after.node_id, after.status] += 1
        if len(decision.moves) > 1 or after.status.is_final:
            return  # it went on, or ended: that says it
        was, becomes = ({action.ref.name: action for action in state.actions} for state in (before, after))
        for name in was | becomes:
            old, new = was.get(name), becomes.get(name)
            if old is None or new is None or old.run_at != new.run_at:
                key = (str(before.node_id), str(after.node_id), name)
                spans = (_span(since, before.node_id, name), _span(plan, after.node_id, name))
                self.shifts.setdefault(key, Shift(*spans)).add(old, new, now)

    def add_stuck(self, stuck: Stuck) -> None:
        """Count one campaign that cannot move."""
        self.stuck[stuck.reason] += 1
        if len(self.stuck_list) < LISTED:
            self.stuck_list.append(stuck)

    def add_repeat(self, repeat: Repeat) -> None:
        """Count one contact who would be sent a text again."""
        self.repeats[repeat.node_id] += 1
        if len(self.repeat_list) < LISTED:
            self.repeat_list.append(repeat)

    def as_json(self) -> dict[str, Any]:
        """The whole of it, JSON-ready but for its times; spans are ISO 8601 durations, with a minus sign where something comes earlier."""
        return {
            "from": self.since,
            "to": self.to,
            "applied": self.applied,
            "moved": self.moved,
            "stuck": self.stuck.total(),
            "repeats": self.repeats.total(),
            "flows": [
                {"from": before, "to": after, "status": str(status), "campaigns": count}
                for (before, after, status), count in sorted(self.flows.items(), key=lambda found: -found[1])
            ],
            "shifts": [
                {
                    "from": before,
                    "to": after,
                    "action": name,
                    "was": _signed(shift.was),
                    "becomes": _signed(shift.becomes),
                    "moved": shift.moved,
                    "least": _signed(shift.least),
                    "most": _signed(shift.most),
                    "added": shift.added,
                    "dropped": shift.dropped,
                    "at_once": shift.at_once,
                }
                for (before, after, name), shift in sorted(self.shifts.items())
            ],
            "repeats_by_node": dict(sorted(self.repeats.items())),
            "repeated": [
                {"campaign": r.campaign_id, "email": r.email, "node": r.node_id, "sent_at": r.sent_at}
                for r in self.repeat_list
            ],
            "stuck_by_reason": dict(sorted(self.stuck.items())),
            "stuck_campaigns": [
                {"campaign": s.campaign_id, "node": s.node_id, "reason": s.reason} for s in self.stuck_list
            ],
        }


def text_hash(subject: str | None, body: str | None, html: str | None) -> str:
    """SHA-256 (hex) of what a message says; where its unsubscribe link leads counts for nothing."""
    said = html if html is not None else body or ""
    return hashlib.sha256(f"{subject or ''}\0{_LINK.sub('', said)}".encode()).hexdigest()


def _span(plan: Plan, node_id: str | None, name: str) -> timedelta | None:
    """How long after its start an action of that name comes at a node."""
    node = plan.nodes.get(node_id or "")
    if node is None or name == CLOSE:
        return None
    if name == SEND:
        return node.delay if node.action is NodeAction.SEND else None
    return next((timer.after for timer in node.timers if timer.on == name), None)


def _signed(span: timedelta | None) -> str | None:
    if span is None:
        return None
    return f"-{format_duration(-span)}" if span < timedelta(0) else format_duration(span)
