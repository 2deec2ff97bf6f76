"""Make the host tables that the database does not have, and record which those are: only they are dropped by going back."""

from alembic import context, op
from sqlalchemy import text

from dripiq.migrations.adoption import HOST_TABLES, existing_host_tables
from dripiq.migrations.scripts import drop_tables, in_block, run, statements_of

revision = "0024"
down_revision = None
branch_labels = None
depends_on = None

RECORD_OWN_TABLE = text("INSERT INTO dripiq_app.dripiq_host_tables (table_name) VALUES (:table_name)")


def upgrade() -> None:
    op.execute(
        "CREATE TABLE dripiq_app.dripiq_host_tables (table_name text CONSTRAINT pk_dripiq_host_tables PRIMARY KEY)"
    )
    statements = statements_of(__file__)
    if context.is_offline_mode():
        for table in HOST_TABLES:
            op.execute(_where_missing(table, [statement for statement in statements if _is_about(table, statement)]))
        return
    connection = op.get_bind()
    adopted = existing_host_tables(connection)
    for table in HOST_TABLES:
        if table not in adopted:
            run(statement for statement in statements if _is_about(table, statement))
            connection.execute(RECORD_OWN_TABLE, {"table_name": table})


def downgrade() -> None:
    if context.is_offline_mode():
        op.execute(in_block("\n".join(_where_own(table) for table in reversed(HOST_TABLES))))
        op.execute("DROP TABLE dripiq_app.dripiq_host_tables")
        return
    own = set(op.get_bind().exec_driver_sql("SELECT table_name FROM dripiq_app.dripiq_host_tables").scalars())
    if own:
        drop_tables([table for table in HOST_TABLES if table in own])
    op.execute("DROP TABLE dripiq_app.dripiq_host_tables")


def _is_about(table: str, statement: str) -> bool:
    return f"TABLE dripiq_app.{table} (" in statement or f"ON dripiq_app.{table} (" in statement


def _where_missing(table: str, statements: list[str]) -> str:
    """What `upgrade` does for one table, as SQL that looks for itself whether the host has it."""
    record = f"INSERT INTO dripiq_app.dripiq_host_tables (table_name) VALUES ('{table}')"  # noqa: S608
    made = "\n".join(f"{statement};" for statement in [*statements, record])
    return in_block(f"IF to_regclass('dripiq_app.{table}') IS NULL THEN\n{made}\nEND IF;")


def _where_own(table: str) -> str:
    return f"""IF EXISTS (SELECT FROM dripiq_app.dripiq_host_tables WHERE table_name = '{table}') THEN
    LOCK TABLE dripiq_app.{table} IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM dripiq_app.{table}) THEN
        RAISE EXCEPTION 'Going back would lose the rows of {table}: copy and delete them first.';
    END IF;
    DROP TABLE dripiq_app.{table};
END IF;"""  # noqa: S608
