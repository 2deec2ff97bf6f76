"""Over which server, and as whom, does a sender's own mail leave, and where do its replies come in?

A sender may have a mailbox of its own. Passwords are named by reference only (`env:NAME`, `file:PATH`): whoever reads the database reads none.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

SECURITIES: Final = ("starttls", "tls", "none")
REFERENCE: Final = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
"""A reference to a secret, as the database checks it."""
LONGEST_REST: Final = timedelta(hours=1)
"""A mailbox that was not read is tried at least as often as this."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """One server and a login there.

    Attributes:
        security: `starttls`, `tls` or `none`.
        username, secret: both, or none; `secret` is a reference.
    """

    host: str
    port: int
    security: str
    username: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A sender's own account. Two senders never share one, not even on the same server: what is said to one says nothing of the other."""

    tenant_id: str
    sender_id: str
    smtp: MailServer


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where the replies to a sender come in."""

    tenant_id: str
    sender_id: str
    imap: MailServer
    folder: str


def rest(period: timedelta, failures: int) -> timedelta:
    """How long a mailbox is left alone that was not read so many times in a row: longer each time, up to an hour (or `period`, where that is more)."""
    return max(period, min(LONGEST_REST, period * (1 << min(failures, 12))))
