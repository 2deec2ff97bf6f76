"""How does Alembic run a revision here?

`dripiq.db.migrate` hands in the connection, which holds no open transaction, and how long to wait for a lock. Going up, each revision is a transaction
of its own; going back, all of them are one, so that a refusal changes nothing. A table lock that cannot be had in time gives up, for a queued one
would hold up the whole application behind it. Offline, the SQL is printed to be run by hand, and nothing is connected to.
"""

from alembic import context
from sqlalchemy import Connection

from dripiq.db.standing import VERSION_TABLE
from dripiq.migrations.adoption import check_host
from dripiq.migrations.indexes import ON_DEMAND
from dripiq.schema import SCHEMA, Base


def is_declared(name: str | None, kind: str, parent_names: object) -> bool:
    """Whether `alembic check` compares this: not our bookkeeping, not the partitions, which come and go by the month, not what was built on demand."""
    if kind == "schema":
        return name == SCHEMA
    if kind == "table":
        return name in {table.name for table in Base.metadata.tables.values()}
    return kind != "index" or name not in {index.name for index in ON_DEMAND.values()}


def print_migrations() -> None:
    """Print what the command asks for, each revision a transaction of its own."""
    settings = context.config.attributes
    context.configure(
        dialect_name="postgresql",
        # Else it would double every percent sign, as drivers want it.
        dialect_opts={"paramstyle": "named"},
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
        output_buffer=settings["output"],
    )
    context.static_output(f"SET lock_timeout = '{settings['lock_timeout']}';")
    context.static_output("SET statement_timeout = 0;")
    if context.get_starting_revision_argument() is None and settings["going_up"]:
        context.static_output(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};")
    with context.begin_transaction():
        context.run_migrations()


def run_migrations(connection: Connection) -> None:
    """Run what the command asks for."""
    settings = context.config.attributes
    connection.exec_driver_sql(f"SET lock_timeout = '{settings['lock_timeout']}'")
    # A host may limit its role's statements to seconds; building an index takes what it takes.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_schemas=True,
        include_name=is_declared,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        transaction_per_migration=settings["going_up"],
        compare_server_default=True,
    )
    if not context.get_context().get_current_heads():
        check_host(connection)
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.commit()
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_migrations()
else:
    run_migrations(context.config.attributes["connection"])
