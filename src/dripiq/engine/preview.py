"""What would each contact get, and when, if a campaign were started now?

Walks the machine for every contact (`domain.preview`), with the tenant's own suppressions, validation results and senders, and renders every message. Writes
nothing. Contacts of a file that are in no database yet are previewed from their rows alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.addresses import normalise_email
from dripiq.domain.assumptions import Assumption
from dripiq.domain.contact_file import ContactRow
from dripiq.domain.contents import Sent, Thread
from dripiq.domain.errors import DripiqError, NotFoundError
from dripiq.domain.gates import SENDER_MISSING, SENDER_UNVERIFIED, Closed, Effect, SendFacts
from dripiq.domain.ids import digest
from dripiq.domain.moves import Contact, State
from dripiq.domain.plan.model import Node, Plan
from dripiq.domain.preview import Planned, walk
from dripiq.domain.sender_health import PAUSE_CODES, PauseReason
from dripiq.domain.states import CampaignStatus, ValidationStatus
from dripiq.domain.timing import zone_of
from dripiq.domain.variants import content_of
from dripiq.domain.wording import say_code
from dripiq.engine.choose_sender import share_out
from dripiq.engine.gate_facts import GateFacts, read_gate_facts
from dripiq.engine.knowledge import Known, Nobody, Records, address_of
from dripiq.repositories import EmailSenderIdentityRepository
from dripiq.repositories.explaining import read_switch
from dripiq.repositories.previewing import read_people

STANDING_IN = {"id": "[tenant.id]", "name": "[tenant.name]"}
"""The tenant of a preview without one."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to preview; `line` is that of the file, where there is one, and `passed_over` says why a start would leave them out."""

    known: Known
    line: int | None = None
    passed_over: "Flag | None" = None


@dataclass(frozen=True, slots=True)
class GivenSender:
    """Who would send, where no database knows it."""

    from_email: str
    from_name: str
    id: str = "given"
    validation_status: ValidationStatus = ValidationStatus.VERIFIED
    pause_reason: None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """Why a contact would not get a message; `is_error` where the plan or the contact's values must be mended."""

    code: str
    message: str
    node_id: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class PreviewedMessage:
    """One message as it would leave, at `at` (UTC); what cannot be rendered has no texts."""

    at: datetime
    node_id: str
    visit: int
    variant: str | None
    from_address: str
    sender_reason: str | None
    to_address: str | None
    subject: str | None
    text: str | None
    html: str | None


@dataclass(frozen=True, slots=True)
class PreviewedContact:
    """One contact.

    Attributes:
        timezone: the zone in which the plan's days and times of day are meant for them.
        flags: why they would not get it, or not all of it.
    """

    contact_id: str
    line: int | None
    name: str | None
    email: str | None
    timezone: str
    messages: tuple[PreviewedMessage, ...]
    flags: tuple[Flag, ...]


def preview(plan: Plan, people: Iterable[Person], start: datetime, assumed: Assumption) -> Iterator[PreviewedContact]:
    """What each of these people would get.

    Args:
        plan: a verified plan.
        start: when it would be started (aware, UTC).
    """
    for person in people:
        known = person.known
        contact = Contact(known.contact_id, known.records.contact.get("timezone"))
        flags: dict[tuple[str, str | None], Flag] = {}
        messages: list[PreviewedMessage] = []
        if person.passed_over is not None:
            flags[person.passed_over.code, None] = person.passed_over
        else:
            walked = walk(plan, contact, _Hopeful(known), start, assumed)
            for message, flag in _render(plan, known, walked):
                messages += [message] if message is not None else []
                flags |= {(flag.code, flag.node_id): flag} if flag is not None else {}
        record = known.records.contact
        yield PreviewedContact(
            contact_id=known.contact_id,
            line=person.line,
            name=record.get("name"),
            email=record.get("email"),
            timezone=zone_of(plan, contact),
            messages=tuple(messages),
            flags=tuple(flags.values()),
        )


def people_of_tenant(
    connection: Connection,
    tenant_id: str,
    tenant: Mapping[str, Any] | None,
    plan: Plan,
    contacts: Sequence[tuple[str, int | None]],
    sender_id: str | None,
    now: datetime,
) -> list[Person]:
    """A page of a tenant's contacts, given with the line of the file that named them.

    Args:
        tenant: its record (`read_tenant_record`).
        sender_id: the sender that the campaign would have; None for those that take turns.
    """
    channel = plan.nodes[plan.start_node_id].channel
    rows = read_people(connection, tenant_id, channel, [contact_id for contact_id, _ in contacts])
    addresses = {id: address_of(row.contact, channel, row.channel_address) for id, row in rows.items()}
    chosen = share_out(connection, tenant_id, plan, list(rows), sender_id)
    gates = read_gate_facts(
        connection,
        tenant_id,
        channel,
        tenant_paused=False,
        addresses=addresses.values(),
        sender_ids=[
            *{each.sender_id for each in chosen.values()},
            *(node.sender_identity_id for node in plan.nodes.values()),
        ],
        now=now,
    )
    return [
        Person(
            Known(
                id,
                Records(rows[id].contact, rows[id].lead or {}, tenant),
                addresses[id],
                chosen[id].sender_id if id in chosen else None,
                gates,
                sender_choice=chosen[id].choice if id in chosen else None,
            ),
            line,
            _enrolled(rows[id].campaign_id, rows[id].status),
        )
        for id, line in contacts
        if id in rows
    ]


