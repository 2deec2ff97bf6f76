"""Does a migrated database have what other programs were promised (`tests/schema_contract.py`), by its catalog?"""

import re

import pytest
from sqlalchemy import Connection, text

from tests.schema_contract import PROMISED

each_table = pytest.mark.parametrize("table", PROMISED)


def test_thirteen_campaign_tables_are_promised_and_there(connection: Connection) -> None:
    there = set(connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'dripiq_app'").scalars())
    assert len(PROMISED) == 13
    assert set(PROMISED) <= there


@each_table
def test_a_table_has_exactly_the_promised_columns(connection: Connection, table: str) -> None:
    rows = connection.execute(
        text("""
            SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
            FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE attrelid = CAST('dripiq_app.' || :table AS regclass) AND attnum > 0 AND NOT attisdropped
        """),
        {"table": table},
    )
    found = set()
    for name, kind, is_required, default in rows:
        kind = kind.replace("timestamp with time zone", "timestamptz")
        plain_default = re.sub(r"::\w+$", "", default) if default else None
        found.add(f"{name} {kind}{'' if is_required else '?'}{f' = {plain_default}' if plain_default else ''}")
    assert found == set(PROMISED[table]["column"])


@each_table
def test_a_table_has_exactly_the_promised_foreign_keys(connection: Connection, table: str) -> None:
    rows = connection.execute(
        text("""
            SELECT pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = CAST('dripiq_app.' || :table AS regclass) AND contype = 'f' AND conparentid = 0
        """),
        {"table": table},
    ).scalars()
    expected = set()
    for kind, columns, target in (("key", "tenant_id, {}", "tenant_id, id"), ("host", "{}", "id")):
        for line in PROMISED[table][kind]:
            column, _, rest = line.partition(" -> ")
            parent, _, on_delete = rest.partition(" ")
            action = f"SET NULL ({column})" if on_delete == "set null" else "CASCADE"
            expected.add(
                f"FOREIGN KEY ({columns.format(column)}) REFERENCES dripiq_app.{parent}({target}) ON DELETE {action}"
            )
    assert set(rows) == expected


@each_table
def test_a_table_is_keyed_by_its_tenant_and_id(connection: Connection, table: str) -> None:
    key = connection.execute(
        text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST('dripiq_app.' || :table AS regclass) AND contype = 'p'"
        ),
        {"table": table},
    ).scalar_one()
    assert key == (
        "PRIMARY KEY (tenant_id, id, event_at)" if table == "message_events" else "PRIMARY KEY (tenant_id, id)"
    )


def index_lines(connection: Connection, table: str) -> dict[str, str]:
    """The indexes of a table by name, written as the contract writes them (`unique (a, b) where c`)."""
    rows = connection.execute(
        text("""
            SELECT class.relname, pg_get_indexdef(indexrelid), indisunique
            FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
            WHERE indrelid = CAST('dripiq_app.' || :table AS regclass) AND indisvalid
        """),
        {"table": table},
    )
    lines = {}
    for name, definition, is_unique in rows:
        found = re.search(r"USING btree \((.*?)\)( NULLS NOT DISTINCT)?(?: WHERE \(?(.*?)\)?)?$", definition)
        assert found, definition
        columns, nulls, where = found.groups()
        where = f" where {where.replace('::text', '')}" if where else ""
        lines[name] = f"{'unique' if is_unique else 'index'} ({columns}){(nulls or '').lower()}{where}"
    return lines


@each_table
def test_a_table_has_the_promised_indexes_under_their_promised_names(connection: Connection, table: str) -> None:
    found = index_lines(connection, table)
    for kind in ("unique", "index"):
        for line in PROMISED[table][kind]:
            name, _, rest = line.partition("(")
            definition = f"{kind} ({rest}"
            if name.strip():
                assert found.get(name.strip()) == definition
            else:
                assert definition in found.values()


