"""Two tenants with people of their own, and a valid new row for every table, so that repository tests say only what they are about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq import repositories
from dripiq.domain.events import EventType
from dripiq.domain.states import (
    ActionType,
    CampaignStatus,
    Channel,
    InboundClass,
    LimitScope,
    PlanOrigin,
    SuppressionScope,
    SuppressionSource,
    SuppressionType,
    ValidationResult,
)
from dripiq.repositories.base import AppendRepository
from dripiq.schema import Lead, LeadPointOfContact, Tenant, User
from dripiq.schema.ids import new_id

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
_numbers = count(1)


@dataclass
class Household:
    """A tenant with a user, a lead and a contact; it makes repositories, and rows to put into them."""

    session: Session
    tenant_id: str
    user_id: str
    lead_id: str
    contact_id: str

    @classmethod
    def settle(cls, session: Session) -> "Household":
        ids = [new_id() for _ in range(4)]
        session.add_all([Tenant(id=ids[0], name="T"), User(id=ids[1], email=f"{ids[1]}@example.com", name="U")])
        session.flush()
        session.add(Lead(id=ids[2], tenant_id=ids[0], name="L"))
        session.flush()
        household = cls(session, *ids)
        household.contact_id = household.another_contact()
        return household

    def another_lead(self) -> str:
        lead = Lead(id=new_id(), tenant_id=self.tenant_id, name="L")
        self.session.add(lead)
        self.session.flush()
        return lead.id

    def another_contact(self, lead_id: str | None = None) -> str:
        contact = LeadPointOfContact(
            id=new_id(), tenant_id=self.tenant_id, lead_id=lead_id or self.lead_id, name="C", email="c@example.com"
        )
        self.session.add(contact)
        self.session.flush()
        return contact.id

    def repository(self, kind: type[AppendRepository[Any, Any]]) -> Any:
        return kind(self.session, self.tenant_id)

    def new(self, kind: type[AppendRepository[Any, Any]], **other: Any) -> dict[str, Any]:
        """A valid new row, different from all others; `other` replaces values."""
        return {**SAMPLES[kind](self, next(_numbers)), **other}

    def row(self, kind: type[AppendRepository[Any, Any]], **other: Any) -> Any:
        """A stored row."""
        return self.repository(kind).create(self.new(kind, **other))

    def campaign_id(self) -> str:
        made: str = self.row(repositories.ContactCampaignRepository).id
        return made


Sample = Callable[[Household, int], dict[str, Any]]

SAMPLES: dict[type[AppendRepository[Any, Any]], Sample] = {
    repositories.EmailSenderIdentityRepository: lambda home, n: {
        "user_id": home.user_id,
        "from_email": f"sender{n}@example.com",
        "from_name": "Sender",
        "domain": "example.com",
    },
    repositories.ContactCampaignRepository: lambda home, n: {
        "lead_id": home.lead_id,
        "contact_id": home.another_contact(),
        "channel": Channel.EMAIL,
        "plan_json": {"version": "1.0", "nodes": [{"id": f"n{n}"}]},
        "plan_hash": f"hash{n}",
    },
    repositories.CampaignPlanVersionRepository: lambda home, n: {
        "contact_campaign_id": home.campaign_id(),
        "version": f"{n}",
        "plan_json": {"version": "1.0"},
        "plan_hash": "hash",
        "generated_by": PlanOrigin.MANUAL,
        "created_by": home.user_id,
    },
    repositories.ScheduledActionRepository: lambda home, n: {
        "contact_campaign_id": home.campaign_id(),
        "node_id": "intro",
        "visit": 1,
        "action_type": ActionType.SEND,
        "run_at": NOON,
        "dedupe_key": f"action{n}",
    },
    repositories.OutboundMessageRepository: lambda home, n: {
        "contact_campaign_id": home.campaign_id(),
        "contact_id": home.contact_id,
        "node_id": "intro",
        "visit": 1,
        "channel": Channel.EMAIL,
        "to_address": "c@example.com",
        "body": "Hello",
        "provider": "smtp",
        "provider_message_id": f"provider{n}",
        "dedupe_key": f"message{n}",
    },
    repositories.MessageEventRepository: lambda home, n: {
        "outbound_message_id": home.row(repositories.OutboundMessageRepository).id,
        "provider": "sendgrid",
        "event_type": EventType.OPENED,
        "event_at": NOON + timedelta(days=31 * (n % 3)),
        "provider_event_id": f"event{n}",
        "payload": {"n": n},
    },
    repositories.WebhookDeliveryRepository: lambda _home, n: {
        "provider": "sendgrid",
        "received_at": NOON,
        "signature_valid": True,
        "raw": b"\x00\xff[]",
        "payload": [{"n": n}, [1, 2]],
        "payload_hash": f"hash{n}",
    },
    repositories.InboundMessageRepository: lambda home, n: {
        "contact_id": home.contact_id,
        "channel": Channel.EMAIL,
        "to_address": "sender@example.com",
        "from_address": "c@example.com",
        "attachments": [{"name": "a.txt"}],
        "classification": InboundClass.REPLY,
        "provider_message_id": f"<{n}@example.com>",
        "received_at": NOON,
    },
    repositories.CommunicationSuppressionRepository: lambda _home, n: {
        "channel": Channel.EMAIL,
        "value": f"silent{n}@example.com",
        "scope": SuppressionScope.ADDRESS,
        "type": SuppressionType.UNSUBSCRIBE,
        "source": SuppressionSource.LINK,
        "first_seen_at": NOON,
        "last_seen_at": NOON,
    },
    repositories.SendRateLimitRepository: lambda _home, n: {
        "channel": Channel.EMAIL,
        "scope": LimitScope.DOMAIN,
        "scope_value": f"d{n}.example.com",
        "max_per_hour": 200,
        "ramp": {"start": 20},
    },
    repositories.EmailValidationResultRepository: lambda home, n: {
        "contact_id": home.contact_id,
        "email": f"c{n}@example.com",
        "result_status": ValidationResult.VALID,
        "source": "test",
        "validated_at": NOON,
    },
    repositories.ContactChannelRepository: lambda home, n: {
        "contact_id": home.contact_id,
        "channel": Channel.EMAIL,
        "value": f"c{n}@example.com",
    },
    repositories.CampaignTransitionRepository: lambda home, n: {
        "contact_campaign_id": home.campaign_id(),
        "seq": n,
        "to_status": CampaignStatus.ACTIVE,
        "trigger": "started",
        "at": NOON,
    },
}


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """A session within the test's own transaction."""
    with Session(connection, join_transaction_mode="create_savepoint") as opened:
        yield opened


@pytest.fixture
def home(session: Session) -> Household:
    """Tenant A."""
    return Household.settle(session)


@pytest.fixture
def neighbour(session: Session) -> Household:
    """Tenant B."""
    return Household.settle(session)


@pytest.fixture
def settle() -> Callable[[Session], Household]:
    """Makes a household in a session of the test's own."""
    return Household.settle


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`kind` runs a test for each of the thirteen, `changing` for those that also change and delete."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__.removesuffix("Repository"))
    if "changing" in metafunc.fixturenames:
        kinds = [kind for kind in SAMPLES if issubclass(kind, repositories.TenantRepository)]
        metafunc.parametrize("changing", kinds, ids=lambda kind: kind.__name__.removesuffix("Repository"))
