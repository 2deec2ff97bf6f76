"""Which senders have an account of their own?"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.accounts import MailServer
from dripiq.schema.ids import new_id

WRITE_ACCOUNT = text(
    """
    INSERT INTO dripiq_app.sender_accounts (
        tenant_id, id, sender_identity_id, smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret,
        imap_host, imap_port, imap_security, imap_username, imap_secret, imap_folder, imap_due_at, created_at, updated_at
    )
    VALUES (
        :tenant_id, :id, :sender_id, :smtp_host, :smtp_port, :smtp_security, :smtp_username, :smtp_secret,
        :imap_host, :imap_port, :imap_security, :imap_username, :imap_secret, :imap_folder, :now, :now, :now
    )
    ON CONFLICT (tenant_id, sender_identity_id) DO UPDATE
    SET smtp_host = excluded.smtp_host, smtp_port = excluded.smtp_port, smtp_security = excluded.smtp_security,
        smtp_username = excluded.smtp_username, smtp_secret = excluded.smtp_secret, imap_host = excluded.imap_host,
        imap_port = excluded.imap_port, imap_security = excluded.imap_security, imap_username = excluded.imap_username,
        imap_secret = excluded.imap_secret, imap_folder = excluded.imap_folder, imap_due_at = excluded.imap_due_at,
        imap_read_at = NULL, imap_failures = 0, imap_error = NULL, updated_at = excluded.updated_at
    """
)

READ_ACCOUNT = text(
    """
    SELECT smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret, imap_host, imap_port, imap_security, imap_username, imap_secret, imap_folder,
        imap_due_at, imap_read_at, imap_failures, imap_error
    FROM dripiq_app.sender_accounts
    WHERE tenant_id = :tenant_id AND sender_identity_id = :sender_id
    """
)

DELETE_ACCOUNT = text(
    "DELETE FROM dripiq_app.sender_accounts WHERE tenant_id = :tenant_id AND sender_identity_id = :sender_id"
)

FIND_VARIABLES = text(
    """
    SELECT smtp_secret AS secret FROM dripiq_app.sender_accounts WHERE smtp_secret LIKE 'env:%'
    UNION
    SELECT imap_secret FROM dripiq_app.sender_accounts WHERE imap_secret LIKE 'env:%'
    """
)


def write_account(
    connection: Connection,
    tenant_id: str,
    sender_id: str,
    smtp: MailServer,
    imap: tuple[MailServer, str] | None,
    now: datetime,
) -> None:
    """Give a sender its account, in the place of the one it has.

    Args:
        imap: the server and the folder that replies come to; None where they come another way.
    """
    inbox, folder = imap if imap is not None else (None, None)
    connection.execute(
        WRITE_ACCOUNT,
        {
            "tenant_id": tenant_id,
            "id": new_id(),
            "sender_id": sender_id,
            **{f"smtp_{name}": getattr(smtp, name) for name in _FIELDS},
            **{f"imap_{name}": getattr(inbox, name, None) for name in _FIELDS},
            "imap_folder": folder,
            "now": now,
        },
    )


def read_account(connection: Connection, tenant_id: str, sender_id: str) -> Any | None:
    """A sender's account as it is stored; None where it has none."""
    return connection.execute(READ_ACCOUNT, {"tenant_id": tenant_id, "sender_id": sender_id}).one_or_none()


def delete_account(connection: Connection, tenant_id: str, sender_id: str) -> bool:
    """Take a sender's account away; whether it had one."""
    return connection.execute(DELETE_ACCOUNT, {"tenant_id": tenant_id, "sender_id": sender_id}).rowcount > 0


def find_variables(connection: Connection) -> set[str]:
    """The variables in which all tenants' senders' passwords lie."""
    return {secret.removeprefix("env:") for secret in connection.execute(FIND_VARIABLES).scalars()}


_FIELDS = ("host", "port", "security", "username", "secret")
