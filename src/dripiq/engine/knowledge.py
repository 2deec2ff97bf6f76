"""What is known of one contact, for the gates and for its texts?

What `domain.outlook` asks (`Knowledge`): dispatch knows the same of each send that it prepares.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dripiq.domain.errors import DripiqError
from dripiq.domain.gates import Closed, Effect, SendFacts
from dripiq.domain.moves import IN_DOUBT, State
from dripiq.domain.outlook import open_send
from dripiq.domain.plan.model import Node
from dripiq.domain.render import render, variables
from dripiq.domain.states import CampaignStatus, Channel
from dripiq.domain.variants import content_of
from dripiq.engine.gate_facts import GateFacts

LINK = "https://unsubscribe.example/"
"""Stands for the link that the workers make; whether they can is for their settings to say."""


@dataclass(frozen=True, slots=True)
class Records:
    """What templates speak of. `tenant` is None for who may not read it: what asks for it is not tried then."""

    contact: dict[str, Any]
    lead: dict[str, Any] | None
    tenant: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A send as `GateFacts` asks for it."""

    contact_id: str
    contact: dict[str, Any]
    address: str | None
    status: CampaignStatus
    is_current: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a contact over one channel.

    Attributes:
        sender_identity_id: the campaign's own sender.
        begun: nodes and visits whose message has left `queued`: it is not prepared again.
    """

    contact_id: str
    records: Records
    address: str | None
    sender_identity_id: str | None
    gates: GateFacts
    begun: frozenset[tuple[str, int]] = frozenset()

    def facts(self, node: Node, state: State, at: datetime) -> SendFacts:
        """What the gates look at if this node's message were to leave at that time."""
        send = open_send(state)
        is_current = send is None or send.ref[:2] == (state.node_id, state.visit)
        asked = _Asked(self.contact_id, self.records.contact, self.address, state.status, is_current)
        return self.gates.of(asked, node, self.sender(node), at)

    def sender(self, node: Node | None) -> Any:
        """Who sends this node's message; None where there is nobody."""
        return self.gates.sender_of(self, node)

    def fault(self, node: Node, state: State) -> Closed | None:
        """What holds this node's message once every gate is open."""
        content = content_of(node, self.contact_id)
        context = self.context(node)
        try:
            for template in (content.subject, content.body, content.html):
                if template is not None and (self.records.tenant is not None or not _asks_for_tenant(template)):
                    render(template, context)
        except DripiqError as error:
            return Closed(error.error_code, Effect.HOLD)
        return Closed(IN_DOUBT, Effect.HOLD) if (node.id, state.visit) in self.begun else None

    def context(self, node: Node) -> dict[str, object]:
        """The values of this node's templates."""
        sender = self.sender(node)
        return {
            "contact": self.records.contact,
            "lead": self.records.lead,
            "tenant": self.records.tenant,
            "sender": {"email": sender.from_email, "name": sender.from_name} if sender is not None else None,
            "unsubscribe_url": LINK,
        }


def address_of(contact: dict[str, Any], channel: str, primary: str | None) -> str | None:
    """Where a contact is written to on a channel, in stored form: its primary address there, else, by e-mail, its own."""
    address = primary if primary is not None or channel != Channel.EMAIL else contact.get("email")
    return str(address).lower() if address is not None else None


def _asks_for_tenant(template: str) -> bool:
    return any(name.partition(".")[0] == "tenant" for name in variables(template))
