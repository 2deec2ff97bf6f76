"""Is a sender's address its owner's? A code is mailed to it, and whoever tells the code has read the mail.

Works in the caller's transaction. The mail goes from the address to itself, by the way that all mail takes: that it arrives shows that way, too.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from dripiq.channels.base import OutgoingMessage
from dripiq.domain.accounts import Account, MailServer
from dripiq.domain.addresses import domain_of, normalise_email
from dripiq.domain.errors import ConflictError, NotFoundError
from dripiq.domain.ownership import check_code, make_code
from dripiq.domain.states import Channel, ValidationStatus
from dripiq.repositories.sender_accounts import read_account
from dripiq.repositories.verifying import mark_asked, mark_verified, read_sender
from dripiq.schema.ids import new_id

PAUSE = timedelta(minutes=1)
"""Between two codes for one sender: nobody's mailbox is filled by asking."""


def ask(connection: Connection, tenant_id: str, email: str, secret: str, now: datetime) -> OutgoingMessage:
    """Make a code for a sender; the mail with it, to hand over once the transaction is committed.

    Raises:
        NotFoundError: `unknown_sender`.
        ConflictError: `already_verified`; `asked_just_now` where the last code is not a minute old.
    """
    sender = _sender(connection, tenant_id, email)
    if sender.validation_status == ValidationStatus.VERIFIED:
        raise ConflictError(f"{sender.from_email} is verified already.", code="already_verified")
    if sender.last_validated_at is not None and now - sender.last_validated_at < PAUSE:
        raise ConflictError(
            f"The last code for {sender.from_email} is not a minute old: look for it, or wait and ask again.",
            code="asked_just_now",
        )
    mark_asked(connection, tenant_id, sender.id, now)
    code, message_id = make_code(tenant_id, sender.id, sender.from_email, secret, now), new_id()
    return OutgoingMessage(
        id=message_id,
        tenant_id=tenant_id,
        channel=Channel.EMAIL,
        to_address=sender.from_email,
        to_name=sender.from_name,
        from_address=sender.from_email,
        from_name=sender.from_name,
        reply_to=None,
        subject=f"{code} verifies this address",
        body=f"Somebody wants to send from {sender.from_email} with dripiq. If that is you, this is the code, good for an hour:\n\n"
        f"    {code}\n\nIf it is not you, do nothing: without the code nothing is sent.\n",
        message_id=f"{message_id}@{domain_of(sender.from_email)}",
        at=now,
    )


def confirm(connection: Connection, tenant_id: str, email: str, code: str, secret: str, now: datetime) -> str:
    """Verify a sender by the code that was mailed to it; its address.

    Raises:
        NotFoundError: `unknown_sender`.
        SignatureError: `bad_code`, `code_expired`.
    """
    sender = _sender(connection, tenant_id, email)
    check_code(code, tenant_id, sender.id, sender.from_email, secret, now)
    mark_verified(connection, tenant_id, sender.id, now)
    address: str = sender.from_email
    return address


def read_own_account(connection: Connection, tenant_id: str, email: str) -> Account | None:
    """The account that the sender of that address has of its own: its code leaves over it, too.

    Raises:
        NotFoundError: `unknown_sender`.
    """
    sender = _sender(connection, tenant_id, email)
    row = read_account(connection, tenant_id, sender.id)
    if row is None:
        return None
    server = MailServer(row.smtp_host, row.smtp_port, row.smtp_security, row.smtp_username, row.smtp_secret)
    return Account(tenant_id, sender.id, server)


def _sender(connection: Connection, tenant_id: str, email: str) -> Any:
    address = normalise_email(email)
    sender = read_sender(connection, tenant_id, address)
    if sender is None:
        raise NotFoundError(
            f"The tenant has no sender {address!r}: `dripiq senders add` makes one.",
            code="unknown_sender",
            facts={"sender": address},
        )
    return sender
