"""Tables go to the archive and come back, row for row; what cannot come back is counted, and an interruption costs nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dripiq.db import archive, migrate, standing
from dripiq.db.session import connect, make_engine
from dripiq.domain.errors import DatabaseError, InputError
from dripiq.schema.security import protected_tables

Catalog = Callable[..., list[str]]
RunSql = Callable[..., list[tuple[object, ...]]]

ROWS = Path(__file__).with_name("archive_rows.sql")
OWN_HOST = (
    "INSERT INTO dripiq_app.tenants (id, name) VALUES ('t', 'Acme')",
    "INSERT INTO dripiq_app.users (id, name, email) VALUES ('u1', 'Ann', 'ann@example.com'), ('u2', 'Bob', 'bob@example.com')",
    "INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES ('l', 't', 'Example')",
    "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name) VALUES ('c1', 't', 'l', 'Ann'), ('c2', 't', 'l', 'Bob')",
)
CHECKSUM = "SELECT count(*), coalesce(sum(hashtextextended(kept::text, 0)), 0)::text FROM dripiq_app.{} AS kept"


def checksums(url: str, run_sql: RunSql) -> dict[str, tuple[object, ...]]:
    """Rows and their checksum, by table."""
    return {name: run_sql(url, CHECKSUM.format(name))[0] for name in protected_tables()}


def in_archive(url: str, run_sql: RunSql) -> set[object]:
    rows = run_sql(
        url,
        "SELECT relname FROM pg_class JOIN pg_namespace s ON s.oid = relnamespace WHERE nspname = 'dripiq_archive' AND relkind IN ('r', 'p')",
    )
    return {name for (name,) in rows}


@pytest.fixture
def filled(database: str, run_sql: RunSql) -> str:
    """The URL of a database with rows in every campaign table, and events in three partitions."""
    run_sql(
        database, *OWN_HOST, *(statement.replace("%", "%%") for statement in ROWS.read_text().split(";\n") if statement)
    )
    return database


def test_every_row_comes_back_and_the_schema_is_the_same(filled: str, catalog: Catalog, run_sql: RunSql) -> None:
    before, lines = checksums(filled, run_sql), catalog(filled, partitions=True)
    assert all(rows for rows, _ in before.values())
    months = [
        name
        for (name,) in run_sql(
            filled,
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass",
        )
    ]

    moved = migrate.archive(filled)

    assert moved == {name: rows for name, (rows, _) in before.items()}
    assert in_archive(filled, run_sql) == {
        *protected_tables(),
        *(str(month).removeprefix("dripiq_app.") for month in months),
        "way_back",
        "orphans",
    }
    found = standing.status(filled)
    assert (found.current, found.archived.revision) == ("0024", found.head)

    migrate.upgrade(filled)

    assert checksums(filled, run_sql) == before
    assert catalog(filled, partitions=True) == lines
    assert in_archive(filled, run_sql) == {"orphans"}
    found = standing.status(filled)
    assert (found.is_current, found.archived.revision, found.archived.orphans) == (True, None, {})


def test_what_is_archived_leaves_the_schema_of_the_host_baseline(
    filled: str, postgres_server: Any, catalog: Catalog
) -> None:
    migrate.archive(filled)
    with postgres_server.database() as baseline:
        migrate.upgrade(baseline, "0024")
        assert catalog(filled) == catalog(baseline)


def test_archiving_goes_again_after_it_came_back(filled: str, run_sql: RunSql) -> None:
    before = checksums(filled, run_sql)
    for _ in range(2):
        migrate.archive(filled)
        migrate.upgrade(filled)
    assert checksums(filled, run_sql) == before


def test_the_host_may_delete_people_meanwhile_and_what_hung_on_them_stays_archived_and_counted(
    filled: str, catalog: Catalog, run_sql: RunSql
) -> None:
    lines = catalog(filled, partitions=True)
    migrate.archive(filled)
    run_sql(
        filled,
        "DELETE FROM dripiq_app.lead_point_of_contacts WHERE id = 'c1'",
        "DELETE FROM dripiq_app.users WHERE id = 'u2'",
    )

    migrate.upgrade(filled)

    assert standing.status(filled).archived.orphans == {
        "campaign_plan_versions": 1, "campaign_transitions": 1, "contact_campaigns": 1, "contact_channels": 1,
        "email_sender_identities": 1, "email_validation_results": 1, "message_events": 3, "outbound_messages": 1, "scheduled_actions": 1,
    }  # fmt: skip
    kept = "SELECT id, sender_identity_id FROM dripiq_app.contact_campaigns"
    assert run_sql(filled, kept) == [("cc2", None)]
    assert run_sql(filled, "SELECT id, created_by FROM dripiq_app.campaign_plan_versions") == [("v2", None)]
    inbound = "SELECT id, contact_campaign_id, contact_id FROM dripiq_app.inbound_messages ORDER BY id"
    assert run_sql(filled, inbound) == [("i1", None, None), ("i2", "cc2", "c2")]
    assert run_sql(filled, "SELECT id FROM dripiq_app.email_validation_results") == [("y",)]
    assert run_sql(filled, "SELECT count(*) FROM dripiq_app.message_events") == [(3,)]
    assert catalog(filled, partitions=True) == lines
    record = "SELECT record ->> 'plan_json' FROM dripiq_archive.orphans WHERE table_name = 'contact_campaigns'"
    assert run_sql(filled, record) == [('{"a": "100%"}',)]

    migrate.archive(filled)
    migrate.upgrade(filled)
    assert sum(standing.status(filled).archived.orphans.values()) == 11


def test_coming_back_goes_on_where_it_was_interrupted(
    filled: str, catalog: Catalog, run_sql: RunSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, lines = checksums(filled, run_sql), catalog(filled, partitions=True)
    run = archive._run
    migrate.archive(filled)
    done = 0
    for stop in (3, 30, 60, 75, 90, 95):
        count = iter(range(1_000))

        def interrupted(connection: Any, statement: str, stop: int = stop, count: Any = count) -> Any:
            if next(count) == stop:
                raise InterruptedError(statement)
            return run(connection, statement)

        monkeypatch.setattr(archive, "_run", interrupted)
        try:
            migrate.upgrade(filled)
        except InterruptedError:
            done += 1
            monkeypatch.setattr(archive, "_run", run)
            assert not (standing.status(filled).is_current and standing.status(filled).archived.revision is None)
            if standing.status(filled).current != "0024":
                with pytest.raises(DatabaseError, match="run `dripiq db upgrade`"):
                    migrate.downgrade(filled, "0024", discard=True)
    monkeypatch.setattr(archive, "_run", run)
    assert done >= 3

    migrate.upgrade(filled)
    assert checksums(filled, run_sql) == before
    assert catalog(filled, partitions=True) == lines


def test_setting_aside_is_all_or_nothing(
    filled: str, catalog: Catalog, run_sql: RunSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, lines = checksums(filled, run_sql), catalog(filled, partitions=True)
    run = archive._run
    for stop in (20, 50, 80):
        count = iter(range(1_000))

        def interrupted(connection: Any, statement: str, stop: int = stop, count: Any = count) -> Any:
            if next(count) == stop:
                raise InterruptedError(statement)
            return run(connection, statement)

        monkeypatch.setattr(archive, "_run", interrupted)
        with pytest.raises(InterruptedError):
            migrate.archive(filled)

    assert checksums(filled, run_sql) == before
    assert catalog(filled, partitions=True) == lines
    assert standing.status(filled).is_current


def test_archiving_gives_up_when_a_table_stays_in_use(
    filled: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = catalog(filled, partitions=True)
    monkeypatch.setattr(migrate, "TABLE_LOCK_TIMEOUT", "50ms")
    application = make_engine(filled)
    with connect(application) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM dripiq_app.leads")
        with pytest.raises(DatabaseError) as refused:
            migrate.archive(filled)
    application.dispose()

    assert refused.value.error_code == "lock_timeout"
    assert catalog(filled, partitions=True) == lines
    assert standing.status(filled).is_current


def test_there_must_be_something_to_archive(empty_database: str) -> None:
    for prepare in ((), ("0024",)):
        for revision in prepare:
            migrate.upgrade(empty_database, revision)
        with pytest.raises(InputError) as refused:
            migrate.archive(empty_database)
        assert refused.value.error_code == "nothing_to_archive"


def test_an_upgrade_to_before_the_archive_is_refused(filled: str, run_sql: RunSql) -> None:
    migrate.archive(filled)
    migrate.upgrade(filled, "0024")
    with pytest.raises(InputError) as refused:
        migrate.upgrade(filled, "0025")

    assert refused.value.error_code == "before_the_archive"
    assert standing.status(filled).current == "0024"
    assert "contact_campaigns" in in_archive(filled, run_sql)
