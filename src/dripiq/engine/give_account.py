"""How does a sender get an account of its own, and how is it taken back?"""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.config.secret_reference import SecretReference
from dripiq.domain.accounts import SECURITIES, MailServer
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.pause_sender import find_address
from dripiq.repositories import sender_accounts


def give_account(
    caller: Connection | Session,
    tenant_id: str,
    given: str,
    smtp: MailServer,
    imap: tuple[MailServer, str] | None = None,
    *,
    now: datetime | None = None,
) -> str:
    """Let a sender's mail leave over an account of its own from now on, in the place of the one it has. Its address.

    Args:
        given: the sender's id or address.
        smtp: with a user name and a secret's reference, or neither.
        imap: the server and folder that its replies come to; None where they come another way.

    Raises:
        NotFoundError: `unknown_sender`.
        InputError: `account`; ConfigurationError: `secret_reference`, which does not repeat what was given.
    """
    connection = connection_of(caller)
    _check(smtp, "SMTP")
    if imap is not None:
        _check(imap[0], "IMAP")
        if imap[0].username is None:
            raise InputError("IMAP needs a user name and a password.", code="account")
    sender_id, address = find_address(connection, tenant_id, given)
    sender_accounts.write_account(connection, tenant_id, sender_id, smtp, imap, time_of(connection, now))
    return address


def take_account(caller: Connection | Session, tenant_id: str, given: str) -> str:
    """Let a sender's mail leave as the others' again. Its address.

    Raises:
        NotFoundError: `unknown_sender`, `no_account`.
    """
    connection = connection_of(caller)
    sender_id, address = find_address(connection, tenant_id, given)
    if not sender_accounts.delete_account(connection, tenant_id, sender_id):
        raise NotFoundError(f"{address} has no account of its own.", code="no_account", facts={"sender": address})
    return address


def _check(server: MailServer, name: str) -> None:
    if server.security not in SECURITIES or not 1 <= server.port <= 65535 or not server.host.strip():
        raise InputError(
            f"{name} needs a host, a port from 1 to 65535, and {', '.join(SECURITIES[:-1])} or {SECURITIES[-1]}.",
            code="account",
        )
    if (server.username is None) != (server.secret is None):
        raise InputError(f"{name} needs both a user name and a password's reference, or neither.", code="account")
    if server.secret is not None:
        SecretReference.parse(server.secret)
