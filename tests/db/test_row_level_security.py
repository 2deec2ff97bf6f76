"""The second wall: what the database refuses a tenant's role, whatever the statement says.

`add_everything` fills every table for tenants A and B; statements here name no tenant unless they have to, as forgetful code would.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, event, insert, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dripiq import enroll, pause, pause_sending, resume, resume_sending, stop, suppress
from dripiq.db import migrate, security, standing
from dripiq.db.embedded import EmbeddedPostgres
from dripiq.db.partitions import ensure_partitions
from dripiq.db.session import as_tenant, make_engine, tenant_transaction
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.repositories import (
    CampaignTransitionRepository,
    CommunicationSuppressionRepository,
    ContactCampaignRepository,
    OutboundMessageRepository,
)
from dripiq.schema import Base
from dripiq.schema.security import BOOKKEEPING, TENANT_ROLE, protected_tables
from tests.conftest import RUN_FOLDER
from tests.db.schema_rows import HOST_TABLES, NOW, add, add_everything, values_of
from tests.db.test_repository_tenancy import COMMON, LOOK_UPS, SINGULAR, methods_of, rows_in
from tests.engine.conftest import ONE_MAIL
from tests.migrations.test_adoption import HOST

TENANT_TABLES = [name for name in protected_tables() if name != "webhook_quarantine"]
VIEWS = ("tenant_leads", "tenant_contacts")
REFUSED = (pg.InsufficientPrivilege,)


def partitions_of(connection: Connection) -> list[str]:
    found = connection.exec_driver_sql(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass"
    )
    return [name.removeprefix("dripiq_app.") for name in found.scalars()]


def refused(connection: Connection, statement: Any, **parameters: object) -> None:
    """The statement is refused for lack of a right or by a policy, and for nothing else."""
    with pytest.raises(DBAPIError) as found, connection.begin_nested():
        connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)
    assert isinstance(found.value.orig, REFUSED), found.value


@contextmanager
def role(connection: Connection, name: str, tenant_id: str | None = None) -> Iterator[None]:
    """As a role by hand, to see what it may do without a tenant."""
    connection.exec_driver_sql(f"SET LOCAL ROLE {name}")
    if tenant_id is not None:
        connection.exec_driver_sql(f"SET LOCAL dripiq.tenant_id = '{tenant_id}'")
    yield
    connection.exec_driver_sql("SET LOCAL ROLE NONE")
    connection.exec_driver_sql("SET LOCAL dripiq.tenant_id = ''")


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """Every table has a row of tenant `a` and one of tenant `b`."""
    add_everything(connection, "a")
    add_everything(connection, "b")
    return connection


def count(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM dripiq_app.{table}").scalar_one())


def test_every_table_with_a_tenant_and_every_partition_is_behind_the_wall(connection: Connection) -> None:
    with_tenant = connection.exec_driver_sql("""
        SELECT relname, relrowsecurity FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant_id'
        WHERE relnamespace = 'dripiq_app'::regnamespace AND relkind IN ('r', 'p')
    """)
    found = {name: protected for name, protected in with_tenant if name not in HOST_TABLES}

    assert found == dict.fromkeys([*protected_tables(), *partitions_of(connection)], True)


@pytest.mark.parametrize("setting", [None, "", "nobody"])
@pytest.mark.parametrize("table", [*TENANT_TABLES, *VIEWS])
def test_with_no_tenant_set_every_table_reads_empty(filled: Connection, table: str, setting: str | None) -> None:
    assert count(filled, table) == 2
    with role(filled, TENANT_ROLE, setting):
        assert count(filled, table) == 0


NOT_CHANGED = {"campaign_transitions", "sender_accounts"}
"""What a tenant's own role may not change: what has happened, and what a worker reads on its behalf."""


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_with_no_tenant_set_every_write_is_refused(filled: Connection, table: str) -> None:
    new = insert(Base.metadata.tables[f"dripiq_app.{table}"]).values(values_of(table, "a", id="new"))
    with role(filled, TENANT_ROLE):
        refused(filled, new)
        changes = [f"UPDATE dripiq_app.{table} SET updated_at = now()", f"DELETE FROM dripiq_app.{table}"]
        for change in changes:
            if table in NOT_CHANGED:
                refused(filled, change)
            else:
                assert filled.exec_driver_sql(change).rowcount == 0
        refused(filled, f"TRUNCATE dripiq_app.{table}")
    assert count(filled, table) == 2


