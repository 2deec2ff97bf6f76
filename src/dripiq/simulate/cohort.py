"""Who takes part in the demo, and what are they sent?

Three tenants, 72 contacts each, from the shipped CSV. All three follow the shipped plan, each in its own time zone: these lie eight hours apart and
the quiet hours last eight, so that at any hour about one tenant's contacts sleep, and the others' campaigns run.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from typing import Any

from sqlalchemy import Engine

from dripiq.db.session import tenant_transaction
from dripiq.domain.contact_file import ContactRow, read_contact_file
from dripiq.domain.plan.model import NodeAction, Plan
from dripiq.domain.plan.verify import check_plan
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.enroll import enroll
from dripiq.engine.import_contacts import import_contacts
from dripiq.engine.limit import lift_limits
from dripiq.engine.register import register_sender, register_tenant
from dripiq.engine.suppress import suppress
from dripiq.repositories.enrollment import read_contacts

ZONES = {
    "Aurora Analytics": "America/Los_Angeles",
    "Nordwind Software": "Europe/Berlin",
    "Sakura Trading": "Asia/Tokyo",
}
SENDERS = {
    "Aurora Analytics": ("Ada Reyes", "ada@aurora-analytics.example"),
    "Nordwind Software": ("Jørgen Großmann", "joergen@nordwind-software.example"),
    "Sakura Trading": ("森田 花", "hana@sakura-trading.example"),
}
SUPPRESSED_BEFORE = 2
"""How many contacts of each tenant have asked earlier to be left alone."""

_DATA = files("dripiq.simulate") / "data"


@dataclass(frozen=True, slots=True)
class Member:
    """A tenant of the demo: its contacts as in the file, and its plan, checked and as a document."""

    id: str
    name: str
    rows: Sequence[ContactRow]
    plan: Plan
    document: Mapping[str, Any]

    @property
    def sending_nodes(self) -> list[str]:
        """The nodes that send, in the plan's order."""
        return [node.id for node in self.plan.nodes.values() if node.action is NodeAction.SEND]


def settle(database: Engine) -> list[Member]:
    """Register the tenants with a verified sender each and no limits, import their contacts, and close a few addresses.

    Raises:
        PlanError: the shipped plan has faults.
    """
    members = []
    for name, rows in read_cohort().items():
        with database.begin() as connection:
            tenant_id = register_tenant(connection, name).id
        members.append(Member(tenant_id, name, rows, *read_plan(ZONES[name])))
        with database.begin() as connection:  # users belong to the host, so a tenant's role cannot add one
            now = DatabaseClock().now(connection)
            sender, address = SENDERS[name]
            register_sender(connection, tenant_id, address, now=now, name=sender, verified=True)
            lift_limits(connection, tenant_id, now=now)
        with tenant_transaction(database, tenant_id) as connection:
            import_contacts(connection, tenant_id, rows, now=DatabaseClock().now(connection))
        with tenant_transaction(database, tenant_id) as connection:
            closed = [row.email for row in rows[-SUPPRESSED_BEFORE:]]
            suppress(connection, tenant_id, closed, now=DatabaseClock().now(connection))
    return members


def start(database: Engine, member: Member) -> int:
    """Give every contact of a tenant its campaign; how many."""
    with tenant_transaction(database, member.id) as connection:
        contacts = read_contacts(connection, member.id, after="", limit=len(member.rows))
        now = DatabaseClock().now(connection)
        return len(enroll(connection, member.id, dict(member.document), contacts, now=now).enrolled)


def read_cohort() -> dict[str, list[ContactRow]]:
    """The shipped contacts by their tenant's name."""
    raw = (_DATA / "contacts.csv").read_bytes()
    tenant_of = {line["email"]: line["tenant"] for line in csv.DictReader(StringIO(raw.decode(), newline=""))}
    cohort: dict[str, list[ContactRow]] = {}
    for row in read_contact_file(raw).rows:
        cohort.setdefault(tenant_of[row.email], []).append(row)
    return cohort


def read_plan(timezone: str) -> tuple[Plan, dict[str, Any]]:
    """The shipped plan in a time zone, checked, and as a document.

    Raises:
        PlanError: it has faults.
    """
    document: dict[str, Any] = {**json.loads((_DATA / "plan.json").read_bytes()), "timezone": timezone}
    return check_plan(document), document
