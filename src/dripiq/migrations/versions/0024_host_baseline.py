"""Make the host tables that the database does not have, and record which those are: only they are dropped by going back."""

from alembic import op
from sqlalchemy import text

from dripiq.migrations.adoption import HOST_TABLES, existing_host_tables
from dripiq.migrations.scripts import drop_tables, run, statements_of

revision = "0024"
down_revision = None
branch_labels = None
depends_on = None

RECORD_OWN_TABLE = text("INSERT INTO dripiq_app.dripiq_host_tables (table_name) VALUES (:table_name)")


def upgrade() -> None:
    connection = op.get_bind()
    adopted = existing_host_tables(connection)
    op.execute(
        "CREATE TABLE dripiq_app.dripiq_host_tables (table_name text CONSTRAINT pk_dripiq_host_tables PRIMARY KEY)"
    )
    statements = statements_of(__file__)
    for table in HOST_TABLES:
        if table not in adopted:
            run(statement for statement in statements if _is_about(table, statement))
            connection.execute(RECORD_OWN_TABLE, {"table_name": table})


def downgrade() -> None:
    own = set(op.get_bind().exec_driver_sql("SELECT table_name FROM dripiq_app.dripiq_host_tables").scalars())
    if own:
        drop_tables([table for table in HOST_TABLES if table in own])
    op.execute("DROP TABLE dripiq_app.dripiq_host_tables")


def _is_about(table: str, statement: str) -> bool:
    return f"TABLE dripiq_app.{table} (" in statement or f"ON dripiq_app.{table} (" in statement
