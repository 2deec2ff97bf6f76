"""How do campaigns that are under way go on under another plan, or back under the one before?

Surveyed or applied, it is the same computation: campaigns are locked, each is bound for a node of its new plan, and the machine says what follows. A survey
undoes its locks and writes nothing. A campaign whose send a worker holds, or whose message is in doubt, stays where it is: so no worker has the old plan's
text in hand for a campaign that follows the new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.errors import ConflictError, NotFoundError
from dripiq.domain.moves import Decision, Input, Replan
from dripiq.domain.plan.model import STOP, Plan
from dripiq.domain.plan.verify import check_plan
from dripiq.domain.plan_diff import PlanDiff, Stuck
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.choose_sender import refuse_unknown_senders
from dripiq.engine.courses import Back, Bound, Chart, Course, Forward, course_to
from dripiq.engine.plan_cache import plans_of
from dripiq.engine.react import answer, decide
from dripiq.engine.repeats import find_repeats
from dripiq.repositories.archive import notify_work
from dripiq.repositories.explaining import read_tenant_record
from dripiq.repositories.replanning import Followed, count_followed, page_followers, read_in_hand, write_plan
from dripiq.repositories.replaying import wait_for_turn
from dripiq.repositories.standing import LockedCampaign, lock_campaigns

BATCH: Final = 500
"""Campaigns in one transaction of a survey or of a command."""

IN_HAND_OVER: Final = "in_hand_over"
"""A worker holds the campaign's send: a moment later it can move."""


@dataclass(frozen=True, slots=True)
class Job:
    """A change of plan for all open campaigns of a tenant that follow one.

    Attributes:
        since: the hash of the plan that they follow.
        to: the hash of the new plan; None where each goes back to its own.
        campaigns: how many there were when it was asked.
        tenant: the tenant's record, for templates that name it.
    """

    tenant_id: str
    tenant: Mapping[str, Any]
    since: str
    to: str | None
    campaigns: int
    chart: Chart

    def diff(self, *, applied: bool) -> PlanDiff:
        """An empty account of it."""
        return PlanDiff(self.since, self.to, applied)


def replan(
    caller: Connection | Session,
    tenant_id: str,
    plan: dict[str, Any],
    *,
    since: str | None = None,
    mapping: Mapping[str, str] | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    actor: str | None = None,
    created_by: str | None = None,
) -> PlanDiff:
    """Let the tenant's open campaigns go on under `plan`, all in the caller's transaction; nothing is committed here.

    Locks all of them until the caller commits; the command `dripiq plan migrate` does it batch by batch. Under the tenant's own role (`as_tenant`), texts that
    name the tenant itself are not compared with what was sent.

    Args:
        plan: the new plan's JSON document.
        since: the hash, or its first letters, of the plan whose campaigns move; None where all open ones follow one.
        mapping: the new plan's node, or "stop", by node of the old one; what it leaves out goes to the node of the same id and action.
        dry_run: say what would happen, and write nothing.
        now: the time (aware, UTC) at which this happens; None for the database's.
        actor: who does it, for the campaigns' paths.
        created_by: the id of the user who does it.

    Returns:
        What it did, or would do; the campaigns that cannot move are in it, with their reasons.

    Raises:
        PlanError: the plan has faults. ConflictError: `several_plans`, `other_channel`. InputError: `unknown_node`.
        NotFoundError: `unknown_plan`, `unknown_sender`.
    """
    connection = connection_of(caller)
    job = forward(connection, tenant_id, plan, since, mapping or {})
    return _whole(connection, job, dry_run, time_of(connection, now), actor, created_by)


def roll_back(
    caller: Connection | Session,
    tenant_id: str,
    *,
    since: str | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    actor: str | None = None,
    created_by: str | None = None,
) -> PlanDiff:
    """Let the tenant's open campaigns go back to the version of their plan before the last `replan`, each to its own; otherwise as `replan`."""
    connection = connection_of(caller)
    job = back(connection, tenant_id, since)
    return _whole(connection, job, dry_run, time_of(connection, now), actor, created_by)


