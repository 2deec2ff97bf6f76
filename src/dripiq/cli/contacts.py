"""`dripiq contacts`: people come in from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli.opening import open_transaction, read_file
from dripiq.cli.output import JsonOption, TenantOption, many, note, progress, say, show_json
from dripiq.domain.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dripiq.domain.contact_file import BadRow, ContactFile, Duplicate
    from dripiq.engine.import_contacts import Import
    from dripiq.repositories.registration import TenantName

app = typer.Typer(help="Contacts: bring people in.", no_args_is_help=True)

NO_HINTS: Mapping[str, str] = {}
SHOWN = 20
"""Rows listed for people; --json lists all."""


@app.callback()
def _group() -> None:
    """Contacts: bring people in."""


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="CSV", help="The file, with a header row; - reads stdin.")],
    tenant: TenantOption,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=HEADER",
            help="The header of a field whose name is no usual one: email, name, first_name, last_name, company, timezone, external_ref. Again for each.",
        ),
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="The file's text encoding.")] = "utf-8",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Import the good rows; without it, one bad row and nothing is imported.")
    ] = False,
    create_tenant: Annotated[
        bool, typer.Option("--create-tenant", help="Make the tenant, of that name, where there is none.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Give who is there already the file's values; empty cells change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import contacts from a CSV file, in one transaction: all of them or none.

    Comma, semicolon, tab or bar; usual header names are recognised. Who is there already is passed over and reported, or updated with --update.
    """
    from dripiq.db.session import as_tenant
    from dripiq.engine.import_contacts import import_contacts

    contents = read_contacts(file, encoding=encoding, mapping=_mapping(column or []), hints=IMPORT_HINTS)
    if not skip_bad:
        refuse_bad_rows(contents, "imported: mend them, or import the others with --skip-bad", quiet=as_json)
    with open_transaction() as (connection, now), progress("Importing", len(contents.rows), quiet=as_json) as advance:
        owner, made = _tenant(connection, tenant, create=create_tenant)
        with as_tenant(connection, owner.id):
            done = import_contacts(connection, owner.id, contents.rows, now=now, update=update, advance=advance)
    _show(file, contents, done, owner, made, update, as_json)


IMPORT_HINTS = {
    "wrong_encoding": " Or say what it is, as in --encoding latin-1.",
    "no_email_column": " Or say which one holds them, as in --map email=HEADER.",
}
"""What an import can be told besides, by the fault of the file."""


def read_contacts(
    path: str, *, encoding: str = "utf-8", mapping: Mapping[str, str] | None = None, hints: Mapping[str, str] = NO_HINTS
) -> "ContactFile":
    """The people of a CSV file.

    Args:
        hints: by error code, what the command's own options can do about it.

    Raises:
        InputError: what `read_file` and `read_contact_file` raise, with the file's name.
    """
    from dripiq.domain.contact_file import read_contact_file

    raw = read_file(path)
    try:
        return read_contact_file(raw, encoding=encoding, mapping=mapping)
    except InputError as error:
        where = "stdin" if path == "-" else path
        message = f"{where}: {error.message}{hints.get(error.error_code, '')}"
        raise InputError(message, code=error.error_code, facts={**error.facts, "file": path}) from None


def _mapping(given: Sequence[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for text in given:
        field, equals, header = text.partition("=")
        if not (equals and field.strip() and header.strip()):
            raise InputError(
                f"{text!r} maps nothing: write FIELD=HEADER, as in --map email=E-Mail.",
                code="invalid_mapping",
                facts={"mapping": text},
            )
        mapping[field.strip()] = header.strip()
    return mapping


def _tenant(connection: "Connection", given: str, *, create: bool) -> "tuple[TenantName, bool]":
    from dripiq.domain.errors import NotFoundError
    from dripiq.engine.register import find_tenant, register_tenant

    try:
        return find_tenant(connection, given), False
    except NotFoundError:
        if not create:
            raise
        return register_tenant(connection, given), True


def refuse_bad_rows(contents: "ContactFile", undone: str, *, quiet: bool) -> None:
    """See that no row of a file is bad.

    Args:
        undone: what was not done, and what to do about it, after "so nothing was".
        quiet: leave the list of rows to the error's facts.

    Raises:
        InputError: `bad_rows`.
    """
    count, bad = contents.count, len(contents.bad)
    if not bad:
        return
    if not quiet:
        _list_bad(contents.bad)
    raise InputError(
        f"{bad} of {many(count, 'row')} {'is' if bad == 1 else 'are'} bad, so nothing was {undone}.",
        code="bad_rows",
        facts={"rows": count, "bad": [asdict(row) for row in contents.bad]},
    )


def _show(
    file: str, contents: "ContactFile", done: "Import", owner: "TenantName", made: bool, update: bool, as_json: bool
) -> None:
    duplicates = sorted((*contents.duplicates, *done.duplicates), key=lambda duplicate: duplicate.line)
    if as_json:
        show_json(
            {
                "file": file,
                "tenant": {**asdict(owner), "created": made},
                "columns": dict(contents.columns.headers),
                "ignored_columns": list(contents.columns.ignored),
                "rows": contents.count,
                "imported": done.imported,
                "updated": done.updated,
                "leads_created": done.leads_made,
                "duplicates": [asdict(duplicate) for duplicate in duplicates],
                "bad": [asdict(row) for row in contents.bad],
            }
        )
        return
    _list_bad(contents.bad)
    _list_duplicates(duplicates)
    say(f"Columns: {', '.join(f'{field} from {header!r}' for field, header in contents.columns.headers.items())}")
    if contents.columns.ignored:
        say(f"Ignored: {', '.join(map(repr, contents.columns.ignored))}")
    updated = f"{done.updated} updated; " if update else ""
    say(
        f"Imported for {owner.name}: {many(done.imported, 'contact')}, with {many(done.leads_made, 'new lead')}; "
        f"{updated}passed over: {many(len(duplicates), 'duplicate')}, {many(len(contents.bad), 'bad row')}"
    )


def _list_bad(bad: "Sequence[BadRow]") -> None:
    for row in bad[:SHOWN]:
        note(f"line {row.line}: {row.reason}")
    if len(bad) > SHOWN:
        note(f"… and {many(len(bad) - SHOWN, 'more bad row')}; --json lists all")


def _list_duplicates(duplicates: "Sequence[Duplicate]") -> None:
    for duplicate in duplicates[:SHOWN]:
        where = f"line {duplicate.of_line}" if duplicate.of_line is not None else "in the database"
        note(f"line {duplicate.line}: {duplicate.email} is a duplicate by {duplicate.by} ({where})")
    if len(duplicates) > SHOWN:
        note(f"… and {len(duplicates) - SHOWN} more duplicates; --json lists all")
