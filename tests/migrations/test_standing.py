"""A database that is not as the code needs it is told so in a sentence; two migrators do not get in each other's way."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, make_url

from dripiq.db import migrate, standing
from dripiq.db.session import connect, make_engine, tenant_transaction
from dripiq.domain.errors import ConfigurationError, DatabaseError

Catalog = Callable[..., list[str]]
RunSql = Callable[..., list[tuple[object, ...]]]

WAITING_MIGRATORS = """
    SELECT state, xact_start FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%%pg_try_advisory_lock%%' AND pid <> pg_backend_pid()
"""


def check(url: str) -> None:
    engine = make_engine(url)
    try:
        with connect(engine) as connection:
            standing.check_current(connection)
    finally:
        engine.dispose()


def test_a_migrated_database_is_current_and_has_everything(database: str) -> None:
    check(database)
    found = standing.status(database)

    assert found.is_current
    assert found.known
    assert found.pending == ()
    assert len(found.tables) == 21


def test_an_empty_database_is_behind_with_every_revision_pending(empty_database: str) -> None:
    found = standing.status(empty_database)
    assert (found.current, found.pending[0], found.pending[-1], found.tables) == (None, "0024", found.head, ())

    with pytest.raises(DatabaseError, match="run `dripiq db upgrade`") as refused:
        check(empty_database)
    assert refused.value.error_code == "database_behind"


def test_looking_at_a_database_changes_nothing(empty_database: str, run_sql: RunSql) -> None:
    standing.status(empty_database)

    assert run_sql(empty_database, "SELECT nspname FROM pg_namespace WHERE nspname = 'dripiq_app'") == []


def test_a_database_newer_than_the_code_is_refused_by_everything(database: str, run_sql: RunSql) -> None:
    run_sql(database, "UPDATE dripiq_app.dripiq_alembic_version SET version_num = '9999'")

    assert not standing.status(database).known
    for attempt in (check, migrate.upgrade, lambda url: migrate.downgrade(url, "0024")):
        with pytest.raises(DatabaseError, match="Upgrade dripiq") as refused:
            attempt(database)
        assert refused.value.error_code == "database_newer"


def test_a_server_that_is_too_old_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "OLDEST_SERVER", 99)

    for attempt in (check, migrate.upgrade):
        with pytest.raises(DatabaseError, match="dripiq needs 99 or newer") as refused:
            attempt(database)
        assert refused.value.error_code == "database_too_old"


@pytest.mark.parametrize("query", ["", "?password=s3cret-too"])
def test_a_database_that_does_not_answer_is_named_without_the_password(query: str) -> None:
    with pytest.raises(DatabaseError, match=r"'outreach' at 127\.0\.0\.1:1 cannot be reached") as refused:
        standing.status(f"postgresql://ann:s3cret@127.0.0.1:1/outreach{query}")

    assert refused.value.error_code == "database_unreachable"
    assert "s3cret" not in f"{refused.value} {refused.value.facts}"


@pytest.mark.parametrize("url", ["", "outreach", "mysql://ann:s3cret@db/x", "postgresql://ann:s3cret@db:port/x"])
def test_what_is_no_url_of_a_postgres_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_engine(url)

    assert refused.value.error_code == "database_url"
    assert "s3cret" not in str(refused.value)


def test_two_migrators_at_once_migrate_once(empty_database: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(migrate.upgrade, empty_database) for _ in range(2)]:
            done.result(timeout=60)

    assert standing.status(empty_database).is_current


def test_a_migrator_waits_for_another_without_an_open_transaction(empty_database: str) -> None:
    first = make_engine(empty_database)
    with connect(first) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({migrate.MIGRATOR_LOCK})")
        connection.commit()
        second = threading.Thread(target=migrate.upgrade, args=(empty_database,))
        second.start()
        deadline = time.monotonic() + 30
        waiting = connection.exec_driver_sql(WAITING_MIGRATORS).all()
        while not (waiting and waiting[0].state == "idle") and time.monotonic() < deadline:
            connection.rollback()
            waiting = connection.exec_driver_sql(WAITING_MIGRATORS).all()
        connection.rollback()
        assert [tuple(row) for row in waiting] == [("idle", None)]
        assert standing.status(empty_database).current is None
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({migrate.MIGRATOR_LOCK})")
        connection.commit()
        second.join(timeout=60)
    first.dispose()

    assert standing.status(empty_database).is_current


def test_a_migrator_gives_up_when_another_does_not_end(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(migrate, "LOCK_POLL_SECONDS", 0.01)
    first = make_engine(empty_database)
    with connect(first) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({migrate.MIGRATOR_LOCK})")
        with pytest.raises(DatabaseError) as refused:
            migrate.upgrade(empty_database)
    first.dispose()

    assert refused.value.error_code == "migration_running"
    assert standing.status(empty_database).current is None


def test_a_migration_gives_up_when_a_table_stays_locked(
    empty_database: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(empty_database, "0024")
    before = catalog(empty_database)
    monkeypatch.setattr(migrate, "TABLE_LOCK_TIMEOUT", "50ms")
    application = make_engine(empty_database)
    with connect(application) as connection:
        connection.exec_driver_sql("LOCK TABLE dripiq_app.tenants IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseError) as refused:
            migrate.upgrade(empty_database)
    application.dispose()

    assert refused.value.error_code == "lock_timeout"
    assert catalog(empty_database) == before
    assert standing.status(empty_database).current == "0024"


def test_a_user_who_may_not_migrate_is_told_so(empty_database: str, run_sql: RunSql) -> None:
    role = f"reader_{make_url(empty_database).database}"
    run_sql(empty_database, f'CREATE ROLE "{role}" LOGIN')
    try:
        as_reader = make_url(empty_database).set(username=role).render_as_string(hide_password=False)
        with pytest.raises(DatabaseError) as refused:
            migrate.upgrade(as_reader)
    finally:
        run_sql(empty_database, f'DROP ROLE "{role}"')

    assert refused.value.error_code == "not_the_owner"


def test_a_tenant_transaction_says_for_whom_and_only_while_it_lasts(database: str) -> None:
    engine = make_engine(database, pool_size=1)
    with tenant_transaction(engine, "t1") as connection:
        assert connection.exec_driver_sql("SELECT current_setting('dripiq.tenant_id')").scalar_one() == "t1"
    with connect(engine) as connection:
        assert not connection.exec_driver_sql("SELECT current_setting('dripiq.tenant_id', true)").scalar_one()
    engine.dispose()


def test_a_tenant_transaction_that_fails_leaves_nothing(database: str) -> None:
    engine = make_engine(database)

    def fail(used: Engine) -> None:
        with tenant_transaction(used, "t1") as connection:
            connection.exec_driver_sql(
                "INSERT INTO dripiq_app.tenant_leads (id, tenant_id, name) VALUES ('l', 't1', 'Acme')"
            )
            raise LookupError

    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO dripiq_app.tenants (id, name) VALUES ('t1', 'Acme')")
    with pytest.raises(LookupError):
        fail(engine)
    with connect(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM dripiq_app.leads").scalar_one() == 0
    engine.dispose()


@pytest.mark.parametrize("prepared", [True, False])
def test_times_come_back_in_utc_and_behind_a_pooler_nothing_is_prepared(database: str, prepared: bool) -> None:
    engine = make_engine(database, prepared=prepared)
    with connect(engine) as connection:
        for _ in range(7):
            moment = connection.exec_driver_sql("SELECT timestamptz '2026-03-01 12:00:00+03'").scalar_one()
        statements = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one()
        assert moment.isoformat() == "2026-03-01T09:00:00+00:00"
        assert (statements > 0) is prepared
    engine.dispose()
