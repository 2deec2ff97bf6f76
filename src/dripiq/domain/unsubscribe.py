"""Who may unsubscribe this address with a link?

Whoever holds the link: its token names tenant, channel and address, and carries an HMAC-SHA-256 under the installation's secret, so none can be made up.
It does not expire: mail is kept for years, and RFC 8058 wants its link to work.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from dripiq.domain.errors import SignatureError
from dripiq.domain.states import Channel

MAX_TOKEN = 1_000


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a link unsubscribes from: all of a tenant's messages to an address over a channel."""

    tenant_id: str
    channel: Channel
    address: str


def sign(subscription: Subscription, secret: str) -> str:
    """The token of a subscription, safe in a URL's path."""
    said = "\n".join((subscription.tenant_id, subscription.channel, subscription.address)).encode()
    return f"{_encode(said)}.{_encode(_mac(said, secret))}"


def read(token: str, secret: str) -> Subscription:
    """What a token stands for.

    Raises:
        SignatureError: `bad_token` when it was not made under this secret.
    """
    try:
        said, _, mac = token[:MAX_TOKEN].partition(".")
        text, given = _decode(said), _decode(mac)
        tenant_id, channel, address = text.decode().split("\n")
        found = Subscription(tenant_id, Channel(channel), address)
    except ValueError:
        raise _bad_token() from None
    if not hmac.compare_digest(given, _mac(text, secret)):
        raise _bad_token()
    return found


def _bad_token() -> SignatureError:
    message = "This link is not valid. Use the link of the message as it is, or answer the message."
    return SignatureError(message, code="bad_token")


def _mac(said: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"dripiq.unsubscribe\n" + said, "sha256")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