@pytest.mark.parametrize("who", ["dripiq_tenant", "dripiq_engine"])
@pytest.mark.parametrize("tenant", [None, "a"])
def test_no_role_has_a_right_on_a_partition_by_itself(filled: Connection, who: str, tenant: str | None) -> None:
    ensure_partitions(filled, months_ahead=0, now=NOW.replace(year=2033))
    names = partitions_of(filled)
    assert {"message_events_default", "message_events_y2033m03"} <= set(names)
    with role(filled, who, tenant):
        for name in names:
            refused(filled, f"SELECT FROM dripiq_app.{name}")
            refused(filled, f"INSERT INTO dripiq_app.{name} DEFAULT VALUES")
            refused(filled, f"UPDATE dripiq_app.{name} SET updated_at = now()")
            refused(filled, f"DELETE FROM dripiq_app.{name}")


def test_a_partition_shows_only_the_tenants_rows_even_to_who_was_given_all_tables(filled: Connection) -> None:
    ensure_partitions(filled, months_ahead=0, now=NOW)
    filled.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA dripiq_app TO dripiq_tenant")
    with role(filled, TENANT_ROLE, "a"):
        assert sum(count(filled, name) for name in partitions_of(filled)) == 1
    with role(filled, TENANT_ROLE):
        assert sum(count(filled, name) for name in partitions_of(filled)) == 0


@pytest.mark.parametrize("table", [*HOST_TABLES, "webhook_quarantine"])
def test_a_tenants_role_has_no_right_on_the_hosts_tables_nor_on_the_quarantine(filled: Connection, table: str) -> None:
    with role(filled, TENANT_ROLE, "a"):
        for statement in (
            f"SELECT FROM dripiq_app.{table}",
            f"INSERT INTO dripiq_app.{table} DEFAULT VALUES",
            f"UPDATE dripiq_app.{table} SET updated_at = now()",
            f"DELETE FROM dripiq_app.{table}",
        ):
            refused(filled, statement)


