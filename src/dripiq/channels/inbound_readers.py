"""How is each provider's mail read?"""

from collections.abc import Callable, Mapping
from typing import Final

from dripiq.channels import inbound_form
from dripiq.channels.inbound_message import Inbound, parse

IMAP: Final = "imap"
"""The provider of mail that was fetched from a mailbox: archived as it was stored there."""

READERS: Final[Mapping[str, Callable[[bytes], Inbound]]] = {
    IMAP: parse,
    inbound_form.PROVIDER: inbound_form.read_inbound,
}
"""By provider. Each raises InputError where it holds no mail."""
