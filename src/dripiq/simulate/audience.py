"""For whom is a plan rehearsed?

The people of a CSV, or made-up ones; as contacts of a tenant of the simulation's own. Their ids follow from seed and address, for jitter and variants are
decided by them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dripiq.domain.addresses import domain_of
from dripiq.domain.contact_file import ContactRow
from dripiq.domain.errors import ConflictError
from dripiq.domain.plan.model import Plan
from dripiq.domain.states import Channel, ValidationStatus
from dripiq.engine.limit import lift_limits
from dripiq.engine.register import register_sender, register_tenant
from dripiq.repositories import ContactChannelRepository, EmailSenderIdentityRepository
from dripiq.repositories.contact_import import NewContact, insert_contacts, insert_leads
from dripiq.schema.ids import LENGTH, new_id

BATCH = 2_000
SENDER = "sender@example.com"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_GIVEN = ("Ada", "Björn", "Chiara", "Deniz", "Emeka", "Fatima", "Grace", "Hana", "Igor", "Júlia", "Kofi", "Lena")
_FAMILY = ("Abe", "Berg", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jansen", "Kaya", "Lopez")
_ZONES = (
    "America/New_York", "Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "Europe/London", "Asia/Kolkata", "America/Sao_Paulo",
    "Australia/Sydney",
)  # fmt: skip
"""Of these, made-up people live in one or the other."""


def made_people(count: int) -> list[ContactRow]:
    """That many people, always the same: two of each company, over the world's time zones; every address is of `example`."""
    return [
        ContactRow(
            line=number + 1,
            email=f"p{number:06d}@company-{(number + 1) // 2:05d}.example",
            name=f"{_GIVEN[number % len(_GIVEN)]} {_FAMILY[number // len(_GIVEN) % len(_FAMILY)]}",
            company=f"Company {(number + 1) // 2}",
            timezone=_ZONES[number % len(_ZONES)],
            external_ref=None,
        )
        for number in range(1, count + 1)
    ]


def contact_id(seed: int, address: str) -> str:
    """The id of the person at an address, in the shape of all ids."""
    number = int.from_bytes(hashlib.sha256(f"{seed}:{address}".encode()).digest())
    tail = []
    for _ in range(LENGTH - 1):
        number, digit = divmod(number, 36)
        tail.append(_BASE36[digit])
    return "s" + "".join(tail)


def settle(connection: Connection, people: Sequence[ContactRow], plan: Plan, seed: int, now: datetime) -> str:
    """Make a tenant with these people, and with every sender that the plan names, all verified; the tenant's id."""
    tenant_id = register_tenant(connection, f"Simulation {new_id()}").id
    default = register_sender(connection, tenant_id, SENDER, now=now, name="Sender", verified=True)
    lift_limits(connection, tenant_id, now=now)
    named = dict.fromkeys(node.sender_identity_id for node in plan.nodes.values() if node.sender_identity_id)
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        EmailSenderIdentityRepository(session, tenant_id).create_many(
            [
                {
                    "id": sender_id,
                    "user_id": default.user_id,
                    "from_email": f"sender-{number}@example.com",
                    "from_name": "Sender",
                    "domain": domain_of(SENDER),
                    "validation_status": ValidationStatus.VERIFIED,
                }
                for number, sender_id in enumerate(named, 1)
            ]
        )
        session.commit()
    _settle_people(connection, tenant_id, people, seed, now)
    if channel_of(plan) is Channel.SMS:
        _settle_numbers(connection, tenant_id, [contact_id(seed, row.email) for row in people])
    return tenant_id


@contextmanager
def refusing_known_people() -> Iterator[None]:
    """Raises ConflictError, `rehearsed_before`, where people are settled a second time."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(
            "In this database these people have rehearsed with this seed before: take a fresh database, or another seed.",
            code="rehearsed_before",
        ) from error


def channel_of(plan: Plan) -> Channel:
    """The one channel that a plan is on."""
    return plan.nodes[plan.start_node_id].channel


def _settle_people(
    connection: Connection, tenant_id: str, people: Sequence[ContactRow], seed: int, now: datetime
) -> None:
    leads = {_lead_key(row): row.company for row in reversed(people)}
    lead_ids = {key: new_id() for key in leads}
    made = [(lead_ids[key], company) for key, company in leads.items()]
    contacts = [
        NewContact(
            contact_id(seed, row.email), lead_ids[_lead_key(row)], row.email, row.name, row.timezone, row.external_ref
        )
        for row in people
    ]
    for start in range(0, len(made), BATCH):
        insert_leads(connection, tenant_id, made[start : start + BATCH], now)
    for start in range(0, len(contacts), BATCH):
        insert_contacts(connection, tenant_id, contacts[start : start + BATCH], now)


def _settle_numbers(connection: Connection, tenant_id: str, contact_ids: Sequence[str]) -> None:
    """Numbers of a range that is nobody's, one each."""
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        channels = ContactChannelRepository(session, tenant_id)
        for start in range(0, len(contact_ids), BATCH):
            channels.create_many(
                [
                    {
                        "contact_id": id,
                        "channel": Channel.SMS,
                        "value": f"+999{start + number:011d}",
                        "is_primary": True,
                    }
                    for number, id in enumerate(contact_ids[start : start + BATCH])
                ]
            )
        session.commit()


def _lead_key(row: ContactRow) -> tuple[str, str]:
    return ("company", row.company.casefold()) if row.company else ("contact", row.email)
