"""Which message of ours is a mail about?

The one that In-Reply-To names, else References, else the message's own address that it came to, else the last of that subject that its sender was sent. A
report is about the mail that it returns, or about nothing: who knows none of our Message-IDs could silence anybody.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from dripiq.channels.inbound_message import Inbound
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import Channel
from dripiq.repositories.campaign_reading import find_contacts
from dripiq.repositories.intake import read_messages
from dripiq.repositories.receiving import read_sent_to

_OWN_ID = re.compile(r"([a-z][a-z0-9]{23})@")
_ANSWER_MARK = re.compile(
    r"^(?:\s*(?:re|aw|sv|rv|antw|odp|ynt|vs|回复|答复|返信)(?:\[\d+\])?\s*[::])+\s*", re.IGNORECASE
)


def find_answered(
    connection: Connection,
    tenant_id: str,
    inbounds: Sequence[Inbound],
    own_addresses: Collection[str],
    replies: ReplyAddresses | None,
) -> dict[str, Any]:
    """The message that each mail is about, or None, by the mail's id; what comes from our own addresses is found by its ids alone."""
    named = {inbound.id: [*own_ids(inbound), *signed_ids(inbound, replies)] for inbound in inbounds}
    by_id = _messages(connection, tenant_id, {name for names in named.values() for name in names})
    found = {id: next((by_id[name] for name in names if name in by_id), None) for id, names in named.items()}
    lost = [i for i in inbounds if found[i.id] is None and i.report is None and i.from_address not in own_addresses]
    return found | _by_sender(connection, tenant_id, lost)


def own_ids(inbound: Inbound) -> list[str]:
    """What may be our own ids of the messages that it is about, the nearest ten: the local parts of their Message-IDs that have the shape of ours."""
    return list(islice((found[1] for name in inbound.answers if (found := _OWN_ID.match(name))), 10))


def signed_ids(inbound: Inbound, replies: ReplyAddresses | None) -> list[str]:
    """The messages at whose own addresses it came in; of a report none, which counts only for the mail that it returns."""
    if replies is None or inbound.report is not None:
        return []
    return [id for address in inbound.recipients if (id := replies.read(address)) is not None]


def _messages(connection: Connection, tenant_id: str, ids: Iterable[str]) -> dict[str, Any]:
    wanted = set(ids)
    return {row.id: row for row in read_messages(connection, tenant_id, "", wanted, ())} if wanted else {}


def _by_sender(connection: Connection, tenant_id: str, lost: Sequence[Inbound]) -> dict[str, Any]:
    """The last message of the same subject that the sender of each mail was sent, by the mail's id."""
    contacts = find_contacts(connection, tenant_id, sorted({i.from_address for i in lost})) if lost else {}
    ids = {contact_id for found in contacts.values() for contact_id in found}
    if not ids:
        return {}
    sent: dict[tuple[str, str], str] = {}
    for row in read_sent_to(connection, tenant_id, Channel.EMAIL, ids):
        sent.setdefault((row.contact_id, _topic(row.subject)), row.id)
    chosen = {
        i.id: sent[contact_id, _topic(i.subject)]
        for i in lost
        for contact_id in contacts.get(i.from_address, ())
        if _topic(i.subject) and (contact_id, _topic(i.subject)) in sent
    }
    by_id = _messages(connection, tenant_id, chosen.values())
    return {id: by_id[message_id] for id, message_id in chosen.items()}


def _topic(subject: str | None) -> str:
    """A subject without the marks of an answer, to be compared."""
    return " ".join(_ANSWER_MARK.sub("", subject or "").casefold().split())
