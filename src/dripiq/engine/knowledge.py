"""What is known of one contact, for the gates and for its texts?

What `domain.outlook` asks (`Knowledge`): dispatch knows the same of each send that it prepares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dripiq.domain.contents import Said, Sent, Thread, context_of, say
from dripiq.domain.errors import DripiqError
from dripiq.domain.gates import Closed, Effect, SendFacts
from dripiq.domain.moves import IN_DOUBT, State
from dripiq.domain.outlook import open_send
from dripiq.domain.plan.model import Node
from dripiq.domain.render import variables
from dripiq.domain.states import CampaignStatus, Channel
from dripiq.domain.variants import content_of
from dripiq.engine.gate_facts import GateFacts

LINK: Final = "https://unsubscribe.example/"
"""Stands for the link that the workers make; whether they can is for their settings to say."""

SOME_THREAD: Final = Thread(Sent("", "", "the message before", None), ())
"""Stands for the thread of a message that comes after another that has not left yet."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Stands for a sender that there is not."""

    id: str | None = None
    from_email: str = "[no sender]"
    from_name: str = "[no sender]"


@dataclass(frozen=True, slots=True)
class Records:
    """What templates speak of. `tenant` is None for who may not read it: what asks for it is not tried then."""

    contact: Mapping[str, Any]
    lead: Mapping[str, Any]
    tenant: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A send as `GateFacts` asks for it."""

    contact_id: str
    contact: Mapping[str, Any]
    address: str | None
    status: CampaignStatus
    is_current: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a contact over one channel.

    Attributes:
        sender_identity_id: the campaign's own sender.
        begun: nodes and visits whose message has left `queued`: it is not prepared again.
        visit: the present one; of later ones it is not known yet what they answer.
        thread: what the present visit's message answers.
        sender_choice: how the campaign came by its sender.
    """

    contact_id: str
    records: Records
    address: str | None
    sender_identity_id: str | None
    gates: GateFacts
    begun: frozenset[tuple[str, int]] = frozenset()
    visit: int = 0
    thread: Thread | None = None
    sender_choice: str | None = None

    def facts(self, node: Node, state: State, at: datetime) -> SendFacts:
        """What the gates look at if this node's message were to leave at that time."""
        send = open_send(state)
        is_current = send is None or send.ref[:2] == (state.node_id, state.visit)
        asked = _Asked(self.contact_id, self.records.contact, self.address, state.status, is_current)
        return self.gates.of(asked, node, self.sender(node, self.thread_at(node, state)), at)

    def sender(self, node: Node | None, thread: Thread | None = None) -> Any:
        """Who sends this node's message; None where there is nobody."""
        return self.gates.sender_of(self, node, thread)

    def why_sender(self, node: Node | None, thread: Thread | None = None) -> str | None:
        """Why it is that sender, as a clause."""
        return self.gates.why_sender(self, node, thread)

    def thread_at(self, node: Node, state: State) -> Thread | None:
        """What this node's message answers."""
        if not node.in_thread:
            return None
        return self.thread if state.visit == self.visit else SOME_THREAD

    def fault(self, node: Node, state: State) -> Closed | None:
        """What holds this node's message once every gate is open."""
        content = content_of(node, self.contact_id)
        templates = [text for text in (content.subject, content.body, content.html) if text is not None]
        if self.records.tenant is not None or not any(_asks_for_tenant(template) for template in templates):
            try:
                self.say(node, self.thread_at(node, state))
            except DripiqError as error:
                return Closed(error.error_code, Effect.HOLD)
        return Closed(IN_DOUBT, Effect.HOLD) if (node.id, state.visit) in self.begun else None

    def say(self, node: Node, thread: Thread | None) -> Said:
        """The node's message.

        Raises:
            DripiqError: as `contents.say`.
        """
        sender = self.sender(node, thread) or Nobody()
        context = context_of(self.records.contact, self.records.lead, self.records.tenant or {}, sender, LINK)
        return say(node, content_of(node, self.contact_id), context, thread)


def address_of(contact: Mapping[str, Any], channel: str, primary: str | None) -> str | None:
    """Where a contact is written to on a channel, in stored form: its primary address there, else, by e-mail, its own."""
    address = primary if primary is not None or channel != Channel.EMAIL else contact.get("email")
    return str(address).lower() if address is not None else None


def _asks_for_tenant(template: str) -> bool:
    return any(name.partition(".")[0] == "tenant" for name in variables(template))
