"""Whose is a mail that comes in, and is it kept?

It is archived under its tenant, in a transaction of its own, before whoever brought it is answered; `receive` works it later. It is its tenant's by the
address of ours that it was sent to, a sender's or a message's own; where that is nobody's or several tenants', by the mail that it answers. What remains is
quarantined.
"""

from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels.inbound_message import Inbound
from dripiq.channels.inbound_readers import IMAP, READERS
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.engine.answered import own_ids, signed_ids
from dripiq.engine.slices import UNKNOWN_TENANT
from dripiq.repositories.archive import Slice, Stray, archive, notify_work, quarantine
from dripiq.repositories.campaign_reading import find_contacts
from dripiq.repositories.receiving import find_tenants_by_answered, find_tenants_by_recipient


def arrive(
    connection: Connection, provider: str, raw: bytes, now: datetime, replies: ReplyAddresses | None = None
) -> bool:
    """Archive a mail in the caller's transaction; whether it is new. Whoever brought it may be answered once this is committed.

    Args:
        provider: one of `READERS`, which says how `raw` is read.
        replies: the addresses that our messages are answered at, where they have some of their own.

    Raises:
        InputError: it holds no mail; nothing is written.
    """
    tenant_id = _tenant_of(connection, READERS[provider](raw), replies)
    if tenant_id is None:
        return quarantine(connection, provider, [Stray(UNKNOWN_TENANT, raw)], now) > 0
    new = archive(connection, provider, [Slice(tenant_id, raw, fits_jsonb=False)], now) > 0
    if new:
        notify_work(connection)
    return new


def arrive_for(connection: Connection, tenant_id: str, raw: bytes, now: datetime) -> bool:
    """Archive a mail from the mailbox of one of a tenant's senders, in the caller's transaction; whether it is new.

    Only what is about this tenant's outreach: it answers or reports a message of the tenant's, or one of its contacts wrote it. People's other mail stays
    where it is, and is stored nowhere.
    """
    inbound = READERS[IMAP](raw)
    answers = find_tenants_by_answered(connection, own_ids(inbound), [tenant_id])
    if not answers and not find_contacts(connection, tenant_id, [inbound.from_address]):
        return False
    new = archive(connection, IMAP, [Slice(tenant_id, raw, fits_jsonb=False)], now) > 0
    if new:
        notify_work(connection)
    return new


def _tenant_of(connection: Connection, inbound: Inbound, replies: ReplyAddresses | None) -> str | None:
    candidates = find_tenants_by_recipient(connection, inbound.recipients)
    if signed := signed_ids(inbound, replies):
        candidates = sorted({*candidates, *find_tenants_by_answered(connection, signed)})
    if len(candidates) != 1:
        candidates = find_tenants_by_answered(connection, own_ids(inbound), candidates)
    return candidates[0] if len(candidates) == 1 else None
