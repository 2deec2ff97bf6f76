"""What does SendGrid's Inbound Parse post, and which mail is it?

Rules:

- The request's body is kept as it came: its boundary is its first line, so it can be read again without its headers.
- With "POST the raw, full MIME message" on, the field `email` is the mail. Without it, SendGrid has taken the mail apart, and it is put together again from
  the fields, so that both are read in one way.

Source: Twilio SendGrid, "Inbound Email Parse Webhook": the fields, `charsets` (JSON), `envelope` (JSON); headers come in UTF-8.
"""

import re
from base64 import encodebytes
from dataclasses import dataclass

import orjson

from dripiq.channels.inbound_message import Inbound, parse
from dripiq.channels.inbound_text import stored_address
from dripiq.domain.errors import InputError

PROVIDER = "sendgrid_inbound"

MAX_FIELDS = 200
_BOUNDARY = re.compile(rb"--([!-~ ]{1,200}?)[ \t]*\r?\n")
_NAME = re.compile(rb'[;\s]name="((?:[^"\\]|\\.){0,300})"', re.IGNORECASE)
_FILENAME = re.compile(rb'[;\s]filename="((?:[^"\\]|\\.){0,600})"', re.IGNORECASE)
_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n]{1,300})", re.IGNORECASE | re.MULTILINE)
_MIME_HEADER = re.compile(
    rb"^(?:content-[a-z-]*|mime-version):[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n?", re.IGNORECASE | re.MULTILINE
)
_REPORTS = ("message/delivery-status", "message/feedback-report", "message/rfc822", "text/rfc822-headers")
_FENCE = b"=_dripiq_form"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form: its value as sent; for a file, its name and type."""

    value: bytes
    filename: bytes | None
    type: bytes | None


def read_form(raw: bytes) -> dict[str, Field]:
    """The fields of a multipart/form-data body (RFC 7578), by name; of one name the first.

    Raises:
        InputError: `not_a_form`: it is no multipart body.
    """
    opening = _BOUNDARY.match(raw)
    if opening is None:
        raise InputError("The body must be multipart/form-data, as Inbound Parse posts it.", code="not_a_form")
    pieces = (b"\r\n" + raw).split(b"\r\n--" + opening[1], MAX_FIELDS + 1)
    fields: dict[str, Field] = {}
    for piece in pieces[1 : MAX_FIELDS + 1]:
        head, blank, value = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if blank and name is not None and not piece.startswith(b"--"):
            filename, kind = _FILENAME.search(head), _TYPE.search(head)
            field = Field(value, filename[1] if filename else None, kind[1].strip() if kind else None)
            fields.setdefault(name[1].decode("utf-8", "replace"), field)
    return fields


def read_inbound(raw: bytes) -> Inbound:
    """The mail that a request brought.

    Raises:
        InputError: `not_a_form`, or `no_mail`: neither the mail nor its sender is in it.
    """
    fields = read_form(raw)
    recipients = _envelope(fields)
    if "email" in fields:
        return parse(fields["email"].value, recipients)
    if "headers" not in fields and "from" not in fields:
        raise InputError("The form holds no mail: neither `email` nor `headers` nor `from`.", code="no_mail")
    return parse(_assembled(fields), recipients)


def _envelope(fields: dict[str, Field]) -> tuple[str, ...]:
    envelope = _json(fields.get("envelope"))
    named = envelope.get("to")
    found = [stored_address(one) for one in named if isinstance(one, str)] if isinstance(named, list) else []
    return tuple(address for address in found if address)


def _json(field: Field | None) -> dict[str, object]:
    try:
        value = orjson.loads(field.value) if field is not None else None
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _assembled(fields: dict[str, Field]) -> bytes:
    """The mail again: its own headers, without those that speak of parts, and a part for each text and file."""
    if "headers" in fields:
        head = _MIME_HEADER.sub(b"", fields["headers"].value).strip(b"\r\n")
    else:
        lines = ((name, fields[name].value) for name in ("from", "to", "subject") if name in fields)
        head = b"\r\n".join(name.encode() + b": " + b" ".join(value.split()) for name, value in lines)
    charsets = _json(fields.get("charsets"))
    parts = []
    for name, kind in (("text", b"text/plain"), ("html", b"text/html")):
        if name in fields:
            charset = re.sub(r"[^\w.:-]", "", str(charsets.get(name) or "utf-8"))[:40].encode("ascii", "ignore")
            parts.append(_part(kind + b"; charset=" + charset, fields[name].value))
    parts += [_attached(field) for name, field in fields.items() if re.fullmatch(r"attachment\d{1,4}", name)]
    fence = b"\r\n--" + _FENCE
    top = head + b'\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + _FENCE + b'"\r\n'
    return top + b"".join(fence + b"\r\n" + part for part in parts) + fence + b"--\r\n"


def _attached(field: Field) -> bytes:
    kind = (field.type or b"application/octet-stream").split(b";")[0].strip().lower()
    if kind.decode("latin-1") in _REPORTS:
        return b"Content-Type: " + kind + b"\r\n\r\n" + field.value
    name = b'; filename="' + (field.filename or b"unnamed") + b'"'
    return _part(kind, field.value, b"Content-Disposition: attachment" + name + b"\r\n")


def _part(kind: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b"Content-Type: " + kind + b"\r\n" + more + b"Content-Transfer-Encoding: base64\r\n\r\n" + encodebytes(value)