@each_table
def test_a_table_is_unique_by_nothing_that_was_not_promised(connection: Connection, table: str) -> None:
    keys = {
        line
        for name, line in index_lines(connection, table).items()
        if line.startswith("unique") and name != f"pk_{table}"
    }
    assert keys == {f"unique ({line.partition('(')[2]}" for line in PROMISED[table]["unique"]}
    assert all("(tenant_id, " in key for key in keys)


@each_table
def test_vocabularies_and_lower_case_are_checked_by_the_database(connection: Connection, table: str) -> None:
    rows = connection.execute(
        text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST('dripiq_app.' || :table AS regclass) AND contype = 'c'"
        ),
        {"table": table},
    ).scalars()
    checks = list(rows)
    words_by_column = {
        found[1]: set(re.findall(r"'(\w+)'", check))
        for check in checks
        if (found := re.match(r"CHECK \(\((\w+) = ANY", check))
    }
    for line in PROMISED[table]["words"]:
        column, *words = line.split()
        assert words_by_column[column] == set(words)
    for column in " ".join(PROMISED[table]["lower"]).split():
        assert f"CHECK (({column} = lower({column})))" in checks


@each_table
def test_a_table_checks_nothing_that_was_not_promised(connection: Connection, table: str) -> None:
    names = connection.execute(
        text(
            "SELECT conname FROM pg_constraint WHERE conrelid = CAST('dripiq_app.' || :table AS regclass) AND contype = 'c'"
        ),
        {"table": table},
    ).scalars()
    promised = {line.split()[0] for line in PROMISED[table]["words"] + PROMISED[table]["check"]}
    promised |= {f"{column}_lower" for column in " ".join(PROMISED[table]["lower"]).split()}
    assert set(names) == {f"ck_{table}_{name}" for name in promised}


def test_the_referencing_columns_of_every_foreign_key_lead_a_full_index(connection: Connection) -> None:
    uncovered = connection.exec_driver_sql("""
        SELECT conrelid::regclass::text, pg_get_constraintdef(foreign_key.oid)
        FROM pg_constraint AS foreign_key
        JOIN pg_class AS class ON class.oid = conrelid AND NOT class.relispartition
        JOIN pg_namespace AS space ON space.oid = class.relnamespace AND space.nspname = 'dripiq_app'
        WHERE contype = 'f' AND NOT EXISTS (
            SELECT FROM pg_index
            WHERE indrelid = conrelid AND indpred IS NULL AND indisvalid
              AND (SELECT array_agg(led ORDER BY led) FROM unnest((indkey::smallint[])[0:cardinality(conkey) - 1]) AS led)
                = (SELECT array_agg(refers ORDER BY refers) FROM unnest(conkey) AS refers)
        )
    """).all()
    assert uncovered == []


def test_events_are_partitioned_by_the_range_of_their_time_and_have_a_default(connection: Connection) -> None:
    strategy = connection.exec_driver_sql(
        "SELECT pg_get_partkeydef('dripiq_app.message_events'::regclass)"
    ).scalar_one()
    bounds = connection.exec_driver_sql("""
        SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE inhparent = 'dripiq_app.message_events'::regclass
    """).all()
    assert strategy == "RANGE (event_at)"
    assert ("message_events_default", "DEFAULT") in [tuple(row) for row in bounds]


def test_no_table_has_a_trigger_or_an_identity_column(connection: Connection) -> None:
    triggers = connection.exec_driver_sql("""
        SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace = 'dripiq_app'::regnamespace
    """).all()
    identities = connection.exec_driver_sql("""
        SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE (attidentity <> '' OR attgenerated <> '') AND relnamespace = 'dripiq_app'::regnamespace
    """).all()
    assert triggers == []
    assert identities == []


def test_no_name_was_cut_by_the_databases_limit(connection: Connection) -> None:
    names = connection.exec_driver_sql("""
        SELECT relname FROM pg_class WHERE relnamespace = 'dripiq_app'::regnamespace AND NOT relispartition AND relkind <> 't'
        UNION SELECT conname FROM pg_constraint WHERE connamespace = 'dripiq_app'::regnamespace AND conparentid = 0
    """).scalars()
    assert [name for name in names if re.search(r"_[0-9a-f]{4}$", name)] == []