def _whole(
    connection: Connection, job: Job, dry_run: bool, now: datetime, actor: str | None, created_by: str | None
) -> PlanDiff:
    diff = job.diff(applied=not dry_run)
    if diff.applied:  # all campaigns before any of their actions, as everywhere; then the batches meet their own locks
        wait_for_turn(connection, job.tenant_id)
        lock_campaigns(connection, job.tenant_id, page(connection, job, "", None))
    after = ""
    while ids := page(connection, job, after):
        for stuck in work(connection, job, ids, diff, now=now, actor=actor, created_by=created_by):
            diff.add_stuck(stuck)
        after = ids[-1]
    return diff


def forward(
    connection: Connection, tenant_id: str, plan: dict[str, Any], since: str | None, mapping: Mapping[str, str]
) -> Job:
    """The job of taking campaigns to a plan; raises what `replan` does."""
    checked = check_plan(plan)
    followed = _followed(connection, tenant_id, since, checked.plan_hash)
    if followed is None:  # nothing but the plan itself is followed: there is nothing to do
        nowhere = Forward(Course(checked, checked, plan, {}, {}))
        return Job(tenant_id, {}, checked.plan_hash, checked.plan_hash, 0, nowhere)
    old = _plan(connection, tenant_id, followed)
    course = course_to(old, checked, plan, mapping)
    refuse_unknown_senders(connection, tenant_id, checked)
    tenant = read_tenant_record(connection, tenant_id) or {}
    return Job(tenant_id, tenant, followed.plan_hash, checked.plan_hash, followed.campaigns, Forward(course))


def back(connection: Connection, tenant_id: str, since: str | None) -> Job:
    """The job of taking campaigns back to the version before."""
    followed = _followed(connection, tenant_id, since, None)
    if followed is None:
        raise _unknown(since, [])
    chart = Back(_plan(connection, tenant_id, followed))
    tenant = read_tenant_record(connection, tenant_id) or {}
    return Job(tenant_id, tenant, followed.plan_hash, None, followed.campaigns, chart)


def page(connection: Connection, job: Job, after: str, limit: int | None = BATCH) -> list[str]:
    """The next of the job's campaigns, in the order of their ids."""
    if job.since == job.to:
        return []
    return page_followers(connection, job.tenant_id, job.since, after=after, limit=limit)


def work(
    connection: Connection,
    job: Job,
    campaign_ids: Sequence[str],
    diff: PlanDiff,
    *,
    now: datetime,
    actor: str | None = None,
    created_by: str | None = None,
) -> list[Stuck]:
    """Move these campaigns, in the caller's transaction, or only say what would happen, as `diff.applied` has it; those that have moved are passed over.

    Returns:
        Those that a worker has in hand: the only ones that are not in `diff`, for a moment later they can move.
    """
    if diff.applied:  # an event that the old plan passes over must not come in beside the change that makes it count
        wait_for_turn(connection, job.tenant_id)
    attempt = connection.begin_nested() if not diff.applied else None
    try:
        campaigns = [c for c in lock_campaigns(connection, job.tenant_id, campaign_ids) if c.plan_hash == job.since]
        bound, in_hand = _bind(connection, job, [c for c in campaigns if not c.state.status.is_final], diff)
        decisions = _move(connection, job, campaigns, bound, diff.applied, now, actor, created_by)
    finally:
        if attempt is not None:
            attempt.rollback()
    ahead = {}
    for campaign_id, decision in decisions.items():
        course, target = bound[campaign_id]
        diff.add(decision, course.since, course.since if target == STOP else course.plan, now)
        if not decision.after.status.is_final:
            ahead[campaign_id] = (course.plan, decision.after)
    for repeat in find_repeats(connection, job.tenant_id, job.tenant, ahead):
        diff.add_repeat(repeat)
    if diff.applied and decisions:
        notify_work(connection)
    return in_hand


