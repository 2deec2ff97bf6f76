"""What does a list of addresses or domains to suppress say?

A CSV file, or one entry a line. A header is known by its name (email, address, domain, number, …); without one, the first column counts.
"""

import csv
import io
import re
from dataclasses import dataclass

from dripiq.domain.addresses import domain_of, normalise_email
from dripiq.domain.errors import InputError
from dripiq.domain.states import Channel, SuppressionScope

HEADERS = frozenset(
    {"email", "e-mail", "e-mail address", "email address", "mail", "address", "domain", "number", "phone", "value"}
)
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that is none."""

    line: int
    value: str


@dataclass(frozen=True, slots=True)
class SuppressionList:
    """The entries in stored form, each once, in their order; and those that are none."""

    values: tuple[str, ...]
    bad: tuple[BadEntry, ...]


def stored_value(given: str, channel: Channel, scope: SuppressionScope) -> str:
    """An address, domain or number in stored form; a domain may be given as `@example.com`.

    Raises:
        InputError: `invalid_email`, `invalid_domain`, `invalid_number`.
    """
    if channel is Channel.SMS:
        number = re.sub(r"[\s()./-]", "", given)
        if scope is SuppressionScope.DOMAIN or not _NUMBER.fullmatch(number):
            raise InputError(
                f"{given.strip()!r} is no number: write +, country code, number.",
                code="invalid_number",
                facts={"value": given.strip()},
            )
        return number
    if scope is SuppressionScope.ADDRESS:
        return normalise_email(given)
    try:
        return domain_of(normalise_email(f"any@{given.strip().removeprefix('@')}"))
    except InputError:
        raise InputError(
            f"{given.strip()!r} is no domain.", code="invalid_domain", facts={"value": given.strip()}
        ) from None


def read_list(raw: bytes, channel: Channel, scope: SuppressionScope) -> SuppressionList:
    """Read a file.

    Raises:
        InputError: `not_text`, where it is no UTF-8.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The file is no UTF-8 text: see byte {error.start}.", code="not_text") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    values: dict[str, None] = {}
    bad: list[BadEntry] = []
    column, is_first = 0, True
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for row in reader:
        names = [cell.strip().lower() for cell in row]
        if is_first and any(names):
            is_first = False
            known = [place for place, name in enumerate(names) if name in HEADERS]
            if known:
                column = known[0]
                continue
        given = row[column] if column < len(row) else ""
        if not any(names):
            continue
        try:
            values[stored_value(given, channel, scope)] = None
        except InputError:
            bad.append(BadEntry(reader.line_num, given.strip()))
    return SuppressionList(tuple(values), tuple(bad))
