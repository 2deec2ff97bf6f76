"""Each line of the contract, tried on rows: what is filled in, what may be missing, and what is refused, deleted, or forgotten.

The tests are made from the table of expectations (`tests/schema_contract.py`); `tests/migrations/test_contract.py` sees that nothing is left out of it.
"""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, insert, null, text, update

from dripiq.schema import Base
from tests.db.schema_rows import HOST_TABLES, add, add_everything, refused, rows, values_of
from tests.schema_contract import PROMISED

COLUMN = re.compile(r"(?P<name>\w+) (?P<type>[\w(),]+)(?P<nullable>\??)(?: = (?P<default>.+))?")
UNIQUE = re.compile(r"\w* ?\((?P<columns>[^)]+)\)(?P<nulls> nulls not distinct)?(?: where (?P<flag>\w+))?")
KEY = re.compile(r"(?P<column>\w+) -> (?P<parent>\w+)(?P<forgets> set null)?")

COLUMNS = [(table, COLUMN.fullmatch(line)) for table, kinds in PROMISED.items() for line in kinds["column"]]
DEFAULTS = [(table, found["name"], found["default"]) for table, found in COLUMNS if found and found["default"]]
REQUIRED = [(table, found["name"]) for table, found in COLUMNS if found and not found["nullable"]]
GIVEN = [(table, found["name"]) for table, found in COLUMNS if found and not found["nullable"] and not found["default"]]
OPTIONAL = [(table, found["name"]) for table, found in COLUMNS if found and found["nullable"]]
UNIQUES = [(table, line) for table, kinds in PROMISED.items() for line in kinds["unique"]]
WORDS = [(table, *line.split(" ", 1)) for table, kinds in PROMISED.items() for line in kinds["words"]]
LOWER = [(table, column) for table, kinds in PROMISED.items() for line in kinds["lower"] for column in line.split()]
KEYS = [(table, line) for table, kinds in PROMISED.items() for line in kinds["key"]]
HOST_KEYS = [(table, line) for table, kinds in PROMISED.items() for line in kinds["host"]]


def declared(table: str) -> Table:
    return Base.metadata.tables[f"dripiq_app.{table}"]


def change(table: str, **values: object) -> Any:
    """Changes the row of tenant `t`."""
    if (table, *values) == ("scheduled_actions", "status"):  # which has a lease while it is queued, and only then
        queued = values["status"] == "queued"
        values |= {"job_id": "j" if queued else None, "lease_until": func.now() if queued else None}
    return update(declared(table)).where(declared(table).c.tenant_id == "t").values(values)


def test_every_line_of_the_contract_is_understood() -> None:
    assert all(found for _, found in COLUMNS)
    assert all(UNIQUE.fullmatch(line) for _, line in UNIQUES)
    assert all(KEY.fullmatch(line) for _, line in [*KEYS, *HOST_KEYS])


@pytest.mark.parametrize(("table", "column", "default"), DEFAULTS)
def test_what_is_not_given_is_filled_in(connection: Connection, table: str, column: str, default: str) -> None:
    add_everything(connection)
    kind = connection.execute(
        text("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attname = :name"),
        {"table": f"dripiq_app.{table}", "name": column},
    ).scalar_one()  # fmt: skip

    filled = connection.exec_driver_sql(
        f"SELECT {column} = CAST({default} AS {kind}) FROM dripiq_app.{table}"
    ).scalar_one()
    assert filled


@pytest.mark.parametrize(("table", "column"), REQUIRED)
def test_a_required_column_is_never_null(connection: Connection, table: str, column: str) -> None:
    add_everything(connection)

    refused(
        connection, f'null value in column "{column}"', lambda: connection.execute(change(table, **{column: null()}))
    )


@pytest.mark.parametrize(("table", "column"), GIVEN)
def test_a_required_column_without_a_default_must_be_given(connection: Connection, table: str, column: str) -> None:
    add_everything(connection)
    # (without the application's own defaults, such as new ids)
    names = [c.name for c in declared(table).columns if c.name not in {column, "created_at", "updated_at"}]
    copied = f"INSERT INTO dripiq_app.{table} ({{0}}) SELECT {{0}} FROM dripiq_app.{table} WHERE tenant_id = 't'"

    refused(
        connection,
        f'null value in column "{column}"',
        lambda: connection.exec_driver_sql(copied.format(", ".join(names))),
    )


@pytest.mark.parametrize(("table", "column"), OPTIONAL)
def test_an_optional_column_may_be_null(connection: Connection, table: str, column: str) -> None:
    add_everything(connection)
    connection.execute(change(table, **{column: null()}))

    assert [row[column] for row in rows(connection, table)] == [None]


def another(connection: Connection, table: str, column: str) -> object:
    """A value that the column may have, and its row does not."""
    vocabulary = [line.split()[1:] for line in PROMISED[table]["words"] if line.split()[0] == column]
    there = rows(connection, table)[0][column]
    for words in vocabulary:
        return next(word for word in words if word != there)
    for line in PROMISED[table]["key"] + PROMISED[table]["host"]:
        found = KEY.fullmatch(line)
        if found and found["column"] == column:
            return another_parent(connection, found["parent"])
    if isinstance(there, datetime):
        return there + timedelta(seconds=1)
    return there + 1 if isinstance(there, int) else f"{there or ''}x"


def another_parent(connection: Connection, parent: str) -> object:
    """The id of a second row of tenant `t` (or, for tenants themselves, of another one)."""
    if parent == "tenants":
        add_everything(connection, "other")
        return "other"
    distinct: dict[str, Any] = {"contact_campaigns": {"channel": "sms"}}.get(parent, {})
    add(connection, parent, id="another", **distinct)
    return "another"


