"""Which message does a mail to this address answer?

`reply+TOKEN@DOMAIN`: the token is the id of the message and an HMAC-SHA-256 of it under the installation's secret, cut to 80 bits, in letters and digits of one
case, for addresses lose theirs. So an answer finds its message also where a mail program, or a mailbox that writes Message-IDs anew, left no thread; and nobody
can address a message that they were not sent.
"""

import hmac
import re
from base64 import b32encode
from dataclasses import dataclass, field
from typing import Final

_MAC_BYTES: Final = 10
_ADDRESS: Final = re.compile(r"reply\+([a-z][a-z0-9]{23})([a-z2-7]{16})@(.+)")


@dataclass(frozen=True, slots=True)
class ReplyAddresses:
    """The addresses at a domain whose mail comes to us; `domain` is in lower case."""

    domain: str
    secret: str = field(repr=False)

    def of(self, message_id: str) -> str:
        """The address at which a message is answered."""
        return f"reply+{message_id}{self._mac(message_id)}@{self.domain}"

    def read(self, address: str) -> str | None:
        """The message that an address (in stored form) is of; None where it is none of ours."""
        found = _ADDRESS.fullmatch(address)
        if found is None or found[3] != self.domain or not hmac.compare_digest(found[2], self._mac(found[1])):
            return None
        return found[1]

    def _mac(self, message_id: str) -> str:
        mac = hmac.digest(self.secret.encode(), b"dripiq.reply\n" + message_id.encode(), "sha256")
        return b32encode(mac[:_MAC_BYTES]).decode().lower()
