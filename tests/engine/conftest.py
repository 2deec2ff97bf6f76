"""A tenant with contacts, a verified sender and a mail folder, and a worker whose clock the test moves."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from dripiq.channels.base import Sender
from dripiq.channels.folder import FolderSender
from dripiq.domain.states import Channel
from dripiq.engine.claim import Share
from dripiq.engine.dispatch import Outbox
from dripiq.engine.enroll import Enrolment, enroll
from dripiq.engine.limit import lift_limits
from dripiq.engine.loop import Pace, Worker
from dripiq.schema.ids import new_id, new_ids
from tests.engine.dovecot import base_folder, dovecot

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@dataclass
class HandClock:
    """A clock that moves when the test says so."""

    time: datetime = NOON

    def now(self, connection: Connection) -> datetime:
        return self.time

    def pass_(self, **delta: float) -> None:
        self.time += timedelta(**delta)


def email_plan(*nodes: dict[str, Any], **top: Any) -> dict[str, Any]:
    """A plan of e-mail nodes; a node without `action` sends."""
    filled = []
    for node in nodes:
        send = {"action": "send", "subject": "Hello {{ contact.name }}", "body": f"This is {node['id']}."}
        filled.append({"channel": "email", **(send if node.get("action") != "wait" else {}), **node})
    return {"version": "1.0", "timezone": "UTC", "startNodeId": nodes[0]["id"], "nodes": filled, **top}


ONE_MAIL = email_plan({"id": "intro"})


@dataclass
class World:
    """One tenant on a database of the test's own."""

    database: Engine
    folder: Path
    clock: HandClock = field(default_factory=HandClock)
    sender: Sender | None = None
    tenant_id: str = ""
    sender_id: str = ""
    contacts: list[str] = field(default_factory=list)

    def worker(self, sender: Sender | None = None, share: Share | None = None) -> Worker:
        chosen = sender or self.sender or FolderSender(self.folder)
        return Worker(Outbox(self.database, self.clock, {Channel.EMAIL: chosen}), Pace(share=share or Share()))

    def enroll(self, plan: dict[str, Any], contacts: Sequence[str] | None = None) -> Enrolment:
        with self.database.begin() as connection:
            return enroll(connection, self.tenant_id, plan, contacts or self.contacts, now=self.clock.time)

    def work(self, worker: Worker | None = None) -> Worker:
        """Let a worker do everything that is due or has come in, until nothing is."""
        worker = worker or self.worker()
        asyncio.run(worker.run_until_idle())
        return worker

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(text(statement), {"tenant_id": self.tenant_id, **parameters}).all())

    def value(self, statement: str, **parameters: Any) -> Any:
        (row,) = self.rows(statement, **parameters)
        return row[0]

    def execute(self, statement: str, **parameters: Any) -> int:
        with self.database.begin() as connection:
            return connection.execute(text(statement), {"tenant_id": self.tenant_id, **parameters}).rowcount

    def mails(self) -> list[Path]:
        return sorted(self.folder.rglob("*.eml"))

    def campaign(self) -> Any:
        """The only campaign."""
        (row,) = self.rows("SELECT * FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id")
        return row

    def receive(self, *events: dict[str, Any]) -> None:
        """Archive a delivery of SendGrid events about messages; `message` names one by its id, the time is the clock's unless given."""
        from dripiq.engine.ingest import ingest

        body = [
            {
                "timestamp": int(self.clock.time.timestamp()),
                "sg_event_id": new_id(),
                "email": "someone@example.com",
                "dripiq_tenant": self.tenant_id,
                **({"dripiq_message": event["message"]} if "message" in event else {}),
                **{key: value for key, value in event.items() if key != "message"},
            }
            for event in events
        ]
        with self.database.begin() as connection:
            ingest(connection, json.dumps(body).encode(), self.clock.time)

    def message(self, node_id: str = "intro") -> str:
        found: str = self.value(
            "SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND node_id = :node_id",
            node_id=node_id,
        )
        return found


def settle_tenant(
    database: Engine, contacts: int, name: str = "Acme", *, is_limited: bool = False
) -> tuple[str, str, list[str]]:
    """A tenant with a verified default sender and `contacts` contacts; (tenant id, sender id, contact ids).

    Nothing limits how fast it sends, unless the test is about that.
    """
    tenant_id, user_id, lead_id, sender_id = new_ids(4)
    contact_ids = sorted(new_ids(contacts))
    values = {"tenant": tenant_id, "user": user_id, "lead": lead_id, "sender": sender_id, "name": name}
    with database.begin() as connection:
        for statement in (
            "INSERT INTO dripiq_app.tenants (id, name) VALUES (:tenant, :name)",
            "INSERT INTO dripiq_app.users (id, email, name) VALUES (:user, :user || '@example.com', 'U')",
            "INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES (:lead, :tenant, 'Lead')",
            "INSERT INTO dripiq_app.email_sender_identities"
            " (id, tenant_id, user_id, from_email, from_name, domain, validation_status, is_default)"
            " VALUES (:sender, :tenant, :user, 'sender@example.com', 'Sender', 'example.com', 'verified', true)",
        ):
            connection.execute(text(statement), {key: value for key, value in values.items() if f":{key}" in statement})
        connection.execute(
            text(
                "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name, email)"
                " SELECT id, :tenant, :lead, 'Contact ' || n, 'c' || n || '@example.com'"
                " FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS c (id, n)"
            ),
            {"tenant": tenant_id, "lead": lead_id, "ids": contact_ids},
        )
        if not is_limited:
            lift_limits(connection, tenant_id, now=NOON)
    return tenant_id, sender_id, contact_ids


@pytest.fixture
def world(engine: Engine, tmp_path: Path) -> World:
    """A tenant with one contact."""
    made = World(engine, tmp_path / "mail")
    made.tenant_id, made.sender_id, made.contacts = settle_tenant(engine, 1)
    return made


@pytest.fixture
def crowd(engine: Engine, tmp_path: Path) -> World:
    """A tenant with fifty contacts."""
    made = World(engine, tmp_path / "mail")
    made.tenant_id, made.sender_id, made.contacts = settle_tenant(engine, 50)
    return made


@pytest.fixture(scope="module")
def imap_port() -> Iterator[int]:
    """The port of a Dovecot of the module's own."""
    with base_folder() as (base, owner), dovecot(base, owner) as chosen:
        yield chosen
