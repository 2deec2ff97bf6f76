"""When are two plan documents the same?

When their canonical forms are: texts and keys in Unicode's composed form (NFC), keys sorted, no white space, UTF-8. The order of keys, layout, escapes
and the way an accent is written don't count; the order of lists, and every other value, do. The parser reads the composed form too, so plans with one
hash are one plan. Unicode keeps the composed form of every assigned character for ever (UAX #15, section 3). The form survives a round
trip through `jsonb`, whose numbers the plan language restricts to whole ones.
"""

import hashlib
from collections.abc import Mapping
from unicodedata import normalize

import orjson


def canonical_json(document: Mapping[str, object]) -> bytes:
    """The canonical form of a JSON document.

    Raises:
        TypeError: a value that JSON does not have, a lone surrogate, a whole number beyond 64 bits, or two keys that are one when composed (the parser
            reports these as faults).
    """
    return orjson.dumps(composed(document), option=orjson.OPT_SORT_KEYS)


def hash_plan(document: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical form: the `plan_hash` of `contact_campaigns` and `campaign_plan_versions`."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def composed(value: object) -> object:
    """A JSON value with every text and key in NFC, as plain dicts and lists.

    Raises:
        TypeError: two keys of one object are the same once composed.
    """
    if isinstance(value, str):
        return value if value.isascii() else normalize("NFC", value)
    if value is None or isinstance(value, (int, float)):  # before the slow question of whether it is a mapping
        return value
    if isinstance(value, (list, tuple)):
        return [composed(item) for item in value] if value else []
    if isinstance(value, (dict, Mapping)):
        entries = {composed(key): composed(item) for key, item in value.items()}
        if len(entries) < len(value):
            raise TypeError("two keys of an object are the same text")
        return entries
    return value
