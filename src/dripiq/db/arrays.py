"""How does a list reach PostgreSQL as an array, quickly?

Statements take their rows as arrays, so most of what a process writes goes through here; psycopg looks at each element on its own, which for a batch of a
thousand rows takes as long as the statement itself. A list of nothing but texts, whole numbers or instants (and None), in UTF-8, is written at once; any
other is left to psycopg.

Source: PostgreSQL's documentation, "Array Input and Output Syntax": a quoted element may hold anything, with `"` and the backslash escaped.
"""

from datetime import datetime
from types import NoneType
from typing import Any

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.types.array import ListDumper

_APART = '","'


class QuickListDumper(ListDumper):
    """psycopg's, with a quick way for what batches are made of."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """The array's text."""
        kinds = {*map(type, obj)} - {NoneType}
        if len(kinds) != 1 or self.delimiter != b",":
            return super().dump(obj)
        kind = kinds.pop()
        if kind is str:
            return super().dump(obj) if any(text and "\x00" in text for text in obj) else _texts(obj)
        if kind is int or kind is datetime:
            return _joined([each if each is None else f'"{each}"' for each in obj])
        return super().dump(obj)


def _texts(texts: list[str | None]) -> bytes:
    joined = _APART.join("" if text is None else text for text in texts)
    if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        texts = [text and text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    elif None not in texts:
        return f'{{"{joined}"}}'.encode()
    return _joined([text if text is None else f'"{text}"' for text in texts])


def _joined(elements: list[str | None]) -> bytes:
    return f"{{{','.join('NULL' if element is None else element for element in elements)}}}".encode()


def write_lists_quickly(connection: Connection[Any]) -> None:
    """Let a connection that speaks UTF-8 use it."""
    if connection.info.encoding == "utf-8":
        connection.adapters.register_dumper(list, QuickListDumper)
