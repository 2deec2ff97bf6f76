"""Which column of a contact file holds what?

Headers are recognised in the spellings that mail clients, CRMs and spreadsheets export, in any case and punctuation; a mapping says it where they are
not. Nothing is guessed from the values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dripiq.domain.errors import InputError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "email": ("email", "e mail", "email address", "e mail address", "mail", "work email", "business email",
              "primary email", "contact email", "e mail adresse", "email adresse", "mailadresse", "correo",
              "correo electrónico", "courriel", "adresse e mail", "adresse email"),
    "name": ("name", "full name", "fullname", "contact name", "contact", "person", "display name",
             "vollständiger name", "nombre completo", "nom complet"),
    "first_name": ("first name", "firstname", "given name", "forename", "vorname", "nombre", "prénom"),
    "last_name": ("last name", "lastname", "surname", "family name", "nachname", "apellido", "apellidos", "nom"),
    "company": ("company", "company name", "lead", "lead name", "account", "account name", "organization",
                "organisation", "organization name", "organisation name", "employer", "firma", "unternehmen",
                "empresa", "entreprise", "société"),
    "timezone": ("timezone", "time zone", "tz", "zeitzone", "zona horaria", "fuseau horaire"),
    "external_ref": ("external ref", "external reference", "external id", "externalid", "contact id", "crm id",
                     "record id", "id", "reference", "ref"),
}  # fmt: skip
"""The fields of a contact, and the headers that mean them, the plainest first."""

_PUNCTUATION = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands.

    Attributes:
        headers: the header of each field that the file has.
        positions: its position in a row, from 0.
        ignored: headers that mean nothing here.
    """

    headers: Mapping[str, str]
    positions: Mapping[str, int]
    ignored: tuple[str, ...]


def recognised(headers: Sequence[str]) -> dict[str, int]:
    """The position of each field whose header is a usual one; of several, the plainest."""
    plain = [_plain(header) for header in headers]
    return {
        field: plain.index(spelling)
        for field, spellings in FIELDS.items()
        if (spelling := next((s for s in spellings if s in plain), None)) is not None
    }


def find_columns(headers: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """Find the fields among a file's headers.

    Args:
        headers: the first row.
        mapping: the header of a field, where it is not a usual one; goes before what is recognised.

    Raises:
        InputError: `unknown_field`, `no_such_column`, `ambiguous_column`; `no_email_column` where nothing says which column holds the address.
    """
    positions = recognised(headers)
    for field, header in mapping.items():
        if field not in FIELDS:
            raise InputError(
                f"{field!r} is no field of a contact: map {', '.join(FIELDS)}.",
                code="unknown_field",
                facts={"field": field, "fields": [*FIELDS]},
            )
        positions[field] = _position(field, header, headers)
    if "email" not in positions:
        raise InputError(
            f'No column holds e-mail addresses. The file\'s headers are {_listed(headers)}: name the one that does "email".',
            code="no_email_column",
            facts={"headers": [*headers]},
        )
    if "name" in positions and "name" not in mapping and {"first_name", "last_name"} & mapping.keys():
        del positions["name"]
    used = set(positions.values())
    ignored = tuple(header for position, header in enumerate(headers) if position not in used)
    return Columns({field: headers[position] for field, position in positions.items()}, positions, ignored)


def _position(field: str, header: str, headers: Sequence[str]) -> int:
    found = [i for i, each in enumerate(headers) if each.strip() == header.strip()] or [
        i for i, each in enumerate(headers) if _plain(each) == _plain(header)
    ]
    facts = {"field": field, "header": header, "headers": [*headers]}
    if not found:
        raise InputError(
            f"The file has no column {header!r} for {field}; its headers are {_listed(headers)}.",
            code="no_such_column",
            facts=facts,
        )
    if len(found) > 1:
        raise InputError(
            f"The file has {len(found)} columns {header!r}: give the one for {field} a name of its own.",
            code="ambiguous_column",
            facts=facts,
        )
    return found[0]


def _plain(header: str) -> str:
    return _PUNCTUATION.sub(" ", header).strip().casefold()


def _listed(headers: Sequence[str]) -> str:
    shown = ", ".join(repr(header[:60]) for header in headers[:30])
    return shown + (f" and {len(headers) - 30} more" if len(headers) > 30 else "")
