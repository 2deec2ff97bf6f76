"""What does a database look like after months of outreach?

Rows by the million, made from a seed: the same scale, seed and time give the same rows, ids included. One tenant has half of everything, the others share
the rest ever more thinly. What is finished grows with the scale; what is in a worker's hands does not, for workers have only so many hands.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from random import Random
from typing import NamedTuple

from dripiq.domain.ids import action_key, send_key
from dripiq.domain.plan.canonical import hash_plan
from dripiq.schema.ids import new_ids

MONTHS = 6
"""How far back the history goes: the current month and those before it."""

CHUNK = 10_000
"""Rows whose ids and chances are drawn together."""

BIG_SHARE = 0.5
IN_DOUBT, SENDING, ORPHANED, LEASED = 60, 60, 40, 200
"""Messages in doubt; actions whose lease ran out in the hand-over; messages that nobody hands over; actions under a lease, prepared."""
IN_HAND = IN_DOUBT + SENDING + ORPHANED + LEASED

RECEIVED = 300
"""Archived deliveries that wait to be read."""

STATUSES = ("active",) * 12 + ("completed",) * 6 + ("paused", "stopped")
FATES = ("delivered",) * 44 + ("bounced", "bounced", "deferred", "sent", "failed", "blocked")
FOLLOWING = ("opened", "opened", "clicked", "opened", "replied")

BODY = "Hello {{ contact.name }},\n\nwe have looked at {{ lead.name }} and believe that we could be of use to you. Would next week suit you?\n"
NODES = ("intro", "bump", "last")
PLAN = {
    "version": "1.0",
    "timezone": "UTC",
    "startNodeId": "intro",
    "maxVisits": 10,
    "nodes": [
        {
            "id": id,
            "action": "send",
            "channel": "email",
            "subject": subject,
            "body": BODY,
            "transitions": [{"on": "no_open", "to": after}, {"on": "replied", "to": "stop"}],
        }
        for id, subject, after in zip(
            NODES, ("A question", "Once more", "A last word"), (*NODES[1:], NODES[0]), strict=True
        )
    ],
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How many rows of each there are to be."""

    events: int = 2_000_000
    messages: int = 1_000_000
    actions: int = 1_000_000
    campaigns: int = 200_000
    tenants: int = 200

    def part(self, share: float) -> "Scale":
        """As many tenants, and a share of everything else."""
        return Scale(
            events=round(self.events * share),
            messages=round(self.messages * share),
            actions=round(self.actions * share),
            campaigns=round(self.campaigns * share),
            tenants=self.tenants,
        )


class Campaign(NamedTuple):
    """One contact's campaign, before it becomes rows."""

    number: int
    tenant: int
    tenant_id: str
    id: str
    contact_id: str
    lead_id: str
    status: str
    visits: int


class Message(NamedTuple):
    """One message, before it becomes rows; `at` is when it left, or would have."""

    id: str
    campaign: Campaign
    node_id: str
    visit: int
    fate: str
    provider_message_id: str | None
    at: datetime
    chance: float


