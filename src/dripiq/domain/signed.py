"""What may somebody do who holds a link, without being asked who they are?

What its token says: a few words and an HMAC-SHA-256 of them under the installation's secret, so that none can be made up or changed. Each purpose signs for
itself: a token made for one is worth nothing for another.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from dripiq.domain.errors import SignatureError


def seal(purpose: str, words: Sequence[str], secret: str) -> str:
    """The token of these words (none has a line break in it), safe in a URL's path."""
    said = "\n".join(words).encode()
    return f"{_encode(said)}.{_encode(_mac(purpose, said, secret))}"


def unseal(purpose: str, token: str, secret: str, *, longest: int) -> list[str]:
    """The words of a token.

    Raises:
        SignatureError: `bad_token` where it was not made for this purpose under this secret, or is longer than any.
    """
    try:
        said, _, mac = token[: longest + 1].partition(".")
        text, given = _decode(said), _decode(mac)
        words = text.decode().split("\n")
    except ValueError:
        raise bad_token() from None
    if len(token) > longest or not hmac.compare_digest(given, _mac(purpose, text, secret)):
        raise bad_token()
    return words


def bad_token() -> SignatureError:
    """What whoever brings a wrong token is told."""
    message = "This link is not valid. Use the link of the message as it is, or answer the message."
    return SignatureError(message, code="bad_token")


def _mac(purpose: str, said: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), f"dripiq.{purpose}\n".encode() + said, "sha256")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
