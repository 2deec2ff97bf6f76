"""The printed SQL of migrations is what a migration does, and a linter of PostgreSQL migrations (squawk) has nothing to say of it."""

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from dripiq.db import migrate, standing
from dripiq.db.offline import migration_sql
from dripiq.domain.errors import InputError
from dripiq.migrations import scripts
from tests.host.conftest import execute_file

Catalog = Callable[..., list[str]]
RunSql = Callable[..., list[tuple[object, ...]]]

SQUAWK = Path(sysconfig.get_path("scripts")) / "squawk"
REVISIONS = sorted(step.revision for step in ScriptDirectory.from_config(standing.scripts_config()).walk_revisions())
FILES = sorted((Path(scripts.__file__).parent / "versions").glob("*.sql"))

ALLOWED = {
    "0024": {"prefer-text-field": "the version table is made by Alembic, as it makes it everywhere"},
    "0025": {"prefer-bigint-over-int": "visits, attempts, sequence numbers within one campaign and limits per day; ids are text"},
    "0031": {
        "prefer-bigint-over-int": "a weight up to 1000",
        "constraint-missing-not-valid": "the checked columns are new and empty, so that looking through them is quick",
    },
}  # fmt: skip
"""The rules that a revision may break, and why."""


def complaints(sql: str) -> set[tuple[str, str]]:
    """What squawk says: rule and line."""
    command = [
        str(SQUAWK),
        "--pg-version",
        str(standing.OLDEST_SERVER),
        "--reporter",
        "json",
        "--stdin-filepath",
        "x.sql",
    ]
    ran = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    lines = sql.splitlines()
    return {(found["rule_name"], lines[found["line"]].strip()) for found in json.loads(ran.stdout)}


def run_printed(url: str, sql: str) -> None:
    """Run SQL as psql does: a statement at a time."""
    script = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in scripts._STATEMENT.findall(f"{script}\n"):
            if statement.strip():
                connection.execute(statement)


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_linter_passes_over_the_sql_of_every_upgrade(revision: str) -> None:
    broken = {rule for rule, _ in complaints(migration_sql(revision))}

    assert broken == set(ALLOWED.get(revision, {}))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_linter_passes_over_what_stands_in_blocks_too(file: Path) -> None:
    preface = "SET lock_timeout = '5s';\nSET statement_timeout = 0;\nBEGIN;\n"
    broken = {rule for rule, _ in complaints(f"{preface}{file.read_text()}COMMIT;\n")}

    assert broken <= set(ALLOWED.get(file.stem[:4], {}))


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("CREATE INDEX x ON dripiq_app.contact_campaigns (status);", "require-concurrent-index-creation"),
        ("ALTER TABLE dripiq_app.contact_campaigns ADD CONSTRAINT x CHECK (visit >= 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE dripiq_app.contact_campaigns ALTER COLUMN visit TYPE bigint;", "changing-column-type"),
    ],
)  # fmt: skip
def test_the_linter_finds_what_would_hold_up_an_application(fault: str, rule: str) -> None:
    assert rule in {found for found, _ in complaints(f"{migration_sql('0028')}\n{fault}\n")}


def test_the_printed_sql_of_all_migrations_makes_the_migrated_schema(
    empty_database: str, database: str, catalog: Catalog
) -> None:
    run_printed(empty_database, migration_sql())

    assert catalog(empty_database) == catalog(database)
    assert standing.status(empty_database).is_current
    migrate.upgrade(empty_database)
    assert catalog(empty_database, partitions=True) == catalog(database, partitions=True)


def test_the_printed_sql_adopts_a_hosts_tables_and_goes_back_to_where_it_came_from(
    empty_database: str, catalog: Catalog
) -> None:
    execute_file(empty_database, "application.sql")
    before = catalog(empty_database)
    run_printed(empty_database, migration_sql())
    assert standing.status(empty_database).is_current

    run_printed(empty_database, migration_sql(down=True))
    assert catalog(empty_database) == before
    assert standing.status(empty_database).current is None


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_the_printed_sql_of_one_revision_takes_it_back_and_brings_it_again(
    empty_database: str, catalog: Catalog, revision: str
) -> None:
    migrate.upgrade(empty_database, revision)
    lines = catalog(empty_database)

    run_printed(empty_database, migration_sql(revision, down=True))
    assert standing.status(empty_database).current == REVISIONS[REVISIONS.index(revision) - 1]
    run_printed(empty_database, migration_sql(revision))
    assert catalog(empty_database) == lines


def test_printed_sql_refuses_to_lose_rows(database: str, run_sql: RunSql) -> None:
    run_sql(database, "INSERT INTO dripiq_app.tenants (id, name) VALUES ('t', 'Acme')")
    run_sql(database, "INSERT INTO dripiq_app.tenant_settings (id, tenant_id) VALUES ('s', 't')")
    run_printed(database, migration_sql(f"{REVISIONS[-1]}:0026", down=True))

    with pytest.raises(psycopg.errors.RaiseException, match="rows of tenant_settings"):
        run_printed(database, migration_sql("0026", down=True))
    assert standing.status(database).current == "0026"


@pytest.mark.parametrize(
    ("revisions", "down", "code"),
    [("0099", False, "unknown_revision"), ("0025:0099", False, "unknown_revision"), ("0027:0025", False, "wrong_way"),
     ("0025:0027", True, "wrong_way"), ("0026:0026", False, "wrong_way")],
)  # fmt: skip
def test_a_range_that_makes_no_sense_is_refused(revisions: str, down: bool, code: str) -> None:
    with pytest.raises(InputError) as refused:
        migration_sql(revisions, down=down)

    assert refused.value.error_code == code
