"""What is each index for, what does it weigh, and what would its query cost without it?

Measured on a database that `seed_bulk` filled. Without an index means: dropped, in a transaction that is rolled back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, ForeignKeyConstraint, Table

from dripiq.repositories.bulk_samples import (
    READ_INDEX_PARENTS,
    READ_INDEXES,
    READ_TABLES,
    Sample,
    drop_index,
    key_check,
    read_key,
    read_sample,
)
from dripiq.schema import Base
from dripiq.simulate.explain import PLAN_MODES, Run, explain
from dripiq.simulate.hot_queries.listing import hot_queries

SAMPLE = 100
PATIENCE_SECONDS = 20

TICKET_INDEXES = frozenset(
    {
        "tenant_email_unique",
        "contact_channel_unique",
        "contact_campaigns_status_idx",
        "idx_message_events_tenant_event_time",
        "idx_outbound_messages_provider_lookup",
        "idx_scheduled_actions_ready",
    }
)
"""Named by the ticket: they stay under their names, whatever they serve."""

Told = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Tried:
    """A statement that an index serves, with it and without it; `without` is None where the statement needs the index to be allowed at all."""

    name: str
    with_it: Run
    without: Run | None


@dataclass(slots=True)
class IndexCost:
    """An index: what it weighs, and what it is for."""

    name: str
    table: str
    definition: str
    bytes: int
    is_unique: bool
    is_constraint: bool
    is_partial: bool
    serves: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tried: Tried | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, in order."""
        return tuple(self.definition.partition("btree (")[2].partition(")")[0].split(", "))

    @property
    def must_stay(self) -> bool:
        """Whether it is a rule (uniqueness), or the ticket asked for it."""
        return self.is_unique or self.name in TICKET_INDEXES

    def begins_with(self, columns: Sequence[str]) -> bool:
        """Whether these columns lead it, in any order, and it holds every row."""
        return not self.is_partial and set(self.columns[: len(columns)]) == set(columns)


@dataclass(frozen=True, slots=True)
class Measured:
    """A database, measured: its tables' and indexes' sizes, and what the hot queries touch (by name and plan mode)."""

    server: str
    tables: Sequence[Mapping[str, Any]]
    indexes: Sequence[IndexCost]
    runs: Mapping[tuple[str, str], Run]


def measure_queries(database: Engine) -> dict[tuple[str, str], Run]:
    """What the hot queries touch, each by its custom and its generic plan; the second of two executions, so that the pages are in memory."""
    with _trying(database) as (connection, sample, parents):
        runs = {}
        for query in hot_queries():
            for mode in PLAN_MODES:
                for _ in range(2):
                    runs[query.name, mode] = query.run(connection, sample, mode=mode, parents=parents)
        return runs


def measure_indexes(database: Engine, told: Told) -> Measured:
    """Measure everything; some minutes at a million rows.

    Args:
        told: is told what is being measured.
    """
    runs = measure_queries(database)
    with _trying(database) as (connection, sample, parents):
        server = connection.exec_driver_sql("SHOW server_version").scalar_one()
        tables = [dict(row) for row in connection.execute(READ_TABLES).mappings()]
        indexes = [_index(dict(row)) for row in connection.execute(READ_INDEXES).mappings()]
        for index in indexes:
            index.serves = list(dict.fromkeys(name for (name, _), run in runs.items() if index.name in run.indexes))
            index.keys = [_name_of(key) for key in _keys_led_by(index)]
            told(index.name)
            index.tried = _try(connection, index, sample, parents)
    return Measured(server, tables, indexes, runs)


@contextmanager
def _trying(database: Engine) -> Iterator[tuple[Connection, Sample, dict[str, str]]]:
    with database.connect() as connection, connection.begin() as transaction:
        parents = {row.name: row.parent for row in connection.execute(READ_INDEX_PARENTS)}
        yield connection, read_sample(connection, SAMPLE), parents
        transaction.rollback()


def _index(row: Mapping[str, Any]) -> IndexCost:
    return IndexCost(
        name=row["name"],
        table=row["table_name"],
        definition=row["definition"],
        bytes=int(row["bytes"]),
        is_unique=row["is_unique"],
        is_constraint=row["is_constraint"],
        is_partial=row["is_partial"],
    )


def _keys_led_by(index: IndexCost) -> list[ForeignKeyConstraint]:
    """The keys whose check looks rows up by the columns that lead this index; of those to `tenants`, only by an index made for it: any primary key serves."""
    table: Table = Base.metadata.tables[f"{Base.metadata.schema}.{index.table}"]
    keys = [
        (key, {column.name for column in key.columns}) for key in sorted(table.foreign_key_constraints, key=_name_of)
    ]
    led = [key for key, names in keys if set(index.columns[: len(names)]) == names and names != {"tenant_id"}]
    return led or [key for key, names in keys if set(index.columns) == names and not index.is_unique]


def _name_of(key: ForeignKeyConstraint) -> str:
    return str(key.name)


def _try(connection: Connection, index: IndexCost, sample: Sample, parents: Mapping[str, str]) -> Tried | None:
    """Try the first statement that is meant to use the index, best no other; else the check of its first key, else a statement that happens to use it."""
    used = [query for query in hot_queries() if query.name in index.serves]
    meant = [query for query in used if index.name in query.indexes]
    meant += [query for query in used if any(index.name in wanted.split("|") for wanted in query.indexes)]
    key = next(iter(_keys_led_by(index)), None)
    query = next(iter(meant), None if key is not None else next(iter(used), None))
    run: Callable[..., Run]
    if query is not None:
        name, run = query.name, partial(query.run, connection, sample, parents=parents, seconds=PATIENCE_SECONDS)
    elif key is not None:
        look_up, sought = key_check(key), read_key(connection, key)
        name = f"check of {key.name}"
        run = partial(explain, connection, look_up, sought, index_parents=parents, seconds=PATIENCE_SECONDS)
    else:
        return None
    mode = next((mode for mode in PLAN_MODES if index.name in run(mode=mode).indexes), PLAN_MODES[0])
    with_it = run(mode=mode)
    savepoint = connection.begin_nested()
    drop_index(connection, index.table, index.name, is_constraint=index.is_constraint)
    try:
        without = run(mode=mode)
    except psycopg.errors.InvalidColumnReference:  # ON CONFLICT names a key that is gone
        without = None
    finally:
        savepoint.rollback()
    return Tried(name, with_it, without)
