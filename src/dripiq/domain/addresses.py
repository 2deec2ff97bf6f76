"""When are two addresses the same, and what domain does one belong to?

Addresses are stored lower-case. The local part is case-sensitive by RFC 5321 (section 2.4), but no mailbox provider in use tells
`Ann@` from `ann@`, and a suppression that missed for its capitals would be worse.
"""

import re

from dripiq.domain.errors import InputError

_EMAIL = re.compile(
    r"[^\s@<>(),;:\"\[\]\\\x00-\x20\x7f-\U0010ffff]{1,64}@(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}"
)


def normalise_email(text: str) -> str:
    """The stored form of an e-mail address: trimmed, lower-case, its domain in ASCII (IDNA).

    Args:
        text: an address as typed, without a display name.

    Raises:
        InputError: `invalid_email` when it is not an address that SMTP can carry (RFC 5321, section 4.1.2, without quoted local parts;
            letters beyond ASCII before the `@` would need SMTPUTF8, RFC 6531, which few servers take).
    """
    local, at, domain = text.strip().lower().rpartition("@")
    try:
        address = f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        address = ""
    if not _EMAIL.fullmatch(address):
        raise InputError(
            f"{text.strip()!r} is not an e-mail address.", code="invalid_email", facts={"value": text.strip()}
        )
    return address


def domain_of(address: str) -> str:
    """The part after the last `@` of a stored address."""
    return address.rpartition("@")[2]
