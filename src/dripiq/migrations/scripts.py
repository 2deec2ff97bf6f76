"""What do revisions share? Reading their SQL, and the rule that going back never loses rows in silence."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from alembic import context, op

from dripiq.domain.errors import DatabaseError

_STATEMENT = re.compile(r"(?:\$\$.*?\$\$|[^;]|;(?!\n))+", re.DOTALL)
"""Up to a semicolon at the end of a line; those of a block between dollars are the block's own."""


def statements_of(revision_file: str) -> list[str]:
    """The SQL statements beside a revision (`0025_x.py` has `0025_x.sql`), in their order, without comments; a DO block is one."""
    lines = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8").splitlines()
    script = "\n".join(line for line in lines if not line.startswith("--"))
    return [statement.strip() for statement in _STATEMENT.findall(f"{script}\n") if statement.strip()]


def run(statements: Iterable[str]) -> None:
    """Execute statements in the migration's transaction; offline, print them."""
    for statement in statements:
        op.execute(statement)


def drop_tables(tables: Sequence[str]) -> None:
    """Drop tables of `dripiq_app`, the last first, unless that would lose rows that the caller has not agreed to lose.

    Raises:
        DatabaseError: `rows_would_be_lost`, with the rows of each table that has some; nothing was changed.
    """
    if context.is_offline_mode():
        for statement in _dropping(tables):
            op.execute(statement)
        return
    connection = op.get_bind()
    connection.exec_driver_sql(
        f"LOCK TABLE {', '.join(f'dripiq_app.{table}' for table in tables)} IN ACCESS EXCLUSIVE MODE"
    )
    count_rows = "SELECT count(*) FROM dripiq_app.{}"
    counts = {table: connection.exec_driver_sql(count_rows.format(table)).scalar_one() for table in tables}
    filled = {table: count for table, count in counts.items() if count}
    if filled and not context.config.attributes.get("discard", False):
        listed = ", ".join(f"{table} {count:,}" for table, count in filled.items())
        raise DatabaseError(
            f"Going back would lose rows ({listed}). Nothing was changed. Copy them first, or repeat with --discard to drop them.",
            code="rows_would_be_lost",
            facts={"rows": filled},
        )
    for table in reversed(tables):
        op.execute(f"DROP TABLE dripiq_app.{table}")


def drop_columns(table: str, columns: Sequence[str]) -> None:
    """Drop columns of a table of `dripiq_app`, unless that would lose values that the caller has not agreed to lose.

    Raises:
        DatabaseError: `rows_would_be_lost`, with the rows that hold such values; nothing was changed.
    """
    lock = f"LOCK TABLE dripiq_app.{table} IN ACCESS EXCLUSIVE MODE"
    filled = " OR ".join(f"{column} IS NOT NULL" for column in columns)
    dropped = ", ".join(f"DROP COLUMN {column}" for column in columns)
    named = " and ".join(columns)
    op.execute(lock)
    if context.is_offline_mode():
        op.execute(
            in_block(
                f"    IF EXISTS (SELECT FROM dripiq_app.{table} WHERE {filled}) THEN\n"
                f"        RAISE EXCEPTION 'Going back would lose {named} of rows of {table}: copy them, and set them null first.';\n    END IF;"
            )
        )
    elif not context.config.attributes.get("discard", False):
        count = f"SELECT count(*) FROM dripiq_app.{table} WHERE {filled}"  # noqa: S608
        rows = op.get_bind().exec_driver_sql(count).scalar_one()
        if rows:
            raise DatabaseError(
                f"Going back would lose {named} of {rows:,} rows of {table}. Nothing was changed. Copy them first, or repeat with --discard to drop them.",
                code="rows_would_be_lost",
                facts={"rows": {table: rows}},
            )
    op.execute(f"ALTER TABLE dripiq_app.{table} {dropped}")


def in_block(body: str) -> str:
    """Lines of PL/pgSQL as one statement, for what depends on the database while nobody can ask it."""
    return f"DO $$\nBEGIN\n{body}\nEND\n$$"


def _dropping(tables: Sequence[str]) -> list[str]:
    """What `drop_tables` does, as SQL that looks for rows itself."""
    checks = [
        f"    IF EXISTS (SELECT FROM dripiq_app.{table}) THEN\n"
        f"        RAISE EXCEPTION 'Going back would lose the rows of {table}: copy and delete them first.';\n    END IF;"
        for table in tables
    ]
    locks = ", ".join(f"dripiq_app.{table}" for table in tables)
    drops = [f"DROP TABLE dripiq_app.{table}" for table in reversed(tables)]
    return [f"LOCK TABLE {locks} IN ACCESS EXCLUSIVE MODE", in_block("\n".join(checks)), *drops]