def _bind(
    connection: Connection, job: Job, campaigns: Sequence[LockedCampaign], diff: PlanDiff
) -> tuple[dict[str, Bound], list[Stuck]]:
    """Where each of these locked campaigns goes; and those that a worker has in hand."""
    kept = read_in_hand(connection, job.tenant_id, [campaign.id for campaign in campaigns])
    charted = job.chart(connection, job.tenant_id, campaigns)
    bound: dict[str, Bound] = {}
    in_hand: list[Stuck] = []
    for campaign in campaigns:
        course = charted[campaign.id]
        if isinstance(course, tuple) and campaign.id not in kept:
            bound[campaign.id] = course
            continue
        reason = course if isinstance(course, str) else kept[campaign.id]
        stuck = Stuck(campaign.id, campaign.state.node_id, reason)
        if reason == IN_HAND_OVER:
            in_hand.append(stuck)
        else:
            diff.add_stuck(stuck)
    return bound, in_hand


def _move(
    connection: Connection,
    job: Job,
    campaigns: Sequence[LockedCampaign],
    bound: Mapping[str, Bound],
    applied: bool,
    now: datetime,
    actor: str | None,
    created_by: str | None,
) -> dict[str, Decision]:
    """Hand the change to the machine, under the new plan; a campaign that it stops stays on the old one."""
    inputs: dict[str, list[Input]] = {}
    courses: dict[int, tuple[Course, list[str]]] = {}
    plans: dict[str, Plan] = {}
    moving = []
    for campaign in campaigns:
        if campaign.id not in bound:
            continue
        course, target = bound[campaign.id]
        message = campaign.state.message
        sent_by = course.targets.get(message.node_id) if message is not None else None
        inputs[campaign.id] = [Replan(now, target, course.since, actor, sent_by)]
        goes_on = target != STOP
        follows = course.plan if goes_on else course.since
        plans[follows.plan_hash] = follows
        moving.append(replace(campaign, plan_hash=follows.plan_hash))
        if goes_on:
            courses.setdefault(id(course), (course, []))[1].append(campaign.id)
    if not applied:
        return {c.id: decision for c, decision in decide(connection, job.tenant_id, moving, inputs, plans, now)}
    for course, ids in courses.values():
        stored = (course.document, course.plan.version, course.plan.plan_hash)
        write_plan(connection, job.tenant_id, ids, stored, course.notes, created_by, now)
    return answer(connection, job.tenant_id, moving, inputs, now)


def _followed(connection: Connection, tenant_id: str, since: str | None, to: str | None) -> Followed | None:
    """The plan that is meant: the named one, or the only one that open campaigns follow beside `to`; None where `to` is the only one."""
    followed = count_followed(connection, tenant_id)
    if since is not None:
        found = [f for f in followed if f.plan_hash.startswith(since)]
        if not found and to is not None and to.startswith(since):
            return None
    else:
        found = [f for f in followed if f.plan_hash != to]
        if not found and to is not None:
            return None
    if len(found) > 1:
        listed = ", ".join(f"{f.plan_hash[:12]} ({f.campaigns})" for f in found[:10])
        raise ConflictError(
            f"Open campaigns follow several plans: {listed}{' …' if len(found) > 10 else ''}. "
            "Name the one whose campaigns are meant, by its hash or its file: --from of `dripiq plan migrate`, --plan of `rollback`.",
            code="several_plans",
            facts={"plans": {f.plan_hash: f.campaigns for f in found}},
        )
    if not found:
        raise _unknown(since, followed)
    return found[0] if found[0].plan_hash != to else None


def _unknown(since: str | None, followed: Sequence[Followed]) -> NotFoundError:
    there = ", ".join(f"{f.plan_hash[:12]} ({f.campaigns})" for f in followed[:10])
    message = f"No open campaign follows the plan {since}" if since is not None else "There are no open campaigns"
    message += f": they follow {there}." if there else "."
    return NotFoundError(message, code="unknown_plan", facts={"plans": {f.plan_hash: f.campaigns for f in followed}})


def _plan(connection: Connection, tenant_id: str, followed: Followed) -> Plan:
    return plans_of(connection, tenant_id, [(followed.example, followed.plan_hash)])[followed.plan_hash]
