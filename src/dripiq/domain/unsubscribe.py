"""Who may unsubscribe this address with a link?

Whoever holds the link: its token names tenant, channel and address, and is signed. It does not expire: mail is kept for years, and RFC 8058 wants its link to
work.
"""

from dataclasses import dataclass

from dripiq.domain.signed import bad_token, seal, unseal
from dripiq.domain.states import Channel

MAX_TOKEN = 1_000
_PURPOSE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a link unsubscribes from: all of a tenant's messages to an address over a channel."""

    tenant_id: str
    channel: Channel
    address: str


def sign(subscription: Subscription, secret: str) -> str:
    """The token of a subscription, safe in a URL's path."""
    return seal(_PURPOSE, (subscription.tenant_id, subscription.channel, subscription.address), secret)


def read(token: str, secret: str) -> Subscription:
    """What a token stands for.

    Raises:
        SignatureError: `bad_token` when it was not made under this secret.
    """
    words = unseal(_PURPOSE, token, secret, longest=MAX_TOKEN)
    try:
        tenant_id, channel, address = words
        return Subscription(tenant_id, Channel(channel), address)
    except ValueError:
        raise bad_token() from None
