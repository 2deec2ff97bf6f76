"""What do the sends of a batch answer (`replyTo: "previous"`)?"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from dripiq.domain.contents import Sent, Thread, thread_of
from dripiq.domain.plan.model import Node, Plan
from dripiq.repositories.preparing import read_sent


def read_threads(
    connection: Connection, tenant_id: str, sends: Iterable[tuple[str, Node | None, Plan]]
) -> dict[str, Thread]:
    """The thread of each campaign whose send answers the message before, in one statement for all; without those that have sent nothing.

    Args:
        sends: the campaign's id, the node that sends, and the plan that it is part of.
    """
    plans = {campaign_id: plan for campaign_id, node, plan in sends if node is not None and node.in_thread}
    if not plans:
        return {}
    sent: dict[str, list[Sent]] = {}
    for row in read_sent(connection, tenant_id, plans):
        sent.setdefault(row.campaign_id, []).append(_sent(row))
    threads = {campaign_id: thread_of(messages, plans[campaign_id].nodes) for campaign_id, messages in sent.items()}
    return {campaign_id: thread for campaign_id, thread in threads.items() if thread is not None}


def _sent(row: Any) -> Sent:
    return Sent(row.node_id, row.smtp_id, row.subject, row.sender_identity_id)
