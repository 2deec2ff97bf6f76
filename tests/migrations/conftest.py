"""What a database's catalog says of `dripiq_app`, as lines that can be compared."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, text

# Names that PostgreSQL 18 gives to NOT NULL constraints are left out, for 15 has none; so are the partitions, unless they are asked for.
# A column has the number of its place: one that was dropped and came back has another `attnum`.
READ_CATALOG = text("""
    WITH ours AS (
        SELECT class.oid, class.relname, class.relkind, class.reloptions, class.relispartition, class.relrowsecurity,
               class.relforcerowsecurity, class.relpartbound, class.relacl, class.relowner
        FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
        WHERE space.nspname = 'dripiq_app' AND (:partitions OR NOT class.relispartition)
    )
    SELECT format('table %s %s %s %s %s %s %s', relname, relkind, reloptions, pg_get_partkeydef(oid),
                  pg_get_expr(relpartbound, oid), relrowsecurity, relforcerowsecurity)
    FROM ours WHERE relkind NOT IN ('i', 'I', 't')
    UNION ALL
    SELECT format('column %s.%s %s %s %s %s %s', relname, row_number() OVER (PARTITION BY ours.oid ORDER BY attnum), attname,
                  format_type(atttypid, atttypmod), attnotnull,
                  pg_get_expr(adbin, adrelid), attidentity::text || attgenerated::text)
    FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT format('constraint %s.%s %s %s %s', relname, conname, pg_get_constraintdef(pg_constraint.oid), convalidated, condeferrable)
    FROM ours JOIN pg_constraint ON conrelid = ours.oid WHERE contype <> 'n'
    UNION ALL
    SELECT format('index %s %s %s', pg_get_indexdef(indexrelid), indisvalid, index_class.reloptions)
    FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class AS index_class ON index_class.oid = indexrelid
    UNION ALL
    SELECT format('policy %s.%s %s %s %s %s %s', relname, polname, polcmd, polpermissive, polroles::regrole[],
                  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM ours JOIN pg_policy ON polrelid = ours.oid
    UNION ALL
    SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM ours WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('grant on %s to %s: %s', relname, grantee::regrole, privilege_type)
    FROM ours, aclexplode(relacl) WHERE grantee <> relowner
    UNION ALL
    SELECT format('grant on schema to %s: %s', grantee::regrole, privilege_type)
    FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'dripiq_app' AND grantee <> nspowner
    UNION ALL
    SELECT format('trigger %s.%s %s', relname, tgname, pg_get_triggerdef(pg_trigger.oid))
    FROM ours JOIN pg_trigger ON tgrelid = ours.oid WHERE NOT tgisinternal
    ORDER BY 1
""")

BOOKKEEPING = ("dripiq_alembic_version", "dripiq_host_tables")

Catalog = Callable[..., list[str]]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def catalog() -> Catalog:
    """`catalog(url, partitions=False)`: the lines of the catalog, without the migrations' own bookkeeping."""

    def read(url: str, *, partitions: bool = False) -> list[str]:
        with connected(url) as connection:
            lines = connection.execute(READ_CATALOG, {"partitions": partitions}).scalars().all()
        return [line for line in lines if not any(name in line for name in BOOKKEEPING)]

    return read


@pytest.fixture
def run_sql() -> Callable[..., list[tuple[object, ...]]]:
    """`run_sql(url, statement, …)`: executes statements in one committed transaction and returns the last one's rows."""

    def run(url: str, *statements: str) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        with connected(url) as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows

    return run
