"""What is there to look at on an empty database?

Sample tenants, each with a user, a verified sender, leads and contacts in several time zones, and a paused campaign for each contact on an example plan. Ids
are derived from names, so seeding again meets what is there and leaves it as it is. All addresses are of example.com (RFC 2606): nobody is written to.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dripiq.domain.errors import ConflictError
from dripiq.domain.states import PlanOrigin
from dripiq.engine.enroll import enroll
from dripiq.engine.samples import SAMPLES, Sample
from dripiq.engine.steer import pause
from dripiq.repositories.registration import read_own_host_tables
from dripiq.repositories.seeding import insert_sample_contacts, insert_sample_leads, insert_sample_owner

HOST_TABLES = frozenset({"tenants", "users", "leads", "lead_point_of_contacts"})


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was made, and the names of all sample tenants."""

    tenants: tuple[str, ...]
    tenants_made: int
    leads_made: int
    contacts_made: int
    campaigns_made: int


def seed(connection: Connection, *, now: datetime) -> Seeded:
    """Make what is missing of the samples, in the caller's transaction.

    Args:
        now: the engine's time (aware, UTC).

    Raises:
        ConflictError: `host_adopted` where the database has an application's own tenants or contacts.
    """
    if not read_own_host_tables(connection) >= HOST_TABLES:
        raise ConflictError(
            "The tenants and contacts in this database belong to the application, and dripiq never writes to them: seed another one.",
            code="host_adopted",
        )
    made = [_seed_tenant(connection, sample, now) for sample in SAMPLES]
    return Seeded(tuple(sample.tenant for sample in SAMPLES), *(sum(counts) for counts in zip(*made, strict=True)))


def _seed_tenant(connection: Connection, sample: Sample, now: datetime) -> tuple[int, int, int, int]:
    tenant_id, user_id, sender_id = (_id(sample.tenant, kind) for kind in ("tenant", "user", "sender"))
    owner = insert_sample_owner(
        connection, (tenant_id, sample.tenant), (user_id, sample.email, sample.person), sender_id, now
    )
    lead_ids = {company: _id(sample.tenant, company) for company, *_ in sample.contacts}
    leads = insert_sample_leads(connection, tenant_id, {lead_ids[name]: name for name in lead_ids}, now)
    contacts = insert_sample_contacts(connection, tenant_id, list(_contacts(sample, lead_ids)), now)
    enrolled: dict[str, Any] = {}
    if contacts:
        enrolled = enroll(
            connection, tenant_id, sample.plan, contacts, now=now, sender_identity_id=sender_id,
            generated_by=PlanOrigin.MANUAL, created_by=user_id,
        ).enrolled  # fmt: skip
        pause(connection, tenant_id, list(enrolled.values()), now=now, actor=user_id)
    return owner, leads, len(contacts), len(enrolled)


def _contacts(sample: Sample, lead_ids: dict[str, str]) -> Iterator[tuple[str, str, str, str, str, str]]:
    """(id, lead_id, external_ref, name, email, timezone) of each."""
    for number, (company, name, zone) in enumerate(sample.contacts, 1):
        reference = f"sample-{number}"
        address = f"{name.lower().replace(' ', '.')}@{company.lower().replace(' ', '-')}.example.com"
        yield _id(sample.tenant, reference), lead_ids[company], reference, name, address, zone


def _id(*parts: str) -> str:
    """An id of the usual shape (a letter and base 36), the same every time."""
    number = int.from_bytes(hashlib.sha256("/".join(("dripiq sample", *parts)).encode()).digest())
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "s" + "".join(letters[(number // 36**place) % 36] for place in range(23))
