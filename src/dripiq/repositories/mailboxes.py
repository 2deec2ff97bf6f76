"""Which of the mailboxes that senders have of their own are due, and who reads them?

A claim is a lease: it moves `imap_due_at` to its own end. Whoever reads says what came of it before that; where nobody does, the mailbox is due again then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.accounts import Mailbox, MailServer

FIND_MAILBOX_TENANTS = text(
    """
    SELECT tenant_id FROM dripiq_app.sender_accounts
    WHERE imap_host IS NOT NULL AND imap_due_at <= :now
    GROUP BY tenant_id
    ORDER BY min(imap_due_at), tenant_id
    LIMIT :limit
    """
)

CLAIM_MAILBOXES = text(
    """
    UPDATE dripiq_app.sender_accounts AS account
    SET imap_due_at = :lease_until, updated_at = :now
    WHERE account.tenant_id = :tenant_id
      AND account.id = ANY (ARRAY(
          SELECT id FROM dripiq_app.sender_accounts
          WHERE tenant_id = :tenant_id AND imap_host IS NOT NULL AND imap_due_at <= :now
          ORDER BY imap_due_at, id
          LIMIT :limit
          FOR UPDATE SKIP LOCKED
      ))
    RETURNING account.id, account.sender_identity_id, account.imap_host, account.imap_port, account.imap_security, account.imap_username,
        account.imap_secret, account.imap_folder, account.imap_failures
    """
)

RECORD_READINGS = text(
    """
    UPDATE dripiq_app.sender_accounts AS account
    SET imap_due_at = reading.due_at, imap_error = reading.error,
        imap_failures = CASE WHEN reading.error IS NULL THEN 0 ELSE account.imap_failures + 1 END,
        imap_read_at = CASE WHEN reading.error IS NULL THEN :now ELSE account.imap_read_at END, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:lease_untils AS timestamptz[]), CAST(:due_ats AS timestamptz[]), CAST(:errors AS text[]))
        AS reading (id, lease_until, due_at, error)
    WHERE account.tenant_id = :tenant_id AND account.id = reading.id AND account.imap_due_at = reading.lease_until
    """
)
"""Of a lease that still holds: one that ran out may be another's by now, and an account given anew is due at once."""

FIND_FAILING_MAILBOXES = text(
    """
    SELECT sender.from_email, account.imap_host, account.imap_failures, account.imap_error
    FROM dripiq_app.sender_accounts AS account
    JOIN dripiq_app.email_sender_identities AS sender ON sender.tenant_id = account.tenant_id AND sender.id = account.sender_identity_id
    WHERE account.imap_error IS NOT NULL
    ORDER BY sender.from_email, account.id
    """
)

READ_MAILBOX_ERRORS = text(
    "SELECT sender_identity_id, imap_error FROM dripiq_app.sender_accounts WHERE tenant_id = :tenant_id AND imap_error IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class ClaimedMailbox:
    """A mailbox that is this reader's until `until`; before, it was not read `failures` times in a row."""

    id: str
    mailbox: Mailbox
    claimed_at: datetime
    until: datetime
    failures: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a claimed mailbox: when it is due again, and why it was not read (None: it was)."""

    claimed: ClaimedMailbox
    due_at: datetime
    error: str | None


def find_mailbox_tenants(connection: Connection, now: datetime, limit: int) -> list[str]:
    """The tenants whose mailboxes have been due for longest; takes no lock."""
    return list(connection.execute(FIND_MAILBOX_TENANTS, {"now": now, "limit": limit}).scalars())


def claim_mailboxes(
    connection: Connection, tenant_id: str, *, now: datetime, until: datetime, limit: int
) -> list[ClaimedMailbox]:
    """Lease at most `limit` of a tenant's due mailboxes; those that others are claiming are passed over."""
    parameters = {"tenant_id": tenant_id, "now": now, "lease_until": until, "limit": limit}
    return [
        ClaimedMailbox(
            row.id,
            Mailbox(
                tenant_id,
                row.sender_identity_id,
                MailServer(row.imap_host, row.imap_port, row.imap_security, row.imap_username, row.imap_secret),
                row.imap_folder,
            ),
            now,
            until,
            row.imap_failures,
        )
        for row in connection.execute(CLAIM_MAILBOXES, parameters)
    ]


def record_readings(connection: Connection, tenant_id: str, readings: Sequence[Reading], now: datetime) -> None:
    """Say what came of a tenant's claimed mailboxes; of a lease that holds no more, nothing is said."""
    connection.execute(
        RECORD_READINGS,
        {
            "tenant_id": tenant_id,
            "ids": [reading.claimed.id for reading in readings],
            "lease_untils": [reading.claimed.until for reading in readings],
            "due_ats": [reading.due_at for reading in readings],
            "errors": [reading.error for reading in readings],
            "now": now,
        },
    )


def find_failing_mailboxes(connection: Connection) -> Sequence[Any]:
    """All tenants' senders whose mailbox was not read when it was tried last: `from_email`, `imap_host`, `imap_failures`, `imap_error`."""
    return connection.execute(FIND_FAILING_MAILBOXES).all()


def read_mailbox_errors(connection: Connection, tenant_id: str) -> dict[str, str]:
    """Why the mailboxes of a tenant's senders were not read, by sender; those that were are not among them."""
    rows = connection.execute(READ_MAILBOX_ERRORS, {"tenant_id": tenant_id})
    return {row.sender_identity_id: row.imap_error for row in rows}