class Population:
    """Everybody there is: what all tables' rows are made from.

    Args:
        scale: how many; at least as many campaigns as tenants, and `IN_HAND` open ones.
        seed: decides everything that is left to chance.
        now: the end of the history (aware); open actions lie around it.
    """

    def __init__(self, scale: Scale, seed: int, now: datetime) -> None:
        self.scale, self.seed, self.now = scale, seed, now.astimezone(UTC)
        month = self.now.year * 12 + self.now.month - MONTHS
        self.start = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        self.end = self.now - timedelta(days=1)
        self.tenant_ids = self.ids("tenants", scale.tenants)
        self.user_ids = self.ids("users", scale.tenants)
        self.sender_ids = self.ids("senders", scale.tenants)

    def ids(self, kind: str, count: int, chunk: int = 0) -> list[str]:
        """The ids of a kind of thing; `chunk` where they are drawn piece by piece."""
        return new_ids(count, self.chances(f"{kind} ids", chunk).randbytes)

    def chances(self, kind: str, chunk: int = 0) -> Random:
        """A source of chances of its own for each kind and chunk."""
        return Random(f"{self.seed}/{kind}/{chunk}")  # noqa: S311 - wanted again, not secret

    @cached_property
    def campaigns(self) -> list[Campaign]:
        """All campaigns; those of one tenant lie among the others', as they come to be in time."""
        scale, chances = self.scale, self.chances("campaigns")
        tenants = range(scale.tenants)
        weights = [
            BIG_SHARE,
            *((1 - BIG_SHARE) / max(1, scale.tenants - 1) * 2 * i / scale.tenants for i in tenants[1:]),
        ]
        placed = [*tenants, *chances.choices(tenants, weights, k=scale.campaigns - scale.tenants)]
        ids, contacts = self.ids("campaigns", scale.campaigns), self.ids("contacts", scale.campaigns)
        leads, sizes = self.ids("leads", scale.campaigns), [0] * scale.tenants
        lead_of = [""] * scale.tenants
        made = []
        for number, tenant in enumerate(placed):
            if sizes[tenant] % 5 == 0:
                lead_of[tenant] = leads[number]
            sizes[tenant] += 1
            visits = scale.messages // scale.campaigns + (number < scale.messages % scale.campaigns)
            status = chances.choice(STATUSES)
            made.append(
                Campaign(
                    number,
                    tenant,
                    self.tenant_ids[tenant],
                    ids[number],
                    contacts[number],
                    lead_of[tenant],
                    status,
                    visits,
                )
            )
        return made

    @cached_property
    def in_hand(self) -> list[Campaign]:
        """The campaigns whose present send a worker has, or had."""
        return [campaign for campaign in self.campaigns if campaign.status == "active"][-IN_HAND:]

    @cached_property
    def numbers_in_hand(self) -> frozenset[int]:
        """The numbers of those campaigns."""
        return frozenset(campaign.number for campaign in self.in_hand)

    def address(self, campaign: Campaign) -> str:
        """Where the campaign's contact is reached."""
        return f"c{campaign.number}@d{campaign.number % 4_999}.example.com"

    def messages(self) -> Iterator[Message]:
        """The history's messages in the order of their times: one after the other for each campaign, all campaigns in turn."""
        total, span = self.scale.messages, self.end - self.start
        for chunk, first in enumerate(range(0, total, CHUNK)):
            count = min(CHUNK, total - first)
            ids, chances = self.ids("messages", count, chunk), self.chances("messages", chunk)
            for number, id in enumerate(ids, first):
                campaign = self.campaigns[number % self.scale.campaigns]
                visit = number // self.scale.campaigns + 1
                fate = chances.choice(FATES)
                at = self.start + span * ((number + chances.random()) / total)
                known = None if fate in ("failed", "blocked") else f"{chances.getrandbits(96):024x}.recv"
                yield Message(id, campaign, NODES[(visit - 1) % 3], visit, fate, known, at, chances.random())

    @cached_property
    def sends_in_hand(self) -> list[Message]:
        """The messages that were prepared and have not been heard of since: `queued`, `sending` and `in_doubt`."""
        fates = ["in_doubt"] * IN_DOUBT + ["sending"] * (SENDING + ORPHANED) + ["queued"] * LEASED
        ids = self.ids("messages in hand", len(fates))
        since = self.now - timedelta(hours=30)
        return [
            Message(id, campaign, NODES[campaign.visits % 3], campaign.visits + 1, fate, None, since, 0.0)
            for id, campaign, fate in zip(ids, self.in_hand, fates, strict=True)
        ]

    @cached_property
    def plan(self) -> tuple[str, str]:
        """The plan that all follow, as JSON, and its hash."""
        return json.dumps(PLAN), hash_plan(PLAN)


def send_key_of(message: Message) -> str:
    """The identity of a message."""
    campaign = message.campaign
    return send_key(campaign.id, campaign.contact_id, message.node_id, message.visit, "email")


def action_key_of(campaign: Campaign, visit: int, name: str) -> str:
    """The identity of an action."""
    return action_key(campaign.id, NODES[(visit - 1) % 3], visit, name)


Rows = Iterator[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table, the columns that are given, and its rows."""

    table: str
    columns: str
    rows: Callable[[Population], Rows]
