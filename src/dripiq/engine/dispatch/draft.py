"""What does a send look like as a row, and as a message to hand over?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dripiq.channels.base import OutgoingMessage
from dripiq.domain.accounts import Account, MailServer
from dripiq.domain.addresses import domain_of
from dripiq.domain.contents import Thread, context_of, say
from dripiq.domain.ids import send_key
from dripiq.domain.plan.model import Node
from dripiq.domain.states import Channel
from dripiq.domain.variants import content_of
from dripiq.repositories.outbox import Draft

Unsubscribe = Callable[[str, Channel, str], str]
"""Makes the unsubscribe link of (tenant_id, channel, address)."""


Track = Callable[[str, str, str], str]
"""Makes the HTML of (tenant_id, message id, HTML) tell when it is opened or clicked."""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What the messages of one batch have in common; `tenant` is its row, `now` the engine's time, which dates them."""

    tenant_id: str
    tenant: Mapping[str, Any]
    now: datetime
    unsubscribe: Unsubscribe | None


def draft(
    head: Letterhead, row: Any, node: Node, sender: Any, thread: Thread | None, message_id: str
) -> tuple[Draft, OutgoingMessage]:
    """Write one message.

    Args:
        row: of `read_sends`.
        sender: a row of `read_senders`.
        thread: what it answers, if anything.
        message_id: the id that its row gets, unless it has one from an earlier attempt.

    Raises:
        DripiqError: a value is missing, the template cannot be rendered, or there is nothing to answer; see `contents.say`.
    """
    channel = Channel(row.channel)
    link = head.unsubscribe(head.tenant_id, channel, row.address) if head.unsubscribe is not None else None
    content = content_of(node, row.contact_id)
    said = say(node, content, context_of(row.contact, row.lead, head.tenant, sender, link), thread)
    message = OutgoingMessage(
        id=message_id,
        tenant_id=head.tenant_id,
        channel=channel,
        to_address=row.address,
        to_name=row.contact.get("name"),
        from_address=sender.from_email,
        from_name=sender.from_name,
        reply_to=sender.reply_to,
        subject=said.subject,
        body=said.text,
        message_id=f"{message_id}@{domain_of(sender.from_email)}",
        at=head.now,
        html=said.html,
        in_reply_to=thread.last.message_id if thread is not None else None,
        references=thread.references if thread is not None else (),
        unsubscribe_url=link,
        ip_pool=sender.dedicated_ip_pool,
    )
    stored = Draft(
        id=message_id,
        campaign_id=row.campaign_id,
        contact_id=row.contact_id,
        node_id=row.node_id,
        visit=row.visit,
        sender_id=sender.id,
        to_address=row.address,
        subject=said.subject,
        body=content.body or content.html or "",
        rendered_body=said.text,
        rendered_html=said.html,
        variant=content.variant,
        smtp_id=message.message_id,
        scheduled_at=row.run_at,
        dedupe_key=send_key(row.campaign_id, row.contact_id, row.node_id, row.visit, row.channel),
        account=_account_of(head.tenant_id, sender) if row.channel == Channel.EMAIL else None,
    )
    return stored, message


def _account_of(tenant_id: str, sender: Any) -> Account | None:
    if sender.smtp_host is None:
        return None
    server = MailServer(
        sender.smtp_host, sender.smtp_port, sender.smtp_security, sender.smtp_username, sender.smtp_secret
    )
    return Account(tenant_id, sender.id, server)
