"""A host application's own tables are adopted as they are, or refused as they are; nothing in them is ever changed."""

from collections.abc import Callable

import pytest

from dripiq.db import migrate, standing
from dripiq.domain.errors import DatabaseError

Catalog = Callable[..., list[str]]
RunSql = Callable[..., list[tuple[object, ...]]]

HOST = (
    "CREATE SCHEMA dripiq_app",
    "CREATE TABLE dripiq_app.tenants (id text PRIMARY KEY, plan text)",
    "CREATE TABLE dripiq_app.users (id varchar(40) PRIMARY KEY, login text UNIQUE)",
    "CREATE TABLE dripiq_app.leads (id text PRIMARY KEY, tenant_id text NOT NULL REFERENCES dripiq_app.tenants, city text)",
    """CREATE TABLE dripiq_app.lead_point_of_contacts (id text PRIMARY KEY, name text, email text, birthday date,
        lead_id text NOT NULL REFERENCES dripiq_app.leads ON DELETE CASCADE)""",
    "CREATE INDEX host_birthdays ON dripiq_app.lead_point_of_contacts (birthday)",
    "CREATE TABLE dripiq_app.invoices (number int PRIMARY KEY, tenant_id text REFERENCES dripiq_app.tenants)",
    "INSERT INTO dripiq_app.tenants VALUES ('t', 'gold')",
    "INSERT INTO dripiq_app.leads VALUES ('l', 't', 'Bern')",
    "INSERT INTO dripiq_app.lead_point_of_contacts VALUES ('c', 'Ann', 'ann@example.com', '1990-01-01', 'l')",
)
HOST_ROWS = """
    SELECT to_jsonb(contact), to_jsonb(lead), to_jsonb(tenant)
    FROM dripiq_app.lead_point_of_contacts AS contact JOIN dripiq_app.leads AS lead ON lead.id = lead_id
    JOIN dripiq_app.tenants AS tenant ON tenant.id = lead.tenant_id
"""
HOST_NAMES = (" tenants", " users", " leads", " lead_point_of_contacts", " invoices")


def host_lines(lines: list[str]) -> list[str]:
    """Of a catalog, what is about the host's tables."""
    return [
        line
        for line in lines
        if any(f"{name}{end}" in line.split(" REFERENCES ")[0] for name in HOST_NAMES for end in (".", " "))
        or any(f"dripiq_app.{name.strip()} USING" in line for name in HOST_NAMES)
    ]


def test_a_hosts_tables_are_the_same_before_during_and_after(
    empty_database: str, catalog: Catalog, run_sql: RunSql
) -> None:
    run_sql(empty_database, *HOST)
    everything, rows = catalog(empty_database), run_sql(empty_database, HOST_ROWS)
    assert host_lines(everything) == everything

    migrate.upgrade(empty_database)
    assert host_lines(catalog(empty_database)) == everything
    assert run_sql(empty_database, HOST_ROWS) == rows

    migrate.downgrade(empty_database, "base")
    assert catalog(empty_database) == everything
    assert run_sql(empty_database, HOST_ROWS) == rows


def test_campaigns_hang_on_a_hosts_contacts_and_go_with_them(empty_database: str, run_sql: RunSql) -> None:
    run_sql(empty_database, *HOST)
    migrate.upgrade(empty_database)
    run_sql(
        empty_database,
        """INSERT INTO dripiq_app.contact_campaigns (id, tenant_id, lead_id, contact_id, channel, plan_json, plan_hash)
        VALUES ('cc', 't', 'l', 'c', 'email', '{}', 'h')""",
        "DELETE FROM dripiq_app.lead_point_of_contacts WHERE id = 'c'",
    )

    assert run_sql(empty_database, "SELECT count(*) FROM dripiq_app.contact_campaigns") == [(0,)]


def test_all_that_a_host_lacks_is_named_at_once_and_nothing_is_changed(
    empty_database: str, catalog: Catalog, run_sql: RunSql
) -> None:
    run_sql(
        empty_database,
        "CREATE SCHEMA dripiq_app",
        "CREATE TABLE dripiq_app.tenants (id uuid PRIMARY KEY)",
        "CREATE TABLE dripiq_app.leads (id text)",
        "CREATE TABLE dripiq_app.lead_point_of_contacts (id text PRIMARY KEY, lead_id text, name text)",
    )
    before = catalog(empty_database)

    with pytest.raises(DatabaseError) as refused:
        migrate.upgrade(empty_database)

    assert refused.value.error_code == "host_not_adoptable"
    assert refused.value.facts["missing"] == [
        "a primary key leads(id)",
        "column lead_point_of_contacts.email",
        "column leads.tenant_id",
        "type text for tenants.id (it is uuid)",
    ]
    assert catalog(empty_database) == before
    bookkeeping = (
        "SELECT to_regclass('dripiq_app.dripiq_alembic_version'), to_regclass('dripiq_app.dripiq_host_tables')"
    )
    assert run_sql(empty_database, bookkeeping) == [(None, None)]


def test_host_tables_that_are_missing_are_made_and_only_those_are_dropped(
    empty_database: str, catalog: Catalog, run_sql: RunSql
) -> None:
    run_sql(empty_database, *HOST, "DROP TABLE dripiq_app.users")
    before = catalog(empty_database)

    migrate.upgrade(empty_database)
    assert "users" in standing.status(empty_database).tables

    migrate.downgrade(empty_database, "base")
    assert catalog(empty_database) == before
