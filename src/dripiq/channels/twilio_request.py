"""Did Twilio send this request, and what does it hold?

Twilio signs the URL as it was asked for, with the parameters of the form after it, sorted by name and written name and value without anything between
(HMAC-SHA1 under the account's auth token, in base64). There is no timestamp in it: the same request again is known by its bytes.

Source: Twilio, "Security" ("Validating signatures from Twilio").
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from dripiq.domain.errors import InputError, SignatureError

SIGNATURE_HEADER = "X-Twilio-Signature"
_MOST_FIELDS = 500
_PORTS = {"http": 80, "https": 443}


def verify_signature(token: str, signature: str | None, url: str, body: bytes) -> None:
    """Return if whoever holds the account's auth token signed this request.

    Args:
        signature: the header (`SIGNATURE_HEADER`) as received.
        url: the address that Twilio was given for it, with its query.
        body: the form as received.

    Raises:
        SignatureError: `missing_signature` or `bad_signature`.
        InputError: `not_a_form`.
    """
    if not signature:
        raise SignatureError(f"The request must carry {SIGNATURE_HEADER}.", code="missing_signature")
    fields = _fields(body)
    said = "".join(name + value for name, values in sorted(fields.items()) for value in sorted(set(values)))
    for written in _as_written(url):
        mac = b64encode(hmac.digest(token.encode(), (written + said).encode("utf-8", "surrogateescape"), "sha1"))
        if hmac.compare_digest(mac, signature.encode("utf-8", "replace")):
            return
    raise SignatureError(
        "The signature does not fit the request and the auth token. It is made over the address that Twilio was given: DRIPIQ_PUBLIC_URL must be that, to the "
        "letter.",
        code="bad_signature",
    )


def _as_written(url: str) -> Iterator[str]:
    """The URL as it is, and with its port left out or the usual one added: Twilio does either, depending on the product."""
    yield url
    parts = urlsplit(url)
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    port = "" if parts.port is not None else f":{_PORTS.get(parts.scheme, 443)}"
    yield urlunsplit(parts._replace(netloc=host + port))


def pack(query: str, body: bytes) -> bytes:
    """A request as it is archived: its query on a line of its own, which holds our ids, then its body, both as received."""
    return query.encode("ascii", "replace") + b"\n" + body


def unpack(raw: bytes) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The query and the form of an archived request; of a name that comes twice, the first.

    Raises:
        InputError: `not_a_form`.
    """
    query, _, body = raw.partition(b"\n")
    return _firsts(_fields(query)), _firsts(_fields(body))


def _firsts(fields: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: values[0] for name, values in fields.items()}


def _fields(form: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(form.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InputError(
            "The body is no form of Twilio's (application/x-www-form-urlencoded).", code="not_a_form"
        ) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields
