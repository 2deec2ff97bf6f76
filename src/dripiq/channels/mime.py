"""What does one message look like on the wire?

RFC 5322 bytes, assembled from encoded pieces: the standard library's `EmailMessage` makes 900 messages a second, this some 40,000. Rules:

- Everything is ASCII with CRLF, lines within 998 octets (RFC 5322, section 2.1.1): no server needs 8BITMIME or SMTPUTF8.
- Free text (names, subject) comes from contacts and templates. It cannot inject a header: every control character or line separator in it
  becomes a space. Fields with a shape (addresses, ids, URLs) are refused when they don't have it.
- Our ids travel as SendGrid's unique arguments, so that each webhook event names its message.
"""

import binascii
import json
import re
from datetime import UTC
from email.utils import format_datetime

from dripiq.channels.base import OutgoingMessage
from dripiq.domain.errors import InputError

_LINE_LIMIT = 998
_ENCODED_BYTES = 39
"""How much text one encoded-word carries: 52 base64 characters and 12 of frame leave room for any header's name (RFC 2047, section 2: 76 a line)."""

_BOUNDARY = "=_dripiq"
"""What stands between the parts: `=_` occurs in no quoted-printable or base64 (RFC 2045, section 6.7), and text with `--=_` in it is always encoded."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_ASCII = bytes(range(128))

_ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^-~]{1,64}@[A-Za-z0-9.\-]{1,253}")
_MESSAGE_ID = re.compile(r"[!-;=?A-~]{1,250}@[!-;=?A-~]{1,253}")
_URL = re.compile(r"[a-z][a-z0-9+.\-]{0,20}:[!-;=?-~]{1,900}")
_ID = re.compile(r"[!-~]{1,128}")


def build(message: OutgoingMessage) -> bytes:
    """The message as bytes for SMTP's DATA (before dot-stuffing) or a file; ends with CRLF.

    The parts: originator and destination (RFC 5322), encoded words (RFC 2047), the thread (RFC 5322, section 3.6.4), one text/plain part (RFC 2045:
    as it is where it fits, else quoted-printable or base64, whichever is shorter) and, where there is one, a text/html part as its
    alternative (RFC 2046, section 5.1.4: the richest comes last), one-click unsubscription (RFC 8058; its URL should be https), and `X-SMTPAPI` with
    the unique arguments `dripiq_tenant` and `dripiq_message` (SendGrid, "Building an X-SMTPAPI Header": ASCII, one header, strings only).

    Raises:
        InputError: `invalid_header` when an address, an id or the URL is none; no text can cause it.
    """
    headers = [
        f"Date: {format_datetime(message.at.astimezone(UTC))}",
        _mailbox("From", message.from_name, message.from_address),
        _mailbox("To", message.to_name, message.to_address),
    ]
    if message.reply_to is not None:
        headers.append(f"Reply-To: {_checked('Reply-To', message.reply_to, _ADDRESS)}")
    if message.subject is not None:
        headers.append(_subject(message.subject))
    headers.append(f"Message-ID: <{_checked('Message-ID', message.message_id, _MESSAGE_ID)}>")
    if message.in_reply_to is not None:
        headers.append(f"In-Reply-To: <{_checked('In-Reply-To', message.in_reply_to, _MESSAGE_ID)}>")
    if message.references:
        chain = [f"<{_checked('References', name, _MESSAGE_ID)}>" for name in message.references]
        headers.append("References: " + "\r\n ".join(chain))
    if message.unsubscribe_url is not None:
        headers.append(f"List-Unsubscribe: <{_checked('List-Unsubscribe', message.unsubscribe_url, _URL)}>")
        headers.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    headers.append(_unique_arguments(message))
    headers.append("MIME-Version: 1.0\r\n")
    top = "\r\n".join(headers).encode("ascii")
    text = _part("plain", message.body)
    if message.html is None:
        return top + text
    fence = f"\r\n--{_BOUNDARY}".encode()  # the line break before it is its own, not the part's
    opening = f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n'.encode()
    html = _part("html", message.html)
    return b"".join([top, opening, fence, b"\r\n", text, fence, b"\r\n", html, fence, b"--\r\n"])


def _part(kind: str, text: str) -> bytes:
    encoding, body = _body(text)
    return f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def _checked(field: str, value: str, shape: re.Pattern[str]) -> str:
    if not shape.fullmatch(value):
        raise InputError(
            f"{value!r} cannot stand in {field}: correct the address, id or URL it came from.",
            code="invalid_header",
            facts={"field": field, "value": value},
        )
    return value


def _mailbox(field: str, name: str | None, address: str) -> str:
    checked = _checked(field, address, _ADDRESS)
    shown = " ".join(_CONTROLS.sub(" ", name).split()) if name else ""
    if not shown:
        return f"{field}: {checked}"
    fits = len(shown) <= 60 and "=?" not in shown
    if fits and _PLAIN_WORDS.fullmatch(shown):
        phrase = shown
    elif fits and shown.isascii():
        phrase = '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        phrase = _encoded_words(shown)
    line = f"{field}: {phrase} <{checked}>"
    return line if len(line) <= 76 else f"{field}: {phrase}\r\n <{checked}>"


def _subject(text: str) -> str:
    shown = _CONTROLS.sub(" ", text).strip(" ")
    if not shown.isascii() or "=?" in shown or "  " in shown:
        return f"Subject: {_encoded_words(shown)}"
    if len(shown) <= 69:
        return f"Subject: {shown}"
    words = shown.split(" ")
    if max(map(len, words)) > 900:
        return f"Subject: {_encoded_words(shown)}"
    return _folded("Subject:", words)


def _folded(start: str, words: list[str]) -> str:
    """`start` and the words as lines of about 78 (RFC 5322, section 2.2.3: unfolding takes the line break and leaves the space)."""
    lines, line = [], start
    for word in words:
        if len(line) + 1 + len(word) > 78 and line != start:
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line])


def _encoded_words(text: str) -> str:
    """The text as RFC 2047 encoded words (base64), one a line; none splits a character."""
    data = _utf8(text)
    words, start = [], 0
    while start < len(data):
        end = min(start + _ENCODED_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{binascii.b2a_base64(data[start:end], newline=False).decode()}?=")
        start = end
    return "\r\n ".join(words)


def _utf8(text: str) -> bytes:
    """UTF-8; a lone surrogate, which no text from the database holds, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _unique_arguments(message: OutgoingMessage) -> str:
    tenant = json.dumps(_checked("X-SMTPAPI", message.tenant_id, _ID))
    name = json.dumps(_checked("X-SMTPAPI", message.id, _ID))
    return f'X-SMTPAPI: {{"unique_args": {{"dripiq_tenant": {tenant},\r\n "dripiq_message": {name}}}}}'


def _body(text: str) -> tuple[str, bytes]:
    lines = _LINE_ENDS.split(text)
    if lines[-1]:
        lines.append("")
    data = _utf8("\r\n".join(lines))
    foreign = len(data.translate(None, _ASCII))
    if not foreign and max(map(len, lines)) <= _LINE_LIMIT and b"\0" not in data and b"--=_" not in data:
        return "7bit", data
    # Quoted-printable makes three characters of a foreign byte, base64 four of any three.
    return ("quoted-printable", binascii.b2a_qp(data)) if foreign * 6 <= len(data) else ("base64", _base64_lines(data))


def _base64_lines(data: bytes) -> bytes:
    return b"".join(binascii.b2a_base64(data[at : at + 57], newline=False) + b"\r\n" for at in range(0, len(data), 57))
