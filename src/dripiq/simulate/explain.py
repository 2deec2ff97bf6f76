"""How does PostgreSQL run a statement, and what does it touch on the way?

EXPLAIN (ANALYZE, BUFFERS) of a prepared statement, which is how the driver sends what it sends often: by the custom plan, made for these values, and by
the generic one, made for any. The statement is executed, and undone.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.errors import QueryCanceled
from sqlalchemy import Connection, TextClause
from sqlalchemy.dialects import postgresql

PLAN_MODES = ("custom", "generic")

_numbered = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Run:
    """What one execution touched.

    Attributes:
        rows: returned, or, where a statement returns none, written.
        buffers: pages of 8 kB, from memory or disk, each time that one was touched.
        milliseconds: of execution; infinite where it was given up.
        indexes: the names of the indexes used; those of partitions under their parent's name.
    """

    rows: float
    buffers: float
    milliseconds: float
    indexes: frozenset[str]

    @property
    def buffers_per_row(self) -> float:
        """What a row costs; where there is none, what it costs to find that out."""
        return self.buffers / max(self.rows, 1)


GIVEN_UP = Run(0, math.inf, math.inf, frozenset())


def explain(
    connection: Connection,
    statement: TextClause,
    parameters: Mapping[str, object],
    *,
    mode: str = "custom",
    before: TextClause | None = None,
    index_parents: Mapping[str, str] | None = None,
    seconds: float = 60,
) -> Run:
    """Execute a statement in a savepoint that is rolled back, and say what it touched.

    Args:
        connection: in a transaction.
        mode: one of `PLAN_MODES`.
        before: what is executed before it, and undone with it.
        index_parents: the parent of each partition's index, by name.
        seconds: gives up after that long: `GIVEN_UP`.

    Raises:
        sqlalchemy.exc.DBAPIError, psycopg.Error: the statement fails.
    """
    compiled = statement.compile(dialect=_numbered)
    names: list[str] = compiled.positiontup or []
    values = [parameters[name] for name in names]
    types = sql.SQL(", ").join(sql.SQL("timestamptz" if isinstance(v, datetime) else "unknown") for v in values)
    prepare = sql.SQL("PREPARE explained {} AS ").format(sql.SQL("({})").format(types) if values else sql.SQL(""))
    given = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, values))) if values else sql.SQL("")
    savepoint = connection.begin_nested()
    if before is not None:
        connection.execute(before)
    cursor = _cursor(connection)
    try:
        cursor.execute(sql.SQL("SET LOCAL plan_cache_mode = {}").format(sql.SQL(f"force_{mode}_plan")))
        cursor.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(f"{seconds:.0f}s")))
        cursor.execute(sql.Composed([prepare, sql.SQL(str(compiled))]))
        cursor.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE explained {}").format(given)
        )
        ((found,),) = cursor.fetchall()
    except QueryCanceled:
        return GIVEN_UP
    finally:
        savepoint.rollback()
        cursor.execute("DEALLOCATE ALL")
        cursor.close()
    return _read(found[0], index_parents or {})


def _read(document: Mapping[str, Any], index_parents: Mapping[str, str]) -> Run:
    root = document["Plan"]
    rows = root["Actual Rows"]
    if root["Node Type"] == "ModifyTable" and not rows:
        rows = max(child["Actual Rows"] for child in root["Plans"] if child.get("Parent Relationship") == "Outer")
    names: set[str] = set()
    for node in _nodes(root):
        names.update([node["Index Name"]] if "Index Name" in node else ())
        names.update(node.get("Conflict Arbiter Indexes", ()))
    return Run(
        rows=rows,
        buffers=sum(root.get(f"{kind} Blocks", 0) for kind in ("Shared Hit", "Shared Read")),
        milliseconds=document["Execution Time"],
        indexes=frozenset(_eldest(name, index_parents) for name in names),
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _eldest(name: str, parents: Mapping[str, str]) -> str:
    return _eldest(parents[name], parents) if name in parents else name


def _cursor(connection: Connection) -> Any:
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    return driver_connection.cursor()
