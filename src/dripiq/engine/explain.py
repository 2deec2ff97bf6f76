"""Why does this contact get no mail now, and when will it?

Reads where the contact's campaigns stand, asks every gate as dispatch would, and follows the machine ahead (`domain.outlook`). Writes nothing and locks
nothing. At the time given, the state is as of now: nothing else is taken to happen until then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.db.session import as_tenant
from dripiq.domain.addresses import normalise_email
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.explanation import CampaignExplanation, Explanation, PendingSend, Prospect, SentMessage, Step
from dripiq.domain.gates import MOVED_ON, Closed, Effect, judge
from dripiq.domain.moves import SEND, Contact, Happened, OpenAction, State
from dripiq.domain.outlook import by_itself, obstacle, open_send, ways_on
from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.model import ALWAYS_STOP, Plan
from dripiq.domain.sender_health import PAUSE_CODES
from dripiq.domain.states import ActionStatus, CampaignStatus, Channel, MessageStatus
from dripiq.domain.timing import zone_of
from dripiq.domain.variants import content_of
from dripiq.domain.why import helps_with, why_campaign, why_contact
from dripiq.domain.wording import clock_of
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.gate_facts import read_gate_facts, read_limit_facts
from dripiq.engine.knowledge import Known, Records, address_of
from dripiq.engine.plan_cache import plans_of
from dripiq.engine.threads import read_threads
from dripiq.repositories.explaining import (
    find_campaign_contact,
    find_owner,
    read_campaigns,
    read_path,
    read_person,
    read_states,
    read_switch,
    read_tenant_record,
)
from dripiq.repositories.limits import read_booking
from dripiq.repositories.standing import read_recorded

_PROSPECTS = {
    Effect.HOLD: Prospect.HOLDS,
    Effect.PUT_OFF: Prospect.PUTS_OFF,
    Effect.DROP: Prospect.DROPS,
    Effect.STOP: Prospect.STOPS,
}


def explain(
    caller: Connection | Session,
    tenant_id: str,
    contact: str,
    *,
    at: datetime | None = None,
    now: datetime | None = None,
) -> Explanation:
    """Why a contact gets mail now or not, and when the next message can leave.

    Args:
        caller: the caller's connection or session; nothing is written. At REPEATABLE READ all is of one moment.
        contact: an e-mail address, a contact's id, or a campaign's, which is then the only one explained.
        at: the time to judge at (aware); None for now. What is known is of now.
        now: the time (aware, UTC); None for the database's.

    Raises:
        NotFoundError: `unknown_contact`.
        InputError: `ambiguous_contact`, where several contacts have the address (`facts["ids"]`); `invalid_email`; `no_tenant`.
        PlanError: a campaign's plan cannot be read.
    """
    connection = connection_of(caller)
    known_at = time_of(connection, now)
    at = known_at if at is None else at
    tenant = read_tenant_record(connection, tenant_id)
    with as_tenant(connection, tenant_id):
        contact_id, campaign_id = _find(connection, tenant_id, contact)
        person = read_person(connection, tenant_id, contact_id)
        if person is None:
            raise _unknown(contact)
        rows = read_campaigns(connection, tenant_id, contact_id)
        rows = [row for row in rows if campaign_id in (None, row.id)]
        campaigns = _explain_all(connection, _Asker(tenant_id, tenant, person, at, known_at), rows)
    who = str(person.get("name") or person.get("email") or contact_id)
    return Explanation(
        tenant_id=tenant_id,
        contact_id=contact_id,
        name=person.get("name"),
        email=person.get("email"),
        at=at,
        known_at=known_at,
        why=why_contact(who, campaigns),
        campaigns=campaigns,
    )


def _find(connection: Connection, tenant_id: str, given: str) -> tuple[str, str | None]:
    """Who is meant: the contact's id, and the campaign's where it was named."""
    if "@" not in given:
        owner = find_campaign_contact(connection, tenant_id, given)
        return (given, None) if owner is None else (owner, given)
    email = normalise_email(given)
    found = [contact_id for _, contact_id in find_owner(connection, email, tenant_id)]
    if not found:
        raise _unknown(given)
    if len(found) > 1:
        raise InputError(
            f"{len(found)} contacts have the address {email}: name one by its id ({', '.join(found[:10])}).",
            code="ambiguous_contact",
            facts={"contact": email, "ids": found},
        )
    return found[0], None


def _unknown(given: str) -> NotFoundError:
    return NotFoundError(
        f"The tenant has no contact or campaign {given!r}: name a contact by its address or id, or a campaign by its id.",
        code="unknown_contact",
        facts={"contact": given},
    )


@dataclass(frozen=True, slots=True)
class _Asker:
    """Whom it is about, and when."""

    tenant_id: str
    tenant: dict[str, Any] | None
    contact: dict[str, Any]
    at: datetime
    known_at: datetime


def _explain_all(connection: Connection, about: _Asker, rows: Sequence[Any]) -> tuple[CampaignExplanation, ...]:
    if not rows:
        return ()
    plans = plans_of(connection, about.tenant_id, ((row.id, row.plan_hash) for row in rows))
    states, actions = read_states(connection, about.tenant_id, rows)
    switch = read_switch(connection, about.tenant_id)
    return tuple(
        _explain_one(connection, about, row, plans[row.plan_hash], states[row.id], actions[row.id], switch)
        for row in rows
    )


def _explain_one(
    connection: Connection, about: _Asker, row: Any, plan: Plan, state: State, actions: Sequence[Any], switch: Any
) -> CampaignExplanation:
    state = replace(state, contact=Contact(row.contact_id, about.contact.get("timezone")))
    transitions, messages = read_path(connection, about.tenant_id, row.id)
    known = _read_known(connection, about, row, plan, messages, switch)
    recorded = _read_recorded(connection, about.tenant_id, row.id, state)
    send, node = open_send(state), plan.nodes.get(state.node_id or "")
    following = None if state.status.is_final else by_itself(plan, state, known, recorded, about.at)
    ways = [] if state.status.is_final else ways_on(plan, state, known, recorded, about.at)
    pending = _pending(actions, known, plan) if send is not None else None
    prospect, closed = _prospect(plan, state, send, pending, known, about.at)
    asked = plan.nodes.get(send.ref.node_id if send is not None else following.node_id if following is not None else "")
    path = tuple(Step(**_renamed(move)) for move in transitions)
    zone = zone_of(plan, state.contact)
    sender = known.sender(asked, known.thread_at(asked, state) if asked is not None else None)
    return CampaignExplanation(
        id=row.id,
        channel=Channel(row.channel),
        status=state.status,
        node_id=state.node_id,
        action=node.action if node is not None else None,
        visit=state.visit,
        entered_at=state.entered_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        plan_hash=row.plan_hash,
        timezone=zone,
        why=why_campaign(state.status, prospect, closed, pending, following, ways, path, about.at, clock_of(zone)),
        helps=helps_with(
            _as_of_now(closed, sender),
            following,
            campaign=row.id,
            tenant=quote(str((about.tenant or {}).get("name") or about.tenant_id)),
            sender=sender.from_email if sender is not None else None,
            doubt=_doubt(switch),
        ),
        prospect=prospect,
        closed=closed,
        send=pending,
        gates=judge(known.facts(asked, state, about.at), plan, about.at) if asked is not None else (),
        next=following,
        ways=tuple(ways),
        stops_on=() if state.status.is_final else tuple(sorted(plan.stop_on | ALWAYS_STOP)),
        path=path,
        messages=tuple(SentMessage(**{field: m[field] for field in _MESSAGE}) for m in messages),
    )


def _as_of_now(closed: Closed | None, sender: Any) -> Closed | None:
    """What is in the way now: what was held for a paused sender goes on by itself where its sender is another by now."""
    changed = closed is not None and closed.code in PAUSE_CODES.values() and sender is not None and not sender.paused_at
    return Closed("sender_changed", Effect.HOLD) if changed else closed


_MESSAGE = ("id", "node", "visit", "to", "subject", "status", "attempts", "sent_at", "error_code", "last_error")


def _renamed(move: Mapping[str, Any]) -> dict[str, Any]:
    statuses = {name: CampaignStatus(move[name]) for name in ("from_status", "to_status")}
    return {**move, **statuses}


def _prospect(
    plan: Plan, state: State, send: OpenAction | None, pending: PendingSend | None, known: Known, at: datetime
) -> tuple[Prospect, Closed | None]:
    """What a worker would do with the open send at that time, and what it would meet."""
    if send is None or pending is None:
        return Prospect.NOTHING_TO_SEND, None
    if send.held is not None:
        return Prospect.HELD, Closed(send.held, Effect.HOLD)
    if pending.status == ActionStatus.QUEUED:
        return Prospect.IN_HAND, None
    if send.run_at > at:
        return Prospect.NOT_DUE, None
    node = plan.nodes.get(send.ref.node_id)
    closed = Closed(MOVED_ON, Effect.DROP) if node is None else obstacle(plan, state, node, known, at)
    return (Prospect.SENDS, None) if closed is None else (_PROSPECTS[closed.effect], closed)


def _pending(actions: Sequence[Any], known: Known, plan: Plan) -> PendingSend:
    action = next(action for action in actions if action.name == SEND)
    node = plan.nodes.get(action.node_id)
    sender = known.sender(node, known.thread)
    return PendingSend(
        node_id=action.node_id,
        visit=action.visit,
        due_at=action.run_at,
        status=action.status,
        reason=action.reason,
        last_error=action.last_error,
        attempts=action.attempts,
        to_address=known.address,
        from_address=sender.from_email if sender is not None else None,
        sender_reason=known.why_sender(node, known.thread),
        variant=content_of(node, known.contact_id).variant if node is not None and node.contents else None,
    )


def _doubt(switch: Any) -> str:
    """What ends a doubt."""
    policy, after = (
        ("assume_sent", timedelta(hours=24)) if switch is None else (switch.in_doubt_policy, switch.in_doubt_after)
    )
    then = "it counts as sent" if policy == "assume_sent" else "it is sent again"
    return (
        "who knows whether it arrived says so with dripiq in-doubt resolve; else evidence of the provider settles it, "
        f"or, {format_duration(after)} after it came up, {then}"
    )


def _read_known(
    connection: Connection, about: _Asker, row: Any, plan: Plan, messages: Sequence[Any], switch: Any
) -> Known:
    address = address_of(about.contact, row.channel, row.channel_address)
    node = plan.nodes.get(row.current_node_id or "")
    thread = read_threads(connection, about.tenant_id, [(row.id, node, plan)]).get(row.id)
    senders = [row.sender_identity_id, *(each.sender_identity_id for each in plan.nodes.values())]
    gates = read_gate_facts(
        connection,
        about.tenant_id,
        Channel(row.channel),
        tenant_paused=switch is not None and switch.sending_paused_at is not None,
        addresses=[address],
        sender_ids=[*senders, *([thread.last.sender_id] if thread is not None else [])],
        now=min(about.at, about.known_at),
    )
    if address is not None:
        booking = read_booking(connection, about.tenant_id, row.id, row.current_node_id or "", row.visit)
        limits = read_limit_facts(
            connection, about.tenant_id, Channel(row.channel), address=address, sender_ids=gates.senders, booking=booking, now=about.at
        )  # fmt: skip
        gates = replace(gates, limits=limits)
    begun = frozenset((m["node"], m["visit"]) for m in messages if m["status"] != MessageStatus.QUEUED)
    records = Records(about.contact, row.lead or {}, about.tenant)
    return Known(
        row.contact_id, records, address, row.sender_identity_id, gates, begun, row.visit, thread, row.sender_choice
    )


def _read_recorded(connection: Connection, tenant_id: str, campaign_id: str, state: State) -> Sequence[Happened]:
    """The events that a timer may let count, as `react` reads them."""
    if state.message is None or state.status.is_final:
        return ()
    since = state.message.accepted_at - timedelta(hours=1)
    return read_recorded(connection, tenant_id, [state.message], since).get(campaign_id, ())
