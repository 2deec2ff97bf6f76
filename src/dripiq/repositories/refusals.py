"""What does the database mean when it refuses a statement?

Its refusals become dripiq's own errors, which name columns and rules and say what to do; what is no refusal (the database is gone, a deadlock)
passes as it is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import CheckConstraint, Table, UniqueConstraint
from sqlalchemy.exc import DBAPIError

from dripiq.domain.errors import ConflictError, DripiqError, InputError, NotFoundError

_COLUMNS_IN_DETAIL = re.compile(r"\(([^()]*)\)=\(")


@contextmanager
def refusals_named(table: Table) -> Iterator[None]:
    """Name what the database refuses while the block runs.

    Raises:
        ConflictError: a unique key is taken (SQLSTATE 23505); `facts["columns"]` names it.
        NotFoundError: a row that is pointed to does not exist (23503).
        InputError: a rule (23514), a missing value (23502), or a value that its type can't hold (class 22); `other_tenant` where row-level
            security refuses a row (42501).
    """
    try:
        yield
    except UnicodeEncodeError as error:  # a lone surrogate: the driver fails before it asks
        raise InputError(f"{table.name}: a value can't be stored: {error}", facts={"table": table.name}) from error
    except DBAPIError as error:
        named = _named(table, error)
        if named is None:
            raise
        raise named from error


def _named(table: Table, error: DBAPIError) -> DripiqError | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    diag: Any = getattr(error.orig, "diag", None)
    constraint: str | None = getattr(diag, "constraint_name", None)
    facts: dict[str, object] = {"table": table.name, "constraint": constraint}
    if state == "23505":
        columns = (
            _unique_columns(table, constraint) or _detail_columns(diag) or _columns_of_partitions_key(table, constraint)
        )
        return ConflictError(
            f"{table.name} has a row with the same {', '.join(columns)}: change that one, or take another value.",
            facts={**facts, "columns": columns},
        )
    if state == "23503":
        columns = _detail_columns(diag) or _key_columns(table, constraint)
        return NotFoundError(
            f"{table.name}: what {', '.join(columns)} points to does not exist for this tenant.",
            facts={**facts, "columns": columns},
        )
    if state == "23514":
        return InputError(f"{table.name}: a row must obey {_rule(table, constraint)}.", facts=facts)
    if state == "23502":
        return InputError(
            f"{table.name}.{diag.column_name} needs a value.", facts={**facts, "columns": [diag.column_name]}
        )
    if state == "42501" and "row-level security" in str(error.orig):
        return InputError(
            f"{table.name}: this transaction works for another tenant, or the row names people of one. Write it in a transaction of its own tenant.",
            code="other_tenant",
            facts={"table": table.name},
        )
    if (state or "").startswith("22") or (state is None and type(error.orig).__name__ == "DataError"):
        reason = ": ".join(filter(None, (str(error.orig).partition("\n")[0], getattr(diag, "message_detail", None))))
        return InputError(f"{table.name}: a value can't be stored: {reason}", facts=facts)
    return None


def _unique_columns(table: Table, name: str | None) -> list[str]:
    keys = (table.primary_key, *(c for c in table.constraints if isinstance(c, UniqueConstraint)))
    unique = {str(key.name): [column.name for column in key.columns] for key in keys}
    unique |= {str(index.name): [column.name for column in index.columns] for index in table.indexes if index.unique}
    return unique.get(str(name), [])


def _key_columns(table: Table, name: str | None) -> list[str]:
    """The columns of a foreign key, for the server gives a role that row-level security binds no details."""
    return next((list(key.column_keys) for key in table.foreign_key_constraints if key.name == name), [])


def _columns_of_partitions_key(table: Table, name: str | None) -> list[str]:
    """The columns of a key that a partition named itself: `…_pkey`, or `…_key` where the table has one other."""
    unique = [key for key in table.constraints if isinstance(key, UniqueConstraint)]
    if (name or "").endswith("_pkey"):
        return list(table.primary_key.columns.keys())
    return list(unique[0].columns.keys()) if len(unique) == 1 and (name or "").endswith("_key") else []


def _detail_columns(diag: Any) -> list[str]:
    """The columns as the server's detail lists them (a partition's key has a name of its own): `Key (a, b)=(1, 2) …`."""
    found = _COLUMNS_IN_DETAIL.search(getattr(diag, "message_detail", None) or "")
    return found[1].split(", ") if found else []


def _rule(table: Table, name: str | None) -> str:
    checks = (c for c in table.constraints if isinstance(c, CheckConstraint))
    return next((str(check.sqltext) for check in checks if check.name == name), str(name))
