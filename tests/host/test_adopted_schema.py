"""A host's own tables before dripiq, with it, and after it: nothing in them is changed, and its own migrations go on."""

from collections.abc import Callable

import psycopg
import pytest

from dripiq.db import migrate, standing
from dripiq.domain.errors import DatabaseError
from tests.host.conftest import HOST_TABLES, Dump, execute_file, plain

DumpHosts = Callable[[str], str]

OURS = "--exclude-table=dripiq_app.dripiq_alembic_version"
"""What a rollback leaves: that it is at no revision."""


def execute(url: str, statement: str) -> None:
    with psycopg.connect(plain(url)) as connection:
        connection.execute(statement)


def test_the_hosts_four_tables_dump_the_same_before_after_and_after_a_rollback(
    host: str, dump_hosts: DumpHosts
) -> None:
    before = dump_hosts(host)
    assert all(f"CREATE TABLE dripiq_app.{table} (" in before for table in HOST_TABLES)
    assert "Mara@Mill.example.com" in before

    migrate.upgrade(host)
    assert dump_hosts(host) == before
    assert {"contact_campaigns", "message_events", "campaign_transitions"} <= set(standing.status(host).tables)

    migrate.downgrade(host, "base")
    assert dump_hosts(host) == before


def test_a_rollback_leaves_the_whole_database_as_the_host_had_it(host: str, dump: Dump) -> None:
    before = dump(host, OURS)
    migrate.upgrade(host)
    assert dump(host, OURS) != before

    migrate.downgrade(host, "base")
    assert dump(host, OURS) == before


def test_up_down_and_up_again_dump_the_same_schema(host: str, dump: Dump) -> None:
    migrate.upgrade(host)
    first = dump(host, "--schema-only")
    migrate.downgrade(host, "base")
    migrate.upgrade(host)

    assert dump(host, "--schema-only") == first


@pytest.mark.parametrize("revision", ["0024", "0025", "0026", "0027", "0028"])
def test_going_back_part_of_the_way_and_up_again_dumps_the_same_schema(adopted: str, dump: Dump, revision: str) -> None:
    first = dump(adopted, "--schema-only")
    migrate.downgrade(adopted, revision)
    migrate.upgrade(adopted)

    assert dump(adopted, "--schema-only") == first


def test_a_second_upgrade_changes_nothing(adopted: str, dump: Dump) -> None:
    first = dump(adopted)
    migrate.upgrade(adopted)

    assert dump(adopted) == first


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        ("ALTER TABLE dripiq_app.lead_point_of_contacts RENAME COLUMN email TO mail", "column lead_point_of_contacts.email"),
        ("ALTER TABLE dripiq_app.leads DROP COLUMN tenant_id CASCADE", "column leads.tenant_id"),
        ("ALTER TABLE dripiq_app.users DROP CONSTRAINT users_pkey CASCADE", "a primary key users(id)"),
        ("ALTER TABLE dripiq_app.users ADD PRIMARY KEY (id, email)", "a primary key users(id)"),
        ("ALTER TABLE dripiq_app.lead_point_of_contacts ALTER lead_id TYPE char(40)", "type text for lead_point_of_contacts.lead_id (it is character)"),
    ],
)  # fmt: skip
def test_what_a_host_lacks_is_named_before_anything_is_changed(
    host: str, dump: Dump, damage: str, missing: str
) -> None:
    execute(host, "ALTER TABLE dripiq_app.memberships DROP CONSTRAINT memberships_user_id_fkey")
    for constraint in ("leads_owner_id_fkey", "contact_notes_author_id_fkey"):
        table = constraint.removesuffix("_owner_id_fkey").removesuffix("_author_id_fkey")
        execute(host, f"ALTER TABLE dripiq_app.{table} DROP CONSTRAINT {constraint}")
    if "ADD PRIMARY KEY" in damage:
        execute(host, "ALTER TABLE dripiq_app.users DROP CONSTRAINT users_pkey")
    if "TYPE char" in damage:
        execute(
            host, "ALTER TABLE dripiq_app.lead_point_of_contacts DROP CONSTRAINT lead_point_of_contacts_lead_id_fkey"
        )
    execute(host, damage)
    before = dump(host)

    with pytest.raises(DatabaseError) as refused:
        migrate.upgrade(host)

    assert refused.value.error_code == "host_not_adoptable"
    assert refused.value.facts["missing"] == [missing]
    assert "Nothing was changed" in str(refused.value)
    assert dump(host) == before


def test_the_hosts_own_next_migration_passes_with_dripiq_there(adopted: str, dump_hosts: DumpHosts) -> None:
    execute_file(adopted, "next_migration.sql")

    after = dump_hosts(adopted)
    assert "region text" in after
    assert "pager" not in after
    migrate.upgrade(adopted)
    assert dump_hosts(adopted) == after
    migrate.downgrade(adopted, "base")
    assert dump_hosts(adopted) == after


def test_what_dripiq_refers_to_cannot_be_dropped_by_a_host_unawares(adopted: str) -> None:
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        execute(adopted, "DROP TABLE dripiq_app.lead_point_of_contacts")