@pytest.mark.parametrize(("table", "line"), UNIQUES)
def test_the_same_thing_is_not_stored_twice_for_a_tenant(connection: Connection, table: str, line: str) -> None:
    found = UNIQUE.fullmatch(line)
    assert found
    flag = found["flag"]
    add_everything(connection)
    if flag:
        connection.execute(change(table, **{flag: True}))
    (row,) = rows(connection, table)
    columns = found["columns"].split(", ")
    others = {name: another(connection, table, name) for name in columns if name != "tenant_id"}
    # An index on a part of the rows leaves the value to another one of the table; that one differs.
    free = {name: f"x{row[name]}" for name in ("from_email", "value") if flag and name in row and name not in columns}
    again: dict[str, Any] = row | {"id": "again"} | free

    refused(connection, "duplicate key value", lambda: connection.execute(insert(declared(table)).values(again)))
    for name, value in others.items():
        with connection.begin_nested() as attempt:
            connection.execute(insert(declared(table)).values({**again, name: value}))
            attempt.rollback()
    if flag:
        connection.execute(insert(declared(table)).values(again | {flag: False}))


@pytest.mark.parametrize("table", PROMISED)
def test_another_tenant_may_have_the_same(connection: Connection, table: str) -> None:
    add_everything(connection, "t")
    add_everything(connection, "other")  # with the same ids, addresses, keys and hashes

    assert sorted(row["tenant_id"] for row in rows(connection, table)) == ["other", "t"]


def test_nothing_is_distinct_by_what_it_lacks(connection: Connection) -> None:
    """`nulls not distinct`: one limit for each sender, not any number of them."""
    (line,) = [line for _, line in UNIQUES if "nulls not distinct" in line]
    assert "scope_value" in line
    add_everything(connection)

    refused(
        connection, "duplicate key value", lambda: add(connection, "send_rate_limits", id="again", scope_value=None)
    )


@pytest.mark.parametrize(("table", "column", "words"), WORDS)
def test_a_column_takes_the_words_of_its_vocabulary_and_no_other(
    connection: Connection, table: str, column: str, words: str
) -> None:
    add_everything(connection)
    for word in words.split():
        connection.execute(change(table, **{column: word}))

    for stranger in ("", words.split()[0].upper(), "something"):
        refused(
            connection,
            f"ck_{table}_{column}",
            lambda value=stranger: connection.exec_driver_sql(  # type: ignore[misc]
                f"UPDATE dripiq_app.{table} SET {column} = '{value}' WHERE tenant_id = 't'"
            ),
        )


@pytest.mark.parametrize(("table", "column"), LOWER)
def test_an_address_is_stored_in_lower_case(connection: Connection, table: str, column: str) -> None:
    add_everything(connection)
    connection.execute(change(table, **{column: "bob@example.com"}))

    refused(
        connection,
        f"ck_{table}_{column}_lower",
        lambda: connection.execute(change(table, **{column: "Bob@example.com"})),
    )


def parent_row(parent: str) -> Any:
    """The condition that finds what tenant `t`'s rows point to."""
    own = declared(parent).c
    return own.id == values_of(parent)["id"] if parent in HOST_TABLES else own.tenant_id == "t"


@pytest.mark.parametrize(("table", "line"), [*KEYS, *HOST_KEYS])
def test_a_row_goes_with_what_it_points_to_or_forgets_it_and_keeps_its_tenant(
    connection: Connection, table: str, line: str
) -> None:
    found = KEY.fullmatch(line)
    assert found
    column, parent, forgets = found["column"], found["parent"], found["forgets"]
    add_everything(connection, "t")
    add_everything(connection, "other")
    alone(connection, table, column)

    connection.execute(declared(parent).delete().where(parent_row(parent)))

    left = {row["tenant_id"]: row[column] for row in rows(connection, table)}
    assert left == {**({"t": None} if forgets else {}), "other": values_of(table, "other").get(column)}


def alone(connection: Connection, table: str, column: str) -> None:
    """Let a row hang on its parent by this column only, as far as its others may be null: else another key might do this one's work."""
    others = [
        found["column"]
        for line in PROMISED[table]["key"] + PROMISED[table]["host"]
        if (found := KEY.fullmatch(line)) and found["column"] != column
    ]
    optional = {name for owner, name in OPTIONAL if owner == table}
    if values := {name: null() for name in others if name in optional}:
        connection.execute(change(table, **values))


@pytest.mark.parametrize(("table", "line"), [*KEYS, *HOST_KEYS])
def test_a_row_points_to_nothing_that_is_not_there(connection: Connection, table: str, line: str) -> None:
    found = KEY.fullmatch(line)
    assert found
    add_everything(connection)

    refused(
        connection,
        "violates foreign key constraint",
        lambda: connection.execute(change(table, **{found["column"]: "nowhere"})),
    )


DISTINCT: dict[str, dict[str, Any]] = {
    "email_sender_identities": {"from_email": "x@example.com"},
    "contact_campaigns": {"channel": "sms"},
    "outbound_messages": {"dedupe_key": "x"},
}


@pytest.mark.parametrize(("table", "line"), KEYS)
def test_a_row_cannot_point_into_another_tenant(connection: Connection, table: str, line: str) -> None:
    found = KEY.fullmatch(line)
    assert found
    add_everything(connection, "t")
    add_everything(connection, "other")
    parent = declared(found["parent"])
    connection.execute(insert(parent).values(values_of(parent.name, "other", id="theirs") | DISTINCT[parent.name]))

    refused(
        connection,
        f"tenant_id_{found['column']}",
        lambda: connection.execute(change(table, **{found["column"]: "theirs"})),
    )
