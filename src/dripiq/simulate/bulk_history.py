"""What has each campaign done, what is in hand, and what came back?"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from dripiq.simulate.bulk_rows import (
    BODY,
    CHUNK,
    FOLLOWING,
    IN_DOUBT,
    LEASED,
    NODES,
    ORPHANED,
    RECEIVED,
    SENDING,
    Campaign,
    Loaded,
    Message,
    Population,
    Rows,
    action_key_of,
    send_key_of,
)

RENDERED = BODY.replace("{{ contact.name }}", "Somebody").replace("{{ lead.name }}", "their company")
RAW = b'[{"event": "delivered", "email": "c1@d1.example.com", "sg_event_id": "%d"}]' + b" " * 900


def _campaigns(people: Population) -> Rows:
    plan, plan_hash = people.plan
    for campaign in people.campaigns:
        visit = campaign.visits + (campaign.number in people.numbers_in_hand)
        yield (
            campaign.tenant_id,
            campaign.id,
            campaign.lead_id,
            campaign.contact_id,
            "email",
            campaign.status,
            NODES[(visit - 1) % 3],
            visit,
            people.now - timedelta(days=1),
            campaign.visits,
            plan,
            plan_hash,
            people.sender_ids[campaign.tenant],
            people.start,
            people.end if campaign.status in ("completed", "stopped") else None,
        )


CAMPAIGNS: Final = Loaded(
    "contact_campaigns",
    "tenant_id id lead_id contact_id channel status current_node_id visit node_entered_at transition_seq plan_json plan_hash "
    "sender_identity_id started_at completed_at",
    _campaigns,
)


def _versions(people: Population) -> Rows:
    plan, plan_hash = people.plan
    for id, campaign in zip(people.ids("versions", len(people.campaigns)), people.campaigns, strict=True):
        user_id = people.user_ids[campaign.tenant]
        yield campaign.tenant_id, id, campaign.id, "1", plan, plan_hash, "manual", user_id, people.start


VERSIONS: Final = Loaded(
    "campaign_plan_versions",
    "tenant_id id contact_campaign_id version plan_json plan_hash generated_by created_by created_at",
    _versions,
)


def _actions(people: Population) -> Rows:
    """A finished send for each visit but the last, whose timer is still to come where the campaign is active; then what is in hand."""
    total, campaigns = people.scale.actions, people.campaigns
    span, in_hand = people.end - people.start, people.numbers_in_hand
    for chunk, first in enumerate(range(0, total, CHUNK)):
        count = min(CHUNK, total - first)
        chances = people.chances("actions", chunk)
        for number, id in enumerate(people.ids("actions", count, chunk), first):
            campaign, visit = campaigns[number % len(campaigns)], number // len(campaigns) + 1
            at = people.start + span * (number / total)
            last = number + len(campaigns) >= total and campaign.number not in in_hand
            status, reason, kind, name = "completed", None, "send", "send"
            if last and campaign.status in ("active", "paused"):
                status, reason = ("pending", None) if campaign.status == "active" else ("held", "paused")
                ahead = timedelta(days=30) if chances.random() > 0.1 else timedelta(hours=-1)
                kind, name, at = "timeout", "no_open", people.now + ahead * chances.random()
            yield _action(people, campaign, id, visit, kind, name, at, status, reason=reason)
    yield from _actions_in_hand(people)


def _actions_in_hand(people: Population) -> Rows:
    now = people.now
    states = (
        [("held", "in_doubt", None)] * IN_DOUBT
        + [("queued", None, now - timedelta(minutes=5))] * SENDING
        + [("canceled", "stopped", None)] * ORPHANED
        + [("queued", None, now + timedelta(minutes=2))] * LEASED
    )
    at = now - timedelta(minutes=10)
    for id, campaign, (status, reason, until) in zip(
        people.ids("actions in hand", len(states)), people.in_hand, states, strict=True
    ):
        yield _action(people, campaign, id, campaign.visits + 1, "send", "send", at, status, reason=reason, until=until)


def _action(
    people: Population, campaign: Campaign, id: str, visit: int, kind: str, name: str, at: object, status: str,
    *, reason: str | None = None, until: object = None,
) -> Sequence[object]:  # fmt: skip
    token = f"lease-{campaign.tenant}" if status == "queued" else None
    payload = None if kind == "send" else f'{{"timer": "{name}"}}'
    key = action_key_of(campaign, visit, name)
    node = NODES[(visit - 1) % 3]
    return (
        campaign.tenant_id, id, campaign.id, node, visit, kind, at, status, token, until, key, reason, payload,
        min(people.now, at) if isinstance(at, type(people.now)) else people.now,
    )  # fmt: skip


ACTIONS: Final = Loaded(
    "scheduled_actions",
    "tenant_id id contact_campaign_id node_id visit action_type run_at status job_id lease_until dedupe_key reason payload created_at",
    _actions,
)


def _messages(people: Population) -> Rows:
    for message in people.messages():
        yield _message(people, message, message.at)
    for message in people.sends_in_hand:
        yield _message(people, message, None)


def _message(people: Population, message: Message, sent_at: object) -> Sequence[object]:
    campaign = message.campaign
    provider_id = message.provider_message_id
    return (
        campaign.tenant_id, message.id, campaign.id, campaign.contact_id, message.node_id, message.visit, "email",
        people.sender_ids[campaign.tenant], people.address(campaign), "A question", BODY, RENDERED, "sendgrid", provider_id,
        f"{message.id}@example.org", message.fate, 1, message.at, sent_at if provider_id else None, send_key_of(message),
        message.at, message.at,
    )  # fmt: skip


MESSAGES: Final = Loaded(
    "outbound_messages",
    "tenant_id id contact_campaign_id contact_id node_id visit channel sender_identity_id to_address subject body rendered_body "
    "provider provider_message_id smtp_id status attempts scheduled_at sent_at dedupe_key created_at updated_at",
    _messages,
)


def _transitions(people: Population) -> Rows:
    total = people.scale.messages
    ids: list[str] = []
    for number, message in enumerate(people.messages()):
        if number % CHUNK == 0:
            ids = people.ids("transitions", min(CHUNK, total - number), number // CHUNK)
        before = NODES[(message.visit - 2) % 3] if message.visit > 1 else None
        yield (
            message.campaign.tenant_id, ids[number % CHUNK], message.campaign.id, message.visit, before, message.node_id,
            "active" if before else "draft", "active", "timer" if before else "started", message.at,
        )  # fmt: skip


TRANSITIONS: Final = Loaded(
    "campaign_transitions",
    "tenant_id id contact_campaign_id seq from_node_id to_node_id from_status to_status trigger at",
    _transitions,
)


def _events(people: Population) -> Rows:
    """As many of each message as the scale asks for: what became of it, then what its reader did."""
    scale, number = people.scale, 0
    ids: list[str] = []
    for index, message in enumerate(people.messages()):
        for nth in range(scale.events * (index + 1) // scale.messages - scale.events * index // scale.messages):
            if number % CHUNK == 0:
                ids = people.ids("events", min(CHUNK, scale.events - number), number // CHUNK)
            yield _event(message, ids[number % CHUNK], nth)
            number += 1


def _event(message: Message, id: str, nth: int) -> Sequence[object]:
    first = {"bounced": "bounced", "blocked": "blocked", "failed": "dropped", "deferred": "deferred"}
    kind = first.get(message.fate, "delivered") if nth == 0 else FOLLOWING[int(message.chance * 5 + nth) % 5]
    at = message.at + timedelta(seconds=20 + nth * 40_000 * message.chance)
    url = "https://www.example.com/offer" if kind == "clicked" else None
    reader = ("192.0.2.1", "Mozilla/5.0 (X11; Linux x86_64)", "human") if nth else (None, None, "unknown")
    event_id = f"{id}-{nth}"
    payload = f'{{"event": "{kind}", "sg_event_id": "{event_id}", "sg_message_id": "{message.provider_message_id}"}}'
    return (
        message.campaign.tenant_id, id, message.id, message.campaign.id, "sendgrid", kind, at, url, *reader, event_id, payload, at, at,
    )  # fmt: skip


EVENTS: Final = Loaded(
    "message_events",
    "tenant_id id outbound_message_id contact_campaign_id provider event_type event_at url ip user_agent confidence provider_event_id "
    "payload created_at updated_at",
    _events,
)


def _deliveries(people: Population) -> Rows:
    read = people.scale.events // 50
    for number, id in enumerate(people.ids("deliveries", read + RECEIVED)):
        raw = RAW % number
        at = people.start + (people.end - people.start) * (number / (read + RECEIVED))
        tenant_id = people.campaigns[number % len(people.campaigns)].tenant_id
        status, done_at = ("processed", at) if number < read else ("received", None)
        yield tenant_id, id, "sendgrid", at, True, raw, hashlib.sha256(raw).hexdigest(), status, done_at


DELIVERIES: Final = Loaded(
    "webhook_deliveries",
    "tenant_id id provider received_at signature_valid raw payload_hash status processed_at",
    _deliveries,
)


def _inbound(people: Population) -> Rows:
    count = people.scale.messages // 50
    for number, id in enumerate(people.ids("inbound", count)):
        campaign = people.campaigns[number % len(people.campaigns)]
        at = people.start + (people.end - people.start) * (number / count)
        yield (
            campaign.tenant_id, id, campaign.id, campaign.contact_id, "email", "sales@example.org", people.address(campaign), "Re: A question",
            "Yes, gladly.", "reply", f"<{id}@example.com>", at,
        )  # fmt: skip


INBOUND: Final = Loaded(
    "inbound_messages",
    "tenant_id id contact_campaign_id contact_id channel to_address from_address subject text classification provider_message_id received_at",
    _inbound,
)


def _quarantine(people: Population) -> Rows:
    for number, id in enumerate(people.ids("quarantine", 100)):
        raw = RAW % -number
        yield id, "sendgrid", people.end, "unknown_tenant", raw, hashlib.sha256(raw).hexdigest()


QUARANTINE: Final = Loaded("webhook_quarantine", "id provider received_at reason raw payload_hash", _quarantine)
