"""Indexes are built while others write, and an interrupted build is repaired by running again."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from dripiq.db import migrate, standing
from dripiq.domain.errors import DatabaseError, InputError
from dripiq.migrations.indexes import ON_DEMAND, Index, build, change_on_demand
from tests.migrations.test_revisions import check_models

Catalog = Callable[..., list[str]]
RunSql = Callable[..., list[tuple[object, ...]]]

IN_DOUBT = "ix_outbound_messages_status_updated_at"
PLAN = ON_DEMAND["plan-gin"].name
BY_PROVIDER = Index("ix_message_events_provider", "message_events", "(provider)")

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('dripiq_app.{}')"
PARTS = """
    SELECT count(*) FILTER (WHERE indisvalid), count(*), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass)
    FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid WHERE inhparent = to_regclass('dripiq_app.ix_message_events_provider')
"""


@pytest.fixture
def autocommit(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def interrupt_build(engine: Engine, statement: str) -> None:
    """Begin a concurrent build that a transaction holds up, and end its connection: it stays behind, INVALID."""
    waits = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = :query AND wait_event = 'virtualxid'"
    )
    failures: list[Exception] = []

    def run() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                connection.exec_driver_sql(statement)
            except Exception as error:  # the connection was ended
                failures.append(error)

    with engine.connect() as application, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watch:
        application.exec_driver_sql(
            "LOCK TABLE dripiq_app.outbound_messages, dripiq_app.contact_campaigns, dripiq_app.message_events IN ROW EXCLUSIVE MODE"
        )
        builder = threading.Thread(target=run)
        builder.start()
        deadline = time.monotonic() + 30
        while not (found := watch.execute(waits, {"query": statement}).scalars().all()) and time.monotonic() < deadline:
            builder.join(timeout=0.02)
        watch.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": found[0]})
        builder.join(timeout=30)
    assert len(failures) == 1


def test_an_index_that_an_interruption_left_invalid_is_built_again_by_the_next_upgrade(
    database: str, engine: Engine, catalog: Catalog, run_sql: RunSql
) -> None:
    lines = catalog(database)
    migrate.downgrade(database, "0027")
    interrupt_build(engine, f"CREATE INDEX CONCURRENTLY {IN_DOUBT} ON dripiq_app.outbound_messages (status)")
    assert run_sql(database, VALID.format(IN_DOUBT)) == [(False,)]

    migrate.upgrade(database)

    assert run_sql(database, VALID.format(IN_DOUBT)) == [(True,)]
    assert catalog(database) == lines


def test_an_index_is_built_while_others_hold_locks_on_rows(database: str, engine: Engine) -> None:
    migrate.downgrade(database, "0027")
    upgrading = threading.Thread(target=migrate.upgrade, args=(database,))
    with engine.begin() as application:
        application.exec_driver_sql("UPDATE dripiq_app.outbound_messages SET attempts = 0")
        upgrading.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONC%%' AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 30
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watch:
            while not watch.exec_driver_sql(waits).scalar_one() and time.monotonic() < deadline:
                upgrading.join(timeout=0.02)
        # It waits for this transaction, and holds up neither it nor another one.
        with engine.begin() as another:
            another.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            another.exec_driver_sql("UPDATE dripiq_app.outbound_messages SET attempts = 0")
        application.exec_driver_sql("UPDATE dripiq_app.outbound_messages SET attempts = 1")
    upgrading.join(timeout=60)

    assert standing.status(database).is_current


def test_the_index_of_plans_is_built_on_demand_once_and_dropped_again(
    database: str, engine: Engine, catalog: Catalog, run_sql: RunSql
) -> None:
    lines = catalog(database)
    interrupt_build(engine, f"CREATE INDEX CONCURRENTLY {PLAN} ON dripiq_app.contact_campaigns USING gin (plan_json)")

    assert change_on_demand(database, "plan-gin", wanted=True)
    assert not change_on_demand(database, "plan-gin", wanted=True)
    assert run_sql(database, VALID.format(PLAN)) == [(True,)]
    check_models(database)

    assert change_on_demand(database, "plan-gin", wanted=False)
    assert not change_on_demand(database, "plan-gin", wanted=False)
    assert catalog(database) == lines


def test_only_indexes_that_there_are_can_be_built_and_only_where_their_tables_are(
    database: str, empty_database: str
) -> None:
    with pytest.raises(InputError, match="plan-gin"):
        change_on_demand(database, "plan-btree", wanted=True)
    with pytest.raises(DatabaseError, match="run `dripiq db upgrade`"):
        change_on_demand(empty_database, "plan-gin", wanted=True)


def test_on_a_partitioned_table_each_month_gets_its_own_and_the_parent_takes_them_over(
    database: str, autocommit: Connection, run_sql: RunSql
) -> None:
    assert build(autocommit, BY_PROVIDER)
    assert not build(autocommit, BY_PROVIDER)

    ((valid, parts, months),) = run_sql(database, PARTS)
    assert valid == parts == months
    assert run_sql(database, VALID.format(BY_PROVIDER.name)) == [(True,)]


def test_an_interrupted_build_on_a_partitioned_table_goes_on_where_it_stopped(
    database: str, engine: Engine, autocommit: Connection, run_sql: RunSql
) -> None:
    first, second = (
        str(name).removeprefix("dripiq_app.")
        for (name,) in run_sql(
            database,
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass ORDER BY 1 LIMIT 2",
        )
    )
    run_sql(database, f"CREATE INDEX {BY_PROVIDER.name} ON ONLY dripiq_app.message_events (provider)")
    done = BY_PROVIDER.on(first)
    run_sql(
        database,
        f"CREATE INDEX {done.name} ON dripiq_app.{first} (provider)",
        f"ALTER INDEX dripiq_app.{BY_PROVIDER.name} ATTACH PARTITION dripiq_app.{done.name}",
    )
    broken = f"CREATE INDEX CONCURRENTLY {BY_PROVIDER.on(second).name} ON dripiq_app.{second} (provider)"
    interrupt_build(engine, broken)
    assert run_sql(database, VALID.format(BY_PROVIDER.name)) == [(False,)]

    assert build(autocommit, BY_PROVIDER)

    ((valid, parts, months),) = run_sql(database, PARTS)
    assert valid == parts == months
    assert run_sql(database, VALID.format(BY_PROVIDER.name)) == [(True,)]


def test_names_of_indexes_on_partitions_are_never_cut_off() -> None:
    long = Index("ix_message_events_tenant_id_outbound_message_id_event_at", "message_events", "(id)")
    names = {long.on(f"message_events_y2026m{month:02}").name for month in range(1, 13)}

    assert len(names) == 12
    assert max(map(len, names)) <= 63
