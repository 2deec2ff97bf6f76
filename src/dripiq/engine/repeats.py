"""Who would be sent a text that they have had already?

Every send that a campaign can still come to is rendered for its contact, and compared with what was sent in it. The unsubscribe link counts for nothing; a
text that cannot be rendered is no repeat (its send will be held, and says why).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from dripiq.domain.contents import Sent, Thread, context_of, say
from dripiq.domain.errors import DripiqError
from dripiq.domain.moves import State
from dripiq.domain.plan.model import Node, Plan
from dripiq.domain.plan_diff import Repeat, text_hash
from dripiq.domain.replan import sends_ahead
from dripiq.domain.variants import content_of
from dripiq.repositories.preparing import read_senders
from dripiq.repositories.replanning import read_recipients, read_sent

_LINK: Final = "https://dripiq.invalid/unsubscribe/x"
"""Stands for the unsubscribe link, as `text_hash` passes over it."""


def find_repeats(
    connection: Connection, tenant_id: str, tenant: Mapping[str, Any], campaigns: Mapping[str, tuple[Plan, State]]
) -> Iterator[Repeat]:
    """The repeats that these campaigns, by id, have ahead on their plans from where they stand; `tenant` is the tenant's record."""
    sent: dict[str, dict[str, datetime]] = {}
    threads: dict[str, Thread] = {}
    for row in read_sent(connection, tenant_id, campaigns) if campaigns else ():
        said = text_hash(row.subject, row.rendered_body, row.rendered_html)
        sent.setdefault(row.contact_campaign_id, {}).setdefault(said, row.sent_at)
        threads[row.contact_campaign_id] = Thread(Sent(row.node_id, "", row.subject, None), ())
    if not sent:
        return
    recipients = read_recipients(connection, tenant_id, sent)
    ahead = {r.campaign_id: list(sends_ahead(*campaigns[r.campaign_id])) for r in recipients}
    named = {r.sender_identity_id for r in recipients} | {n.sender_identity_id for ns in ahead.values() for n in ns}
    senders = {row.id: row for row in read_senders(connection, tenant_id, [name for name in named if name])}
    default = next((sender for sender in senders.values() if sender.is_default), None)
    for recipient in recipients:
        for node in ahead[recipient.campaign_id]:
            name = node.sender_identity_id or recipient.sender_identity_id
            sender = senders.get(name) if name is not None else default
            said_now = _said(node, recipient, sender, tenant, threads[recipient.campaign_id])
            at = sent[recipient.campaign_id].get(said_now or "")
            if at is not None:
                yield Repeat(recipient.campaign_id, recipient.contact.get("email"), node.id, at)


def _said(node: Node, recipient: Any, sender: Any, tenant: Mapping[str, Any], thread: Thread) -> str | None:
    """The hash of what a node would say to a contact; None where it cannot be rendered, or nobody sends it."""
    if sender is None:
        return None
    context = context_of(recipient.contact, recipient.lead, tenant, sender, _LINK)
    content = content_of(node, recipient.contact_id)
    try:
        said = say(node, content, context, thread if node.in_thread else None)
    except DripiqError:
        return None
    return text_hash(said.subject, said.text, said.html)
