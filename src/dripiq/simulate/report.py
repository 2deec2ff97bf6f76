"""What came of it all?

A funnel per tenant and node, the outcomes, and the verdict on every invariant; from the database's record and what the witnesses saw.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from dripiq.domain.events import EventType
from dripiq.domain.plan.model import Plan
from dripiq.domain.states import CampaignStatus
from dripiq.domain.timing import is_allowed
from dripiq.domain.wording import why_moved
from dripiq.repositories.audit import CampaignRow, Record
from dripiq.simulate.invariants import Check

QUIET_HOURS = "quiet_hours"
_JUST_BEFORE = timedelta(seconds=1)
_COLUMNS = (
    EventType.DELIVERED,
    EventType.OPENED,
    EventType.CLICKED,
    EventType.BOUNCED,
    EventType.UNSUBSCRIBED,
    EventType.SPAMREPORT,
)


@dataclass(frozen=True, slots=True)
class NodeFunnel:
    """How many messages of a node were taken by the server, and to how many of them each thing happened."""

    tenant: str
    node: str
    sent: int
    delivered: int
    opened: int
    clicked: int
    bounced: int
    unsubscribed: int
    spamreport: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many contacts of a tenant ended, or wait, how and why; `until` is the first instant at which that changes by itself."""

    tenant: str
    status: str
    reason: str
    contacts: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run has to say. `webhooks` and `mails` count by kind."""

    seed: int
    seconds: float
    contacts: int
    funnel: Sequence[NodeFunnel]
    outcomes: Sequence[Outcome]
    mails: Mapping[str, int]
    webhooks: Mapping[str, int]
    checks: Sequence[Check]

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return not any(check.breaches for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON-ready values."""
        outcomes = [{**asdict(o), "until": o.until.isoformat() if o.until else None} for o in self.outcomes]
        checks = [{**asdict(check), "holds": not check.breaches} for check in self.checks]
        whole = {"seed": self.seed, "seconds": round(self.seconds, 1), "contacts": self.contacts, "holds": self.holds}
        return {
            **whole,
            "funnel": [asdict(node) for node in self.funnel],
            "outcomes": outcomes,
            "mails": dict(self.mails),
            "webhooks": dict(self.webhooks),
            "invariants": checks,
        }


def funnel(record: Record, names: Mapping[str, str], order: Sequence[str]) -> list[NodeFunnel]:
    """The funnel of each tenant, nodes in the plan's order.

    Args:
        names: the tenants' names by id.
        order: the ids of the nodes that send.
    """
    node_of = {(row.tenant_id, row.id): row.node_id for row in record.messages}
    sent = Counter((row.tenant_id, row.node_id) for row in record.messages if row.sent_at is not None)
    happened: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for event in record.events:
        if event.message_id is not None:
            node = node_of.get((event.tenant_id, event.message_id), "")
            happened[event.tenant_id, node, event.type].add(event.message_id)
    return [
        NodeFunnel(names[tenant], node, sent[tenant, node], *(len(happened[tenant, node, kind]) for kind in _COLUMNS))
        for tenant in names
        for node in order
    ]


def outcomes(record: Record, names: Mapping[str, str], plans: Mapping[str, Plan]) -> list[Outcome]:
    """How many contacts ended, or wait, how and why; the most frequent first in each tenant.

    Args:
        plans: the plans by hash.
    """
    last = {(move.tenant_id, move.campaign_id): move for move in record.moves}  # they come in order
    groups: Counter[tuple[str, str, str, datetime | None]] = Counter()
    for campaign in record.campaigns:
        move = last.get((campaign.tenant_id, campaign.id))
        if CampaignStatus(campaign.status).is_final and move is not None:
            where = f" at {move.from_node_id}" if move.from_node_id else ""
            said = why_moved(move.trigger, move.reason)
            groups[campaign.tenant_id, campaign.status, f"{said}{where}", None] += 1
        elif held_by_quiet_hours(campaign, plans[campaign.plan_hash]):
            groups[campaign.tenant_id, "waiting", QUIET_HOURS, campaign.run_at] += 1
        else:
            reason = campaign.action_reason or f"{campaign.action_type or 'nothing'} at {campaign.current_node_id}"
            groups[campaign.tenant_id, campaign.status, reason, None] += 1
    tenants = list(names)
    ordered = sorted(groups.items(), key=lambda item: (tenants.index(item[0][0]), -item[1], item[0][1:3]))
    return [Outcome(names[t], status, reason, n, until) for (t, status, reason, until), n in ordered]


def held_by_quiet_hours(campaign: CampaignRow, plan: Plan) -> bool:
    """Whether the campaign's next send waits for the end of quiet hours: it may leave from `run_at` on, and not a moment before."""
    if campaign.action_type != "send" or campaign.action_status != "pending" or campaign.run_at is None:
        return False
    return is_allowed(plan, campaign.run_at) and not is_allowed(plan, campaign.run_at - _JUST_BEFORE)


def count_held(found: Iterable[Outcome]) -> int:
    """How many contacts are held by quiet hours."""
    return sum(outcome.contacts for outcome in found if outcome.reason == QUIET_HOURS)
