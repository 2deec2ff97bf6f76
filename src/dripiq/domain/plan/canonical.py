"""When are two plan documents the same?

When their canonical forms are: keys sorted, no white space, UTF-8. The order of keys, layout and escapes don't count; the order of lists, and
every value, do. The form survives a round trip through `jsonb`, whose numbers the plan language restricts to whole ones.
"""

import hashlib
from collections.abc import Mapping

import orjson


def canonical_json(document: Mapping[str, object]) -> bytes:
    """The canonical form of a JSON document.

    Raises:
        TypeError: a value that JSON does not have, a lone surrogate, or a whole number beyond 64 bits (the parser reports these as faults).
    """
    return orjson.dumps(document, default=_plain, option=orjson.OPT_SORT_KEYS)


def hash_plan(document: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical form: the `plan_hash` of `contact_campaigns` and `campaign_plan_versions`."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def _plain(value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
