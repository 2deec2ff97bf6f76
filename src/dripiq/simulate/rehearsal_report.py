"""What came of a rehearsal?

From the database's record and the recipients': what each node did and where it led, messages a day, outcomes and how long they took, and the verdict on every
invariant. The same rehearsal gives the same report, byte for byte: no id that is made at random is in it, no time but the virtual one, and every list has
its order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dripiq.domain.events import EventType
from dripiq.domain.plan.faults import Fault
from dripiq.domain.plan.model import CONTACT_ZONE, Node, Plan
from dripiq.domain.states import CampaignStatus, Confidence
from dripiq.domain.variants import content_of
from dripiq.domain.wording import why_moved
from dripiq.domain.zones import wall_clock
from dripiq.repositories.audit import CampaignRow, MessageRow, MoveRow, Record
from dripiq.simulate.behaviour import Behaviour
from dripiq.simulate.invariants import Check, check_all
from dripiq.simulate.witnesses import Event, ReceivedMail

_TOLD: Final = {
    EventType.DELIVERED: "delivered",
    EventType.OPENED: "opened",
    EventType.CLICKED: "clicked",
    EventType.REPLIED: "replied",
    EventType.BOUNCED: "bounced",
    EventType.BLOCKED: "blocked",
    EventType.UNSUBSCRIBED: "unsubscribed",
    EventType.SPAMREPORT: "complained",
}
MACHINE_OPENED: Final = "machine_opened"
_QUANTILES: Final = (10, 50, 90, 100)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages were sent, and to how many of them each thing happened; `opened` is by people."""

    sent: int = 0
    delivered: int = 0
    opened: int = 0
    machine_opened: int = 0
    clicked: int = 0
    replied: int = 0
    bounced: int = 0
    blocked: int = 0
    unsubscribed: int = 0
    complained: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """How many visits of a node ended in this way: by what, to which node, or with which final status (then `reason` may say more)."""

    trigger: str
    to: str
    final: bool
    visits: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NodeFlow:
    """What a node did.

    Attributes:
        entered: visits; one contact may come more than once.
        waiting: contacts that are here at the end, without a hold.
        held: contacts that are here and held, by reason.
        ways: in the order of their visits, most first.
        variants: what came of each variant's messages, by its name; empty where the node has none.
    """

    node: str
    action: str
    entered: int
    counts: Counts
    waiting: int
    held: Mapping[str, int]
    ways: Sequence[Way]
    variants: Mapping[str, Counts]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many contacts ended so (or are under way: `active`), and the hours from enrolment to it that 10, 50, 90 and 100 % of them took at most."""

    status: str
    reason: str
    contacts: int
    hours: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms it was rehearsed; `until` is where the clock stood at the end."""

    seed: int
    start: datetime
    until: datetime
    tick: timedelta
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class Report:
    """All that a rehearsal has to say; `lacking` is what templates ask for and these people have not, which holds their messages."""

    plan_hash: str
    terms: Terms
    contacts: int
    nodes: Sequence[NodeFlow]
    per_day: Mapping[str, int]
    outcomes: Sequence[Outcome]
    lacking: Sequence[Fault]
    checks: Sequence[Check]

    @property
    def held(self) -> Mapping[str, int]:
        """Contacts that are held at the end, by reason, most first."""
        return dict(_ranked(sum((Counter(node.held) for node in self.nodes), Counter())))

    @property
    def sent(self) -> int:
        """Messages in all."""
        return sum(node.counts.sent for node in self.nodes)

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return not any(check.breaches for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-ready values; `docs/simulate.md` says what each means."""
        return {
            "plan_hash": self.plan_hash,
            "seed": self.terms.seed,
            "contacts": self.contacts,
            "start": self.terms.start.isoformat(),
            "until": self.terms.until.isoformat(),
            "tick_seconds": int(self.terms.tick.total_seconds()),
            "behaviour": self.terms.behaviour.as_json(),
            "messages": self.sent,
            "nodes": [_node_json(node) for node in self.nodes],
            "per_day": dict(self.per_day),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "lacking": [asdict(fault) for fault in self.lacking],
            "holds": self.holds,
            "invariants": [
                {
                    "name": check.name,
                    "promise": check.promise,
                    "examined": check.examined,
                    "holds": not check.breaches,
                    "breaches": len(check.breaches),
                }
                for check in self.checks
            ],
        }


def _node_json(node: NodeFlow) -> dict[str, Any]:
    return {
        "node": node.node,
        "action": node.action,
        "entered": node.entered,
        **asdict(node.counts),
        "waiting": node.waiting,
        "held": dict(node.held),
        "ways": [asdict(way) for way in node.ways],
        "variants": {name: asdict(counts) for name, counts in node.variants.items()},
    }


def report_of(
    plan: Plan, record: Record, received: Sequence[ReceivedMail], answered: Sequence[Event], contact_ids: Mapping[str, str],
    lacking: Sequence[Fault], terms: Terms,
) -> Report:  # fmt: skip
    """Draw up the report.

    Args:
        record: all of the tenant's, after the clock's last stop.
        received, answered: the recipients' record: mails that came, and events that were told.
        contact_ids: by address.
        lacking: what `variable_faults` says of the people.
    """
    campaigns = {campaign.id: campaign for campaign in record.campaigns}
    counts = _count(plan, record, {id: contact_ids[c.address or ""] for id, c in campaigns.items()})
    here = [c for c in record.campaigns if not CampaignStatus(c.status).is_final]
    return Report(
        plan_hash=plan.plan_hash,
        terms=terms,
        contacts=len(record.campaigns),
        nodes=[_flow(node, record.moves, here, counts) for node in plan.nodes.values()],
        per_day=_per_day(plan, record.messages),
        outcomes=_outcomes(record, terms.start),
        lacking=lacking,
        checks=check_all(record, received, answered, timedelta(0)),
    )


Tally = Mapping[tuple[str, str | None], Counter[str]]
"""What happened to the messages, by node and variant."""


def _count(plan: Plan, record: Record, contact_of: Mapping[str, str]) -> Tally:
    """Each thing counts once for a message."""
    found: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
    group: dict[str, tuple[str, str | None]] = {}
    for message in record.messages:
        content = content_of(plan.nodes[message.node_id], contact_of[message.campaign_id])
        group[message.id] = (message.node_id, content.variant)
        found[group[message.id]]["sent"] += message.sent_at is not None
    told = set()
    for event in record.events:
        name = _TOLD.get(EventType(event.type))
        if name == "opened" and event.confidence == Confidence.MACHINE:
            name = MACHINE_OPENED
        if name is not None and event.message_id is not None:
            told.add((event.message_id, name))
    for message_id, name in told:
        found[group[message_id]][name] += 1
    return found


def _flow(node: Node, moves: Iterable[MoveRow], here: Iterable[CampaignRow], tally: Tally) -> NodeFlow:
    entered, ways = 0, Counter[tuple[str, str, bool, str]]()
    for move in moves:
        final = CampaignStatus(move.to_status).is_final
        entered += move.to_node_id == node.id and not final
        if move.from_node_id == node.id:
            reason = move.reason if move.reason != move.trigger else None
            ways[move.trigger, move.to_status if final else move.to_node_id or "", final, reason or ""] += 1
    own = [campaign for campaign in here if campaign.current_node_id == node.id]
    held = Counter(c.action_reason or "" for c in own if c.action_status == "held")
    variants = [content.variant for content in node.contents if content.variant is not None]
    return NodeFlow(
        node=node.id,
        action=node.action.value,
        entered=entered,
        counts=_counts(count for (node_id, _), count in tally.items() if node_id == node.id),
        waiting=len(own) - held.total(),
        held=dict(_ranked(held)),
        ways=[Way(t, to, final, n, reason or None) for (t, to, final, reason), n in _ranked(ways)],
        variants={name: _counts([tally.get((node.id, name), Counter())]) for name in variants},
    )


def _counts(parts: Iterable[Counter[str]]) -> Counts:
    return Counts(**sum(parts, Counter()))


def _ranked(counted: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """The most frequent first; of equals, in the order of what they are."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _per_day(plan: Plan, messages: Iterable[MessageRow]) -> dict[str, int]:
    """Messages by the plan's calendar (UTC where each contact has its own)."""
    there = "UTC" if plan.timezone == CONTACT_ZONE else plan.timezone
    days = Counter(wall_clock(m.sent_at, there).date().isoformat() for m in messages if m.sent_at is not None)
    return dict(sorted(days.items()))


def _outcomes(record: Record, start: datetime) -> list[Outcome]:
    last = {move.campaign_id: move for move in record.moves}  # they come in order
    groups: dict[tuple[str, str], list[timedelta]] = defaultdict(list)
    for campaign in record.campaigns:
        move = last.get(campaign.id)
        if CampaignStatus(campaign.status).is_final and move is not None:
            groups[campaign.status, why_moved(move.trigger, move.reason)].append(move.at - start)
        else:
            held = campaign.action_status == "held"
            groups[campaign.status, f"held: {campaign.action_reason}" if held else "under way"].append(timedelta(0))
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Outcome(status, reason, len(took), _hours(took) if CampaignStatus(status).is_final else None)
        for (status, reason), took in ranked
    ]


def _hours(took: list[timedelta]) -> dict[str, float]:
    """By nearest rank, in hours to a tenth."""
    ordered = sorted(took)
    ranks = {f"p{q}": ordered[max(0, -(-len(ordered) * q // 100) - 1)] for q in _QUANTILES}
    return {name: round(length.total_seconds() / 3600, 1) for name, length in ranks.items()}
