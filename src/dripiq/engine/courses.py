"""Where does each campaign go when its plan is changed: to which plan, and onto which of its nodes?

Forward, all go to one plan; back, each goes to the version that it followed before. A version that a migration wrote says in its notes from where, and with
which mapping; one that a roll-back wrote says to which version it went back, so that going back twice goes back two steps, and not forth again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from dripiq.domain.errors import ConflictError, InputError
from dripiq.domain.plan.model import STOP, Plan
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.replan import targets, ways_back
from dripiq.repositories.replanning import (
    Version,
    read_last_migrations,
    read_version_plans,
    read_versions,
)
from dripiq.repositories.standing import LockedCampaign

NO_TARGET: Final = "no_target"
"""The new plan has no node for the one where the campaign stands: map it."""
NO_VERSION_BEFORE: Final = "no_version_before"
"""The campaign follows the plan that it was enrolled with."""


@dataclass(frozen=True, slots=True)
class Course:
    """From one plan to another.

    Attributes:
        document: the new plan, as it is stored.
        targets: the new plan's node, or `STOP`, by node of the old one.
        notes: what is recorded with the version.
    """

    since: Plan
    plan: Plan
    document: dict[str, Any]
    targets: Mapping[str, str]
    notes: dict[str, object]


Bound = tuple[Course, str]
"""A campaign's course, and the node that it goes to ("" for a draft)."""


class Chart(Protocol):
    """Tells campaigns that stand on one plan where they go, or, as a code, why nowhere."""

    def __call__(
        self, connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign]
    ) -> Mapping[str, Bound | str]: ...


@dataclass(frozen=True, slots=True)
class Forward:
    """All on one course."""

    course: Course

    def __call__(
        self, connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign]
    ) -> dict[str, Bound | str]:
        return {campaign.id: _bound(self.course, campaign) for campaign in campaigns}


@dataclass(frozen=True, slots=True)
class Back:
    """Each back to the version before."""

    since: Plan
    _plans: dict[str, tuple[Plan, dict[str, Any]]] = field(default_factory=dict)

    def __call__(
        self, connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign]
    ) -> dict[str, Bound | str]:
        ids = [campaign.id for campaign in campaigns]
        histories = read_versions(connection, tenant_id, ids)
        came = read_last_migrations(connection, tenant_id, ids)
        steps = {c.id: step_back(histories.get(c.id, ()), c.plan_hash) for c in campaigns}
        wanted = {step[1].plan_hash for step in steps.values() if step is not None} - self._plans.keys()
        if wanted:
            for plan_hash, document in read_version_plans(connection, tenant_id, ids, wanted).items():
                self._plans[plan_hash] = (parse_plan(document), document)
        found: dict[str, Bound | str] = {}
        for campaign in campaigns:
            step = steps[campaign.id]
            if step is None:
                found[campaign.id] = NO_VERSION_BEFORE
                continue
            left, to = step
            course = self._course(left, to)
            # Where it stands as the change left it, it goes back to where it was; else by the mapping, reversed. A message that left since is not undone.
            origin, landed = came.get(campaign.id, (None, None))
            stands, message = campaign.state.node_id, campaign.state.message
            as_left = landed == stands and (message is None or message.visit != campaign.state.visit)
            if left is histories[campaign.id][-1] and as_left and origin in course.plan.nodes:
                found[campaign.id] = (course, str(origin))
            else:
                found[campaign.id] = _bound(course, campaign)
        return found

    def _course(self, left: Version, to: Version) -> Course:
        plan, document = self._plans[to.plan_hash]
        there = (left.notes or {}).get("map") or {}
        mapping = ways_back(plan, self.since, there)
        notes: dict[str, object] = {"from": self.since.plan_hash, "map": mapping, "back_to": to.version}
        return Course(self.since, plan, document, targets(self.since, plan, mapping), notes)


def _bound(course: Course, campaign: LockedCampaign) -> Bound | str:
    stands = campaign.state.node_id
    target = "" if stands is None else course.targets.get(stands)
    return (course, target) if target is not None else NO_TARGET


def step_back(history: Sequence[Version], plan_hash: str) -> tuple[Version, Version] | None:
    """The migration that a campaign goes back over, and the version before it; None where there is none.

    Args:
        history: its versions, oldest first.
        plan_hash: the plan that it follows; where the last version is another's, somebody else changed it.
    """
    if not history or history[-1].plan_hash != plan_hash:
        return None
    at = len(history) - 1
    while (notes := history[at].notes) is not None and "back_to" in notes:
        earlier = [place for place in range(at) if history[place].version == notes["back_to"]]
        if not earlier:
            return None
        at = earlier[0]
    return (history[at], history[at - 1]) if at and history[at].notes is not None else None


def course_to(since: Plan, plan: Plan, document: dict[str, Any], mapping: Mapping[str, str]) -> Course:
    """The course from one plan to another.

    Raises:
        ConflictError: `other_channel`: a campaign stays on its channel.
        InputError: `unknown_node`: the mapping names a node that is in neither plan.
    """
    before, after = (p.nodes[p.start_node_id].channel for p in (since, plan))
    if before is not after:
        raise ConflictError(
            f"The campaigns are on {before}, the plan is on {after}: a campaign stays on its channel. Start new ones instead.",
            code="other_channel",
            facts={"from": str(before), "to": str(after)},
        )
    for old, new in mapping.items():
        _see_known(old, since, "the plan that the campaigns follow")
        if new != STOP:
            _see_known(new, plan, "the new plan")
    notes: dict[str, object] = {"from": since.plan_hash, "map": dict(mapping)}
    return Course(since, plan, document, targets(since, plan, mapping), notes)


def _see_known(node_id: str, plan: Plan, which: str) -> None:
    if node_id not in plan.nodes:
        near = get_close_matches(node_id, plan.nodes, n=1)
        hint = f' (did you mean "{near[0]}"?)' if near else ""
        raise InputError(
            f'The mapping names "{node_id}", which is no node of {which}{hint}.',
            code="unknown_node",
            facts={"node": node_id},
        )
