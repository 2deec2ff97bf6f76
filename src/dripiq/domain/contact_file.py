"""Whom does this CSV file name, and which of its rows cannot be taken?

Every row is read before anything is done with one: it is good, bad (with its line and the reason), or a duplicate of an earlier one. What makes the
file as a whole unreadable (its encoding, its quotes, no column of addresses) is an error that says where.
"""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from dripiq.domain.addresses import normalise_email
from dripiq.domain.contact_columns import Columns, find_columns, recognised
from dripiq.domain.errors import InputError
from dripiq.domain.plan.faults import did_you_mean
from dripiq.domain.zones import zone_names

DELIMITERS = ",;\t|"
MAX_LENGTH = 500
"""Characters of one value; longer ones are a quote that was never closed, and an index could not hold them."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One good row. `email` is in its stored form; `name` and `company` may be empty; `timezone` is an IANA name."""

    line: int
    email: str
    name: str
    company: str
    timezone: str | None
    external_ref: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be taken: its line (the header's is 1), a code and a sentence."""

    line: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row that names somebody again: by e-mail or external_ref, on an earlier line, or in the database (`of_line` None)."""

    line: int
    email: str
    by: str
    of_line: int | None


@dataclass(frozen=True, slots=True)
class ContactFile:
    """What a file says; every row that is not blank is in one of the three lists."""

    columns: Columns
    rows: tuple[ContactRow, ...]
    bad: tuple[BadRow, ...]
    duplicates: tuple[Duplicate, ...]

    @property
    def count(self) -> int:
        """Rows in all."""
        return len(self.rows) + len(self.bad) + len(self.duplicates)


def read_contact_file(raw: bytes, *, encoding: str = "utf-8", mapping: Mapping[str, str] | None = None) -> ContactFile:
    """Read a CSV file (RFC 4180; comma, semicolon, tab or bar) with a header row.

    Args:
        raw: the file; a byte order mark is passed over.
        encoding: a text encoding that Python knows.
        mapping: the header of a field, where it is not a usual one.

    Raises:
        InputError: `unknown_encoding`, `wrong_encoding` (with line and byte), `csv_empty`, `csv_malformed` (with the line), or what `find_columns` raises.
    """
    records = _records(_decode(raw, encoding), mapping or {})
    _, headers = next(records, (0, None))
    if headers is None:
        raise InputError("The file is empty: its first row must name the columns.", code="csv_empty")
    columns = find_columns(headers, mapping or {})
    rows: list[ContactRow] = []
    bad: list[BadRow] = []
    duplicates: list[Duplicate] = []
    lines: dict[tuple[str, str], int] = {}
    for line, cells in records:
        row = _row(line, cells, columns, len(headers))
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        keys = [("email", row.email), *([("external_ref", row.external_ref)] if row.external_ref else [])]
        again = next((key for key in keys if key in lines), None)
        if again is not None:
            duplicates.append(Duplicate(line, row.email, again[0], lines[again]))
            continue
        lines.update(dict.fromkeys(keys, line))
        rows.append(row)
    return ContactFile(columns, tuple(rows), tuple(bad), tuple(duplicates))


def _decode(raw: bytes, encoding: str) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and _codec(encoding) == "utf-8":
        encoding = "utf-16"
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise InputError(
            f"There is no text encoding {encoding!r}: name one such as utf-8, latin-1 or windows-1252.",
            code="unknown_encoding",
            facts={"encoding": encoding},
        ) from None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = raw.count(b"\n", 0, start) + 1
        byte = raw[start : start + 1]
        shown = f" (0x{byte.hex().upper()}, which is {byte.decode('latin-1')!r} in Latin-1)" if byte else ""
        raise InputError(
            f"The file is not {encoding}: line {line}, byte {start}{shown} cannot be read. Save it as UTF-8.",
            code="wrong_encoding",
            facts={"encoding": encoding, "line": line, "byte": start},
        ) from None


def _codec(encoding: str) -> str:
    """Python's own name of an encoding; the name as given where there is none."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return encoding


def _records(text: str, mapping: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line that it begins on."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text, mapping), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"The CSV cannot be read from line {line} on ({error}): see to the quotes there.",
                code="csv_malformed",
                facts={"line": line},
            ) from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _delimiter(text: str, mapping: Mapping[str, str]) -> str:
    """The delimiter with which the header row makes most sense: most fields known, then most columns."""
    header = next((line for line in StringIO(text) if line.strip()), "")[:10_000]

    def sense(delimiter: str) -> tuple[int, int]:
        try:
            cells = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            return 0, 0
        return len(recognised(cells)) + len(set(mapping.values()) & set(cells)), len(cells)

    return max(DELIMITERS, key=sense)


def _row(line: int, cells: Sequence[str], columns: Columns, width: int) -> ContactRow | BadRow:
    if len(cells) > width:
        return BadRow(
            line, "too_many_values", f"it has {len(cells)} values, the header {width}: quote what holds commas."
        )
    values = {field: " ".join(cells[at].split()) for field, at in columns.positions.items() if at < len(cells)}
    for field, value in values.items():
        if len(value) > MAX_LENGTH:
            return BadRow(line, "too_long", f"its {field} has {len(value)} characters: {MAX_LENGTH} at most.")
        if _UNSTORABLE.search(value):
            return BadRow(line, "invalid_text", f"its {field} holds a character that PostgreSQL cannot store.")
    if not values.get("email"):
        return BadRow(line, "no_email", "it has no e-mail address.")
    try:
        email = normalise_email(values["email"])
    except InputError as error:
        return BadRow(line, error.error_code, error.message)
    timezone = values.get("timezone") or None
    if timezone is not None and timezone not in zone_names():
        near = did_you_mean(timezone, zone_names())
        return BadRow(
            line,
            "unknown_timezone",
            f'there is no time zone "{timezone}"{near}: write an IANA name, as "Europe/Berlin".',
        )
    name = values.get("name") or f"{values.get('first_name', '')} {values.get('last_name', '')}".strip()
    return ContactRow(line, email, name, values.get("company", ""), timezone, values.get("external_ref") or None)
