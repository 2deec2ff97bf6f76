"""Who owns a sender's address?

Whoever can read what is mailed to it: a code that says when it was made, and carries an HMAC-SHA-256 under the installation's secret over tenant, sender and
address. So it is good for that sender alone and for an hour, and nothing has to be kept. Fifty bits of the HMAC are told: who would guess needs a
command or a request for each try.
"""

import hmac
from datetime import UTC, datetime, timedelta

from dripiq.domain.errors import SignatureError

GOOD_FOR = timedelta(hours=1)

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that is taken for another."""
_MISREAD = str.maketrans("OIL", "011", "- \t\r\n")
_TIME_LETTERS = 6
_MAC_LETTERS = 10


def make_code(tenant_id: str, sender_id: str, address: str, secret: str, now: datetime) -> str:
    """The code to mail to a sender's address, as it is typed: `0RZ4-…`, 16 letters in fours."""
    minute = int(now.timestamp()) // 60
    code = _letters(minute, _TIME_LETTERS) + _mac(tenant_id, sender_id, address, secret, minute)
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def check_code(code: str, tenant_id: str, sender_id: str, address: str, secret: str, now: datetime) -> None:
    """Take a code as typed, in any case and with any spaces.

    Raises:
        SignatureError: `bad_code` when it is not this sender's; `code_expired` when it is older than `GOOD_FOR`.
    """
    typed = code.upper().translate(_MISREAD)
    if len(typed) != _TIME_LETTERS + _MAC_LETTERS or not set(typed) <= set(_LETTERS):
        raise _bad_code()
    minute = 0
    for letter in typed[:_TIME_LETTERS]:
        minute = minute * 32 + _LETTERS.index(letter)
    if not hmac.compare_digest(typed[_TIME_LETTERS:], _mac(tenant_id, sender_id, address, secret, minute)):
        raise _bad_code()
    if now - datetime.fromtimestamp(minute * 60, UTC) > GOOD_FOR:
        raise SignatureError("This code is older than an hour: ask for another.", code="code_expired")


def _bad_code() -> SignatureError:
    return SignatureError(
        "This is not the code that was mailed to this sender: type it as it stands in the newest mail.", code="bad_code"
    )


def _mac(tenant_id: str, sender_id: str, address: str, secret: str, minute: int) -> str:
    said = "\n".join(("dripiq.sender", tenant_id, sender_id, address, str(minute)))
    digest = hmac.digest(secret.encode(), said.encode(), "sha256")
    return _letters(int.from_bytes(digest[:8]) >> 14, _MAC_LETTERS)


def _letters(number: int, length: int) -> str:
    return "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(length)))
