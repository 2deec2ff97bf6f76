"""Did SendGrid send this request, and which bytes of it are which event?

Rules:

- The bytes are the evidence. The signature is checked on them, and a slice is exactly what was received, because jsonb cannot hold all that
  JSON can (NUL, lone surrogates): `jsonb_safe` cleans values, never slices.
- A broken element breaks no other: elements are told apart by brackets and strings alone, and parsed one by one.

Source: Twilio SendGrid, "Getting Started with the Event Webhook Security Features": ECDSA over timestamp and raw body, key and signature in
base64 of DER.
"""

import json
import math
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from dripiq.domain.errors import ConfigurationError, InputError, SignatureError

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
DEFAULT_TOLERANCE = timedelta(hours=25)
"""SendGrid posts a failed batch again for 24 hours, and does not promise to sign it anew. A replay within that time is harmless: the archive
knows the body already."""

_ALGORITHM = ECDSA(SHA256())
_SECONDS = re.compile(r"[0-9]{1,12}")

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_OPENING = re.compile(_SPACE + rb"\[")
_FLAT_OBJECT = re.compile(_SPACE + rb'(\{(?:[^{}"]++|' + _STRING + rb")*+\})" + _SPACE + rb"([,\]])", re.DOTALL)
"""What events nearly always are: an object without objects in it, found in one step."""
_TOKEN = re.compile(_STRING + rb'|[][{},"]', re.DOTALL)
_NESTING = 32


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One element of the array: its place, the bytes as received, and what they parse to (None where they don't)."""

    index: int
    raw: bytes
    value: object


def verify_signature(
    public_key: str,
    signature: str | None,
    timestamp: str | None,
    raw: bytes,
    *,
    now: datetime,
    tolerance: timedelta = DEFAULT_TOLERANCE,
) -> None:
    """Return if the request was signed by the owner of the key, not longer ago (nor further ahead) than `tolerance`.

    Args:
        public_key: the "verification key" as SendGrid shows it: base64 of a DER public key on P-256.
        signature, timestamp: the two headers (`SIGNATURE_HEADER`, `TIMESTAMP_HEADER`) as received.
        raw: the body as received, before any parsing.
        now: with a time zone.

    Raises:
        SignatureError: `missing_signature`, `bad_signature` or `stale_timestamp`.
        ConfigurationError: `verification_key`: the key itself is none.
    """
    if not signature or not timestamp:
        raise SignatureError(
            f"The request must carry {SIGNATURE_HEADER} and {TIMESTAMP_HEADER}.", code="missing_signature"
        )
    key = _loaded(public_key)
    try:
        key.verify(b64decode(signature, validate=True), timestamp.encode() + raw, _ALGORITHM)
    except (InvalidSignature, ValueError):
        raise SignatureError("The signature does not fit the request and the key.", code="bad_signature") from None
    limit = tolerance.total_seconds()
    if not _SECONDS.fullmatch(timestamp) or abs(now.timestamp() - int(timestamp)) > limit:
        raise SignatureError(
            "The signature's timestamp is too far from now: check this machine's clock.",
            code="stale_timestamp",
            facts={"timestamp": timestamp[:40], "tolerance_seconds": limit},
        )


@lru_cache(maxsize=256)
def _loaded(public_key: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(b64decode(public_key, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ConfigurationError(
            "The verification key must be SendGrid's: base64 of a DER public key on P-256. Copy it from the Event Webhook's settings.",
            code="verification_key",
        )
    return key


def split_events(raw: bytes) -> list[RawEvent]:
    """The elements of a JSON array, each with its own bytes; some 150,000 a second.

    Raises:
        InputError: `not_an_array`, or `not_json`: the array does not end, something follows it, or not one element can be parsed.
    """
    opening = _OPENING.match(raw)
    if opening is None:
        raise InputError("The body must be a JSON array of events.", code="not_an_array")
    slices, at, delimiter = [], opening.end(), b","
    while delimiter == b",":
        flat = _FLAT_OBJECT.match(raw, at)
        if flat is not None:
            slices.append(flat[1])
            at, delimiter = flat.end(), flat[2]
        else:
            end = _end_of_element(raw, at)
            slices.append(raw[at:end].strip(b" \t\r\n"))
            at, delimiter = end + 1, raw[end : end + 1]
    if raw[at:].strip(b" \t\r\n"):
        raise _not_json()
    if slices == [b""]:
        return []
    events = [RawEvent(index, part, _parsed(part)) for index, part in enumerate(slices)]
    if all(event.value is None for event in events):
        raise _not_json()
    return events


def _end_of_element(raw: bytes, at: int) -> int:
    """Where the comma or bracket stands that ends the element which begins at `at`."""
    depth = 0
    for token in _TOKEN.finditer(raw, at):
        sign = token[0]
        if sign in (b"[", b"{"):
            depth += 1
        elif sign in (b",", b"]") and depth == 0:
            return token.start()
        elif sign in (b"]", b"}"):
            depth -= 1
        if sign == b'"' or depth < 0:
            break
    raise _not_json()


def _not_json() -> InputError:
    return InputError("The body is not JSON.", code="not_json")


def _parsed(part: bytes) -> object:
    """The value, or None; what strict JSON refuses and people send all the same (lone surrogates, bad UTF-8, NaN) is read."""
    try:
        return orjson.loads(part)
    except ValueError:
        pass
    try:
        return json.loads(part.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def jsonb_safe(value: object, depth: int = _NESTING) -> object:
    """The parsed value as PostgreSQL's jsonb (and any JSON writer) takes it.

    NUL is dropped, a lone surrogate becomes a question mark; numbers that are none, or need more than 64 bits, become text; what is nested deeper
    than 32 levels is cut off.
    """
    if isinstance(value, str):
        return (
            value
            if value.isascii() and "\0" not in value
            else value.replace("\0", "").encode("utf-8", "replace").decode()
        )
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, dict):
        return {clean_text(key): jsonb_safe(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list):
        return [jsonb_safe(item, depth - 1) for item in value]
    return "…"


def clean_text(text: str) -> str:
    """Text as PostgreSQL takes it: NUL is dropped, a lone surrogate becomes a question mark."""
    return text if text.isascii() and "\0" not in text else text.replace("\0", "").encode("utf-8", "replace").decode()