def test_a_tenants_role_cannot_touch_what_migrations_remember_nor_make_anything(filled: Connection) -> None:
    with role(filled, TENANT_ROLE, "a"):
        for table in BOOKKEEPING:
            assert count(filled, table) > 0
            refused(filled, f"DELETE FROM dripiq_app.{table}")
        refused(filled, "CREATE TABLE dripiq_app.mine ()")
        refused(filled, "ALTER TABLE dripiq_app.contact_campaigns DISABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("table", [*TENANT_TABLES, *VIEWS])
def test_a_row_of_another_tenant_is_not_read(filled: Connection, table: str) -> None:
    with as_tenant(filled, "a"):
        found = filled.exec_driver_sql(f"SELECT tenant_id FROM dripiq_app.{table}").scalars().all()
    assert found == ["a"]


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_row_of_another_tenant_is_not_written(filled: Connection, table: str) -> None:
    new = insert(Base.metadata.tables[f"dripiq_app.{table}"]).values(values_of(table, "b", id="new"))
    with as_tenant(filled, "a"):
        refused(filled, new)
        if table == "sender_accounts":
            refused(filled, "UPDATE dripiq_app.sender_accounts SET updated_at = now()")
        if table in NOT_CHANGED:
            return
        assert filled.exec_driver_sql(f"UPDATE dripiq_app.{table} SET updated_at = now()").rowcount == 1
        refused(filled, f"UPDATE dripiq_app.{table} SET tenant_id = 'b'")
        assert filled.exec_driver_sql(f"DELETE FROM dripiq_app.{table}").rowcount == 1
    left = filled.exec_driver_sql(f"SELECT tenant_id FROM dripiq_app.{table}").scalars().all()
    assert left == ["b"]


POINTERS = [
    (table.name, column.name)
    for table in Base.metadata.sorted_tables
    if table.name in TENANT_TABLES
    for column in table.columns
    if any(key.column.table.name in {"leads", "lead_point_of_contacts"} for key in column.foreign_keys)
]


def test_the_columns_that_point_to_people_are_known() -> None:
    assert {table for table, _ in POINTERS} == {
        "contact_campaigns",
        "outbound_messages",
        "inbound_messages",
        "email_validation_results",
        "contact_channels",
    }


@pytest.mark.parametrize(("table", "column"), POINTERS)
def test_a_person_of_another_tenant_cannot_be_pointed_at(filled: Connection, table: str, column: str) -> None:
    """The keys to the host's tables would allow it; keys between campaign tables carry the tenant (test_schema_rules)."""
    foreign = "blead" if column == "lead_id" else "bcontact"
    unlike = {"contact_campaigns": {"channel": "sms"}, "email_validation_results": {"email": "x@example.com"}}
    values = values_of(table, "a", id="new", **{column: foreign}) | unlike.get(table, {})
    if "dedupe_key" in values:
        values["dedupe_key"] = "new"
    if "provider_message_id" in values:
        values["provider_message_id"] = "new"
    new = insert(Base.metadata.tables[f"dripiq_app.{table}"]).values(values)
    with as_tenant(filled, "a"):
        refused(filled, new)
        refused(filled, f"UPDATE dripiq_app.{table} SET {column} = :foreign", foreign=foreign)
    filled.execute(new)  # so it was the wall that refused it


@pytest.mark.parametrize("who", ["dripiq_tenant", "dripiq_engine"])
def test_nobody_but_the_owner_changes_or_deletes_a_transition(filled: Connection, who: str) -> None:
    with role(filled, who, "a"):
        for statement in (
            "UPDATE dripiq_app.campaign_transitions SET reason = 'x'",
            "DELETE FROM dripiq_app.campaign_transitions",
            "TRUNCATE dripiq_app.campaign_transitions",
        ):
            refused(filled, statement)
        add(filled, "campaign_transitions", "a", id="next", seq=2)


def test_a_campaign_that_its_tenant_deletes_takes_its_transitions_along(filled: Connection) -> None:
    with as_tenant(filled, "a"):
        filled.exec_driver_sql("DELETE FROM dripiq_app.contact_campaigns")
        assert count(filled, "campaign_transitions") == 0
    assert count(filled, "campaign_transitions") == 1


def test_the_engines_role_sees_and_writes_every_tenants_rows(filled: Connection) -> None:
    with role(filled, "dripiq_engine"):
        for table in (*protected_tables(), *VIEWS, *HOST_TABLES):
            assert count(filled, table) == (0 if table == "webhook_quarantine" else 2), table
        assert filled.exec_driver_sql("UPDATE dripiq_app.scheduled_actions SET reason = 'x'").rowcount == 2
        add(filled, "communication_suppressions", "b", id="new", value="new@example.com")


def test_own_people_are_written_through_the_views_and_others_are_not(filled: Connection) -> None:
    with as_tenant(filled, "a"):
        filled.exec_driver_sql("INSERT INTO dripiq_app.tenant_leads (id, tenant_id, name) VALUES ('new', 'a', 'New')")
        new = "INSERT INTO dripiq_app.tenant_contacts (id, tenant_id, lead_id, name) VALUES (:id, :tenant, :lead, 'N')"
        filled.execute(text(new), {"id": "new", "tenant": "a", "lead": "new"})
        filled.exec_driver_sql("UPDATE dripiq_app.tenant_contacts SET name = 'Newer' WHERE id = 'new'")
        for wrong in (
            "INSERT INTO dripiq_app.tenant_leads (id, tenant_id, name) VALUES ('x', 'b', 'X')",
            "INSERT INTO dripiq_app.tenant_contacts (id, tenant_id, lead_id, name) VALUES ('x', 'b', 'blead', 'X')",
            "INSERT INTO dripiq_app.tenant_contacts (id, tenant_id, lead_id, name) VALUES ('x', 'a', 'blead', 'X')",
            "UPDATE dripiq_app.tenant_contacts SET lead_id = 'blead'",
            "UPDATE dripiq_app.tenant_leads SET tenant_id = 'b'",
        ):
            with pytest.raises(DBAPIError) as found, filled.begin_nested():
                filled.exec_driver_sql(wrong)
            assert isinstance(found.value.orig, pg.WithCheckOptionViolation), wrong
        record = filled.exec_driver_sql("SELECT record ->> 'name' FROM dripiq_app.tenant_contacts WHERE id = 'new'")
        assert record.scalar_one() == "Newer"
        assert filled.exec_driver_sql("DELETE FROM dripiq_app.tenant_contacts").rowcount == 2
    assert count(filled, "lead_point_of_contacts") == 1


PEEK = """
    CREATE FUNCTION public.peek(seen text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
    BEGIN
        IF seen = 'blead' THEN RAISE EXCEPTION USING MESSAGE = 'there is a ' || seen; END IF;
        RETURN true;
    END $$
"""


def test_a_condition_that_tells_what_it_sees_does_not_see_past_the_view(filled: Connection) -> None:
    filled.exec_driver_sql(PEEK)
    peeking = "SELECT count(*) FROM dripiq_app.tenant_leads WHERE public.peek(record ->> 'id')"
    with as_tenant(filled, "a"):
        assert filled.exec_driver_sql(peeking).scalar_one() == 1

    filled.exec_driver_sql("ALTER VIEW dripiq_app.tenant_leads RESET (security_barrier)")
    with pytest.raises(DBAPIError, match="there is a blead"), as_tenant(filled, "a"):
        filled.exec_driver_sql(peeking)


# The tenant's part of a transaction


def speaker(connection: Connection) -> tuple[str, str, str]:
    row = connection.exec_driver_sql(
        "SELECT current_user, current_setting('role'), coalesce(current_setting('dripiq.tenant_id', true), '')"
    ).one()
    return row[0], row[1], row[2]


def test_a_tenant_transaction_is_the_tenants_role_until_it_ends(engine: Engine) -> None:
    with tenant_transaction(engine, "t") as connection:
        assert speaker(connection) == (TENANT_ROLE, TENANT_ROLE, "t")
    with engine.connect() as connection:
        assert speaker(connection)[1:] == ("none", "")


def test_a_callers_statements_before_and_after_run_as_they_did(filled: Connection) -> None:
    filled.exec_driver_sql("SET LOCAL ROLE dripiq_engine")
    filled.exec_driver_sql("SET LOCAL dripiq.tenant_id = 'mine'")
    before = speaker(filled)
    with as_tenant(filled, "a"):
        assert speaker(filled) == (TENANT_ROLE, TENANT_ROLE, "a")
        with as_tenant(filled, "b"):
            assert speaker(filled) == (TENANT_ROLE, TENANT_ROLE, "b")
        assert speaker(filled) == (TENANT_ROLE, TENANT_ROLE, "a")
    assert speaker(filled) == before == ("dripiq_engine", "dripiq_engine", "mine")
    filled.exec_driver_sql("RESET ROLE")


def test_the_hosts_own_statements_go_on_after_the_tenants_part(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE public.orders (id int)")
        add_everything(connection, "a")
        with as_tenant(connection, "a"):
            connection.exec_driver_sql("UPDATE dripiq_app.contact_campaigns SET last_error = 'x'")
        connection.exec_driver_sql("INSERT INTO public.orders VALUES (1)")
        connection.exec_driver_sql("UPDATE dripiq_app.leads SET name = 'Y'")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT last_error FROM dripiq_app.contact_campaigns").scalar_one() == "x"
        assert connection.exec_driver_sql("SELECT count(*) FROM public.orders").scalar_one() == 1


FAILURES: dict[str, Callable[[Connection], object]] = {
    "in Python": lambda _: 1 / 0,
    "in the database": lambda connection: connection.exec_driver_sql("SELECT 1 / 0"),
    "refused by the wall": lambda connection: connection.exec_driver_sql("DELETE FROM dripiq_app.leads"),
}


@pytest.mark.parametrize("inside_savepoint", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_tenants_part_that_fails_is_undone_and_the_callers_transaction_goes_on(
    filled: Connection, failure: str, inside_savepoint: bool
) -> None:
    before = speaker(filled)

    def part() -> None:
        with filled.begin_nested() if inside_savepoint else nullcontext(), as_tenant(filled, "a"):
            filled.exec_driver_sql("DELETE FROM dripiq_app.contact_campaigns")
            FAILURES[failure](filled)

    with pytest.raises((ZeroDivisionError, DBAPIError)):
        part()

    assert speaker(filled) == before
    assert count(filled, "contact_campaigns") == 2


def test_a_savepoint_that_fails_within_the_tenants_part_leaves_the_tenant_in_place(filled: Connection) -> None:
    with as_tenant(filled, "a"):
        with pytest.raises(DBAPIError), filled.begin_nested():
            filled.exec_driver_sql("SELECT 1 / 0")
        assert speaker(filled) == (TENANT_ROLE, TENANT_ROLE, "a")
        assert count(filled, "contact_campaigns") == 1


def test_a_statement_whose_failure_was_swallowed_does_not_leave_the_tenants_role_behind(filled: Connection) -> None:
    before = speaker(filled)

    def part() -> None:
        with as_tenant(filled, "a"), pytest.raises(DBAPIError):
            filled.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(DBAPIError):
        part()
    assert speaker(filled) == before


@pytest.mark.parametrize("nobody", ["", "  "])
def test_work_for_no_tenant_is_refused(connection: Connection, engine: Engine, nobody: str) -> None:
    with pytest.raises(InputError, match="needs a tenant"), as_tenant(connection, nobody):
        pass
    with pytest.raises(InputError, match="needs a tenant"), tenant_transaction(engine, nobody):
        pass


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip))
def test_any_tenants_id_is_spoken_for_as_it_is(spoken_on: Engine, tenant_id: str) -> None:
    with tenant_transaction(spoken_on, tenant_id) as connection:
        assert speaker(connection) == (TENANT_ROLE, TENANT_ROLE, tenant_id)


@pytest.fixture(scope="session")
def spoken_on(_shared_engine: Engine) -> Engine:
    """A database in which nothing is changed, for all examples."""
    return _shared_engine


# Repositories as the tenant's role


def test_every_method_of_every_repository_works_as_the_tenants_role(kind: Any, home: Any) -> None:
    row = home.row(kind, **SINGULAR.get(kind, {}))
    spare = home.new(kind)  # rows to point at are made by the owner, who may also make people
    cases = COMMON | LOOK_UPS[kind] | {"create": lambda repository, _: repository.create(spare)}
    cases["create_many"] = lambda repository, _: repository.create_many([])
    changes = [name for name in ("update", "delete") if name in methods_of(kind)]
    for name in [*sorted(methods_of(kind) - set(changes)), *changes]:
        with as_tenant(home.session.connection(), home.tenant_id):
            assert rows_in(cases[name](home.repository(kind), row)) or name == "create_many", name


def test_no_repository_reaches_a_row_while_the_transaction_is_another_tenants(
    kind: Any, home: Any, neighbour: Any
) -> None:
    """The first wall left open on purpose: a repository of A's, in a transaction of B's."""
    row = home.row(kind, **SINGULAR.get(kind, {}))
    spare = home.new(kind)
    with as_tenant(home.session.connection(), neighbour.tenant_id):
        ours = home.repository(kind)
        for name in sorted(methods_of(kind) - {"create", "create_many", "get_or_create"}):
            assert not rows_in((COMMON | LOOK_UPS[kind])[name](ours, row)), name
        with pytest.raises((InputError, NotFoundError)):
            ours.create(spare)


def test_refusals_are_as_clear_as_without_the_wall(home: Any, neighbour: Any) -> None:
    """PostgreSQL gives no details to a role that row-level security binds."""
    taken = home.row(CommunicationSuppressionRepository)
    campaign = home.row(ContactCampaignRepository)
    transition = home.new(CampaignTransitionRepository) | {"contact_campaign_id": "nix"}
    foreign = home.new(ContactCampaignRepository) | {"contact_id": neighbour.contact_id}
    with as_tenant(home.session.connection(), home.tenant_id):
        again = {name: getattr(taken, name) for name in home.new(CommunicationSuppressionRepository)}
        with pytest.raises(Exception, match="the same tenant_id, channel, value, type"):
            home.repository(CommunicationSuppressionRepository).create(again)
        with pytest.raises(NotFoundError, match="contact_campaign_id"):
            home.repository(CampaignTransitionRepository).create(transition)
        with pytest.raises(NotFoundError, match="belong together"):
            home.repository(ContactCampaignRepository).create(foreign)
        with pytest.raises(NotFoundError, match="belong together"):
            home.repository(ContactCampaignRepository).update(campaign.id, {"contact_id": neighbour.contact_id})


def test_the_library_works_as_the_tenants_role(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (*HOST_TABLES, "email_sender_identities"):
            add(connection, table, "a")
            add(connection, table, "b")
    with tenant_transaction(engine, "a") as connection:
        enrolment = enroll(connection, "a", ONE_MAIL, ["acontact", "bcontact"])
        assert (list(enrolment.enrolled), enrolment.unknown) == (["acontact"], ("bcontact",))
        campaigns = list(enrolment.enrolled.values())
        for steer in (pause, resume, stop):
            assert steer(connection, "a", campaigns)[campaigns[0]].moves
    with tenant_transaction(engine, "a") as connection:
        suppress(connection, "a", ["x@example.com"])
    with tenant_transaction(engine, "a") as connection:
        pause_sending(connection, "a", reason="holiday")
    with tenant_transaction(engine, "a") as connection:
        resume_sending(connection, "a")
    with pytest.raises(DBAPIError), tenant_transaction(engine, "b") as connection:
        suppress(connection, "a", ["y@example.com"])


# People who are the host application's own


HOSTS_MIGRATION = (
    "ALTER TABLE dripiq_app.leads ADD COLUMN region text DEFAULT 'EU'",
    "ALTER TABLE dripiq_app.leads DROP COLUMN city",
    "ALTER TABLE dripiq_app.lead_point_of_contacts ALTER COLUMN email TYPE varchar(200)",
    "ALTER TABLE dripiq_app.lead_point_of_contacts DROP COLUMN birthday",
    "ALTER TABLE dripiq_app.lead_point_of_contacts RENAME COLUMN name TO full_name",
)


@pytest.mark.parametrize("who", ["dripiq_tenant", "dripiq_engine"])
def test_a_hosts_people_are_read_through_views_that_let_it_migrate_and_are_not_written(
    empty_database: str, who: str
) -> None:
    run(empty_database, *HOST, "INSERT INTO dripiq_app.tenants VALUES ('u', 'tin')")
    migrate.upgrade(empty_database)
    run(empty_database, *HOSTS_MIGRATION)
    engine = make_engine(empty_database)
    with engine.begin() as connection, role(connection, who, "t"):
        found = connection.exec_driver_sql(
            "SELECT c.tenant_id, c.id, c.record ->> 'full_name', l.record ->> 'region' FROM dripiq_app.tenant_contacts AS c "
            "JOIN dripiq_app.tenant_leads AS l ON l.id = c.lead_id"
        )
        assert [tuple(row) for row in found] == [("t", "c", "Ann", "EU")]
        refused(connection, "UPDATE dripiq_app.tenant_leads SET tenant_id = 'u'")
        refused(connection, "DELETE FROM dripiq_app.tenant_leads")
        for table in HOST_TABLES:
            refused(connection, f"SELECT FROM dripiq_app.{table}")
    with engine.begin() as connection, role(connection, TENANT_ROLE, "u"):
        assert (count(connection, "tenant_leads"), count(connection, "tenant_contacts")) == (0, 0)
    engine.dispose()


def test_a_hosts_contact_is_enrolled_as_the_tenants_role(empty_database: str) -> None:
    run(empty_database, *HOST, "INSERT INTO dripiq_app.tenants VALUES ('u', 'tin')")
    migrate.upgrade(empty_database)
    engine = make_engine(empty_database)
    with tenant_transaction(engine, "u") as connection:
        assert enroll(connection, "u", ONE_MAIL, ["c"]).unknown == ("c",)
    with tenant_transaction(engine, "t") as connection:
        assert [*enroll(connection, "t", ONE_MAIL, ["c"]).enrolled] == ["c"]
    assert protection(empty_database) == security.Protection((), ())
    engine.dispose()


# Roles belong to the cluster


@pytest.fixture
def fresh_cluster() -> Iterator[str]:
    """A server without any of dripiq's roles."""
    with tempfile.TemporaryDirectory(prefix="roles-", dir=os.environ[RUN_FOLDER]) as folder:
        Path(folder).chmod(0o711)  # under root the server is another user's
        with EmbeddedPostgres(Path(folder) / "home", settings={"fsync": "off"}) as url:
            yield make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def run(url: str, *statements: str) -> None:
    engine = make_engine(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def on(url: str, **parts: str) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]


def protection(url: str) -> security.Protection:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return security.status(connection)
    finally:
        engine.dispose()


def current_user_in(url: str, tenant_id: str) -> str:
    engine = make_engine(url)
    try:
        with tenant_transaction(engine, tenant_id) as connection:
            return speaker(connection)[0]
    finally:
        engine.dispose()


def test_two_databases_make_the_roles_at_once_and_going_back_leaves_them(fresh_cluster: str) -> None:
    names = ["one", "two", "three"]
    run(fresh_cluster, "CREATE ROLE ann LOGIN CREATEROLE", *(f"CREATE DATABASE {name} OWNER ann" for name in names))
    urls = [on(fresh_cluster, database=name, username="ann") for name in names]
    upgrade = "import sys; from dripiq.db.migrate import upgrade; upgrade(sys.argv[1])"
    migrators = [subprocess.Popen([sys.executable, "-c", upgrade, url]) for url in urls]
    assert [migrator.wait(timeout=120) for migrator in migrators] == [0, 0, 0]
    for url in urls:
        assert protection(url) == security.Protection((), ())
        assert current_user_in(url, "t") == TENANT_ROLE

    migrate.downgrade(urls[0], "base")
    assert current_user_in(urls[1], "t") == TENANT_ROLE
    migrate.upgrade(urls[0])
    assert protection(urls[0]).gaps == ()


def test_an_owner_who_may_make_no_roles_migrates_is_told_and_is_protected_once_they_are_made(
    fresh_cluster: str,
) -> None:
    run(fresh_cluster, 'CREATE ROLE "an owner" LOGIN', 'CREATE DATABASE shop OWNER "an owner"')
    url, administrator = on(fresh_cluster, database="shop", username="an owner"), on(fresh_cluster, database="shop")
    migrate.upgrade(url)
    assert standing.status(url).is_current
    without = protection(url)
    assert len(without.gaps) == 1
    assert 'all rights of "an owner"' in without.gaps[0]
    assert current_user_in(url, "t") == "an owner"

    for _ in range(2):  # the roles; then, once they may do something, the right to become the tenant's
        run(administrator, *protection(url).statements)
        assert current_user_in(url, "t")  # between the steps, too, work for a tenant goes on
        migrate.upgrade(url)
    assert protection(url) == security.Protection((), ())
    assert current_user_in(url, "t") == TENANT_ROLE


def test_without_the_roles_a_migration_says_so_in_a_notice(fresh_cluster: str) -> None:
    run(fresh_cluster, "CREATE ROLE bob LOGIN", "CREATE DATABASE shop OWNER bob")
    notices: list[str] = []

    def listen(connection: Any, _record: object) -> None:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    event.listen(Engine, "connect", listen)
    try:
        migrate.upgrade(on(fresh_cluster, database="shop", username="bob"))
    finally:
        event.remove(Engine, "connect", listen)
    assert [notice for notice in notices if "bob may not make or take the role dripiq_tenant" in notice]


# What is looked for when somebody asks


GAPS = {
    "ALTER TABLE dripiq_app.contact_campaigns DISABLE ROW LEVEL SECURITY": "Row-level security is off on contact_campaigns",
    "DROP POLICY tenant_people ON dripiq_app.contact_campaigns": "missing on contact_campaigns",
    "REVOKE INSERT ON dripiq_app.outbound_messages FROM dripiq_tenant": "missing on outbound_messages",
    "GRANT SELECT ON dripiq_app.message_events_default TO dripiq_tenant": "rights on message_events_default",
    "GRANT UPDATE ON dripiq_app.campaign_transitions TO dripiq_engine": "rights on campaign_transitions",
    "GRANT SELECT ON dripiq_app.leads TO dripiq_tenant": "rights on leads",
}


@pytest.mark.parametrize("damage", GAPS)
def test_a_gap_in_the_wall_is_seen_and_its_statements_close_it(connection: Connection, damage: str) -> None:
    assert security.status(connection) == security.Protection((), ())
    connection.exec_driver_sql(damage)
    found = security.status(connection)
    assert [GAPS[damage] in gap for gap in found.gaps] == [True]
    for statement in found.statements:
        connection.exec_driver_sql(statement)
    assert security.status(connection) == security.Protection((), ())


def test_a_message_is_found_by_its_repository_in_a_session_of_the_tenants(engine: Engine) -> None:
    with engine.begin() as connection:
        add_everything(connection, "a")
    with tenant_transaction(engine, "a") as connection, Session(connection) as session:
        assert OutboundMessageRepository(session, "a").count() == 1