def people_of_file(
    rows: Iterable[ContactRow], sender: GivenSender | None, passed_over: Flag | None = None
) -> Iterator[Person]:
    """The people of a file, whom no database knows. Their ids, which decide variants and jitter, stand in for those that an import gives."""
    senders = {sender.id: sender} if sender is not None else {}
    named = sender.id if sender is not None else None
    gates = GateFacts(False, senders, None, {}, {})
    for row in rows:
        id = digest("preview", row.email)[:24]
        contact = {
            "id": id,
            "name": row.name,
            "email": row.email,
            "timezone": row.timezone,
            "external_ref": row.external_ref,
        }
        yield Person(
            Known(id, Records(contact, {"name": row.company}, STANDING_IN), row.email, named, gates),
            row.line,
            passed_over,
        )


def sender_named(connection: Connection, tenant_id: str, email: str) -> str:
    """The id of the tenant's sender of that address, verified or not.

    Raises:
        NotFoundError: `unknown_sender`.
        InputError: `invalid_email`.
    """
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        found = EmailSenderIdentityRepository(session, tenant_id).get_by_from_email(normalise_email(email))
        if found is None:
            raise NotFoundError(
                f"The tenant has no sender {email!r}: `dripiq senders list --tenant …` shows those it has.",
                code="unknown_sender",
                facts={"sender": email},
            )
        return found.id


def is_sending_paused(connection: Connection, tenant_id: str) -> bool:
    """Whether the tenant's kill switch is on, so that nothing would leave at all."""
    switch = read_switch(connection, tenant_id)
    return switch is not None and switch.sending_paused_at is not None


@dataclass(frozen=True, slots=True)
class _Hopeful:
    """What is known of a contact, taken that its senders will be verified: that is told beside, and does not end the walk."""

    known: Known

    def facts(self, node: Node, state: State, at: datetime) -> SendFacts:
        return replace(self.known.facts(node, state, at), sender=ValidationStatus.VERIFIED, sender_paused=None)

    def fault(self, node: Node, state: State) -> Closed | None:
        return self.known.fault(node, state)


def _render(
    plan: Plan, known: Known, walked: Iterable[Planned]
) -> Iterator[tuple[PreviewedMessage | None, Flag | None]]:
    thread: Thread | None = None
    for planned in walked:
        node = plan.node(planned.node_id)
        answers = thread if node.in_thread else None
        sender = known.sender(node, answers)
        if planned.closed is not None and planned.closed.effect is Effect.STOP:
            yield None, Flag(planned.closed.code, say_code(planned.closed.code), node.id)
            return
        message = PreviewedMessage(
            at=planned.at,
            node_id=node.id,
            visit=planned.visit,
            variant=content_of(node, known.contact_id).variant,
            from_address=(sender or Nobody()).from_email,
            sender_reason=known.why_sender(node, answers),
            to_address=known.address,
            subject=None,
            text=None,
            html=None,
        )
        try:
            said = known.say(node, answers)
        except DripiqError as error:
            yield message, Flag(error.error_code, error.message, node.id, is_error=True)
            return
        yield replace(message, subject=said.subject, text=said.text, html=said.html), _about_sender(sender, node)
        thread = Thread(Sent(node.id, "", said.subject, sender.id if sender is not None else None), ())


def _about_sender(sender: Any, node: Node) -> Flag | None:
    """Of the campaign's sender once, of a node's own with the node."""
    node_id = node.id if node.sender_identity_id is not None else None
    if sender is None:
        return Flag(SENDER_MISSING, say_code(SENDER_MISSING), node_id)
    if ValidationStatus(sender.validation_status) is not ValidationStatus.VERIFIED:
        return Flag(SENDER_UNVERIFIED, f"{say_code(SENDER_UNVERIFIED)} ({sender.from_email})", node_id)
    if sender.pause_reason is not None:
        code = PAUSE_CODES[PauseReason(sender.pause_reason)]
        return Flag(code, f"{say_code(code)} ({sender.from_email})", node_id)
    return None


def _enrolled(campaign_id: str | None, status: str | None) -> Flag | None:
    if status is None or CampaignStatus(status).is_final:
        return None
    sentence = f"their campaign {campaign_id} on this channel is not over, so a start passes them over"
    return Flag("already_enrolled", sentence)
