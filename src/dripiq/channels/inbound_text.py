"""What do the bytes of a mail say, whatever they claim to be?

A mail's charset, encoding and header syntax are claims of whoever sent it. Nothing here raises for them, and everything is bounded: a text that is
cut is worth more than a reply that is lost.
"""

import codecs
import re
from collections.abc import Iterator
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from itertools import islice

from dripiq.channels.sendgrid_request import clean_text
from dripiq.domain.addresses import normalise_email
from dripiq.domain.errors import InputError

MAX_HEADER = 4_000
"""Characters of one header that are read."""
MAX_TEXT = 500_000
"""Characters of a text or HTML part that are kept."""
MAX_IDS = 100
"""Message-IDs of one header that are read, the last ones: a thread's end knows us."""
MAX_ADDRESSES = 50

_SLOW_OR_NO_TEXT = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
_BRACKETED_ID = re.compile(r"<\s*([^<>\s]{1,500})\s*>")
_BARE_ID = re.compile(r"[^<>\s,;\"()]{1,250}@[^<>\s,;\"()]{1,250}")


def decoded(data: bytes, charset: str | None) -> str:
    """Text as PostgreSQL takes it. Where the charset is unknown or does not fit: UTF-8, and where that does not fit either, Windows-1252, the usual
    mistake.
    """
    data = data[: 4 * MAX_TEXT]
    for name in (charset or "us-ascii", "utf-8"):
        try:
            codec = codecs.lookup(name.strip("\"' ") or "us-ascii")
            if codec.name not in _SLOW_OR_NO_TEXT:
                return clean_text(data.decode(codec.name))[:MAX_TEXT]
        except (LookupError, ValueError):
            continue
    return clean_text(data.decode("cp1252", "replace"))[:MAX_TEXT]


def header(message: Message, name: str) -> str | None:
    """The first header of that name, decoded (RFC 2047) and on one line; None where there is none."""
    return next((unfolded(value) for value in values_of(message, name)), None)


def values_of(message: Message, name: str) -> Iterator[str]:
    """The values of all headers of that name as received: `Message.get` would lose the bytes beyond ASCII that some mailers write."""
    wanted = name.lower()
    return (value for own, value in message.raw_items() if own.lower() == wanted)


def unfolded(value: str) -> str:
    """A header's value as text on one line; what can't be decoded stays as it is."""
    value = value[:MAX_HEADER]
    try:
        # A raw byte beyond ASCII is a lone surrogate here; mailers that write it mean UTF-8, or Latin-1.
        value = value.encode("ascii", "surrogateescape").decode("utf-8")
    except UnicodeEncodeError:
        pass
    except UnicodeDecodeError:
        value = value.encode("ascii", "surrogateescape").decode("cp1252", "replace")
    if "=?" in value:
        try:
            parts = decode_header(value)
        except Exception:  # what the standard library raises for broken words differs from release to release
            parts = [(value, None)]
        value = "".join(part if isinstance(part, str) else decoded(part, charset) for part, charset in parts)
    return " ".join(clean_text(value).split())


def addresses_of(message: Message, *names: str) -> tuple[str, ...]:
    """The addresses of these headers, in stored form where they are well-formed, else in lower case; each once."""
    values = [unfolded(value) for name in names for value in islice(values_of(message, name), 20)]
    try:
        pairs = getaddresses(values)
    except Exception:  # the same of the address parser
        pairs = []
    return tuple(dict.fromkeys(found for _, address in pairs[:MAX_ADDRESSES] if (found := stored_address(address))))


def stored_address(text: str) -> str | None:
    """An address as it would be stored; None where there is nothing that looks like one."""
    try:
        return normalise_email(text.strip(" <>"))
    except InputError:
        shown = text.encode("ascii", "replace").decode().replace("\0", "").strip(" <>").lower()
        return shown if "@" in shown and len(shown) <= 320 else None


def message_ids(value: str | None) -> tuple[str, ...]:
    """The Message-IDs in a header's value, without angle brackets, in their order; at most `MAX_IDS`, the last ones.

    Some mailers forget the brackets (RFC 5322, section 3.6.4 asks for them); without any, what has the shape is taken.
    """
    text = (value or "")[-100 * MAX_HEADER :]
    found = _BRACKETED_ID.findall(text) or _BARE_ID.findall(text[:MAX_HEADER])
    return tuple(dict.fromkeys(clean_text(name) for name in found))[-MAX_IDS:]
