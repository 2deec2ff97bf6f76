"""How do the declared tables look, drawn and described?

`render()` is `docs/schema.md`, from nothing but the declarations: an entity-relationship diagram (Mermaid), and a dictionary of every table. After a change,
`python -m dripiq.schema.drawing > docs/schema.md`; a test says when it is due.
"""

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from inspect import cleandoc
from typing import Any, cast

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.schema import CreateIndex

from dripiq.schema import SCHEMA, Base, campaigns, contacts, engine, hosts, messages, senders, webhooks
from dripiq.schema.base import Word

FAMILIES = (hosts, senders, campaigns, messages, webhooks, contacts, engine)

INTRODUCTION = f"""# The schema

Drawn from the code by `python -m dripiq.schema.drawing`; change the declarations in `src/dripiq/schema`, not this file.

All tables are in the PostgreSQL schema `{SCHEMA}`. Times are `timestamptz`, ids cuid2. Every table but the host's is keyed by its tenant and its id, and goes
with its tenant (`tenant_id` → `tenants`, on delete cascade): the diagram leaves that line out, and the columns `created_at` and `updated_at`.
"""

_postgresql = dialect()  # type: ignore[no-untyped-call]
_SHORT = {"timestamp with time zone": "timestamptz"}
_LEFT_OUT = frozenset({"created_at", "updated_at"})


def render() -> str:
    """The document, as Markdown."""
    parts = [INTRODUCTION, "## How they hang together", "", "```mermaid", "erDiagram", *_diagram(), "```", ""]
    for family in FAMILIES:
        first, *rest = cleandoc(family.__doc__ or "").split("\n\n")
        parts += [f"## {first}", "", *(f"{_flat(text)}\n" for text in rest)]
        for entity in _entities(family):
            parts += _described(entity)
    return "\n".join(parts).rstrip() + "\n"


def _entities(family: Any) -> list[type[Base]]:
    """The entities that a module declares, in its order."""
    found = [mapper.class_ for mapper in Base.registry.mappers if mapper.class_.__module__ == family.__name__]
    order = list(vars(family))
    return sorted(found, key=lambda entity: order.index(entity.__name__))


def _table(entity: type[Base]) -> Table:
    return cast("Table", entity.__table__)


def _diagram() -> Iterator[str]:
    tables = [_table(entity) for family in FAMILIES for entity in _entities(family)]
    for table in tables:
        for key in _keys(table):
            referring = _referring(key)
            parent = "|o" if referring.nullable else "||"
            yield f'    {key.referred_table.name} {parent}--o{{ {table.name} : "{referring.name}, {_on_delete(key)}"'
    for table in tables:
        yield f"    {table.name} {{"
        for column in table.columns:
            if column.name not in _LEFT_OUT:
                marks = [mark for mark, holds in (("PK", column.primary_key), ("FK", column.foreign_keys)) if holds]
                kind = _type(column).partition("(")[0]
                yield f"        {kind} {column.name} {', '.join(marks)}".rstrip()
        yield "    }"


def _described(entity: type[Base]) -> Iterator[str]:
    table = _table(entity)
    yield f"### {table.name}"
    yield ""
    for paragraph in cleandoc(entity.__doc__ or "").split("\n\n"):
        yield f"{_flat(paragraph)}\n"
    yield "| column | type | may be null | default | |"
    yield "|---|---|---|---|---|"
    for column in table.columns:
        nullable = "yes" if column.nullable else ""
        yield f"| `{column.name}` | {_type(column)} | {nullable} | {_default(column)} | {_remark(table, column)} |"
    yield ""
    yield from _rules(table)
    yield ""


def _remark(table: Table, column: Column[Any]) -> str:
    key = next((key for key in _keys(table, tenants=True) if _referring(key) is column), None)
    words = column.type.vocabulary if isinstance(column.type, Word) else None
    said = [] if key is None else [f"→ `{key.referred_table.name}`, on delete {_on_delete(key)}"]
    said += [_words(words)] if words is not None else []
    return "; ".join(said)


def _rules(table: Table) -> Iterator[str]:
    """Keys, checks that are no vocabulary, indexes, partitioning and storage."""
    yield f"- primary key ({_names(table.primary_key.columns)})"
    for unique in _sorted(table, UniqueConstraint):
        nulls = ", nulls not distinct" if unique.dialect_options["postgresql"]["nulls_not_distinct"] else ""
        yield f"- unique `{unique.name}` ({_names(unique.columns)}{nulls})"
    vocabularies = {str(column.name) for column in table.columns if isinstance(column.type, Word)}
    for check in _sorted(table, CheckConstraint):
        if str(check.name).removeprefix(f"ck_{table.name}_") not in vocabularies:
            yield f"- check `{check.sqltext}`"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"- {'unique ' if index.unique else ''}index `{index.name}` {_indexed(index)}"
    options = table.dialect_options["postgresql"]
    if options["partition_by"]:
        yield f"- partitioned by `{options['partition_by']}`, a partition for each month and a default one"
    if options["with"]:
        yield f"- stored with {', '.join(f'`{name} = {value}`' for name, value in options['with'].items())}"


def _keys(table: Table, *, tenants: bool = False) -> list[ForeignKeyConstraint]:
    keys = sorted(table.foreign_key_constraints, key=lambda key: str(key.name))
    return [key for key in keys if tenants or table in _host_tables() or key.referred_table.name != "tenants"]


def _host_tables() -> list[Table]:
    return [_table(entity) for entity in _entities(hosts)]


def _referring(key: ForeignKeyConstraint) -> Column[Any]:
    """The column that points; the tenant, which every key carries, only where it is all there is."""
    columns = list(key.columns)
    return next((column for column in columns if column.name != "tenant_id"), columns[0])


def _on_delete(key: ForeignKeyConstraint) -> str:
    return "set null" if (key.ondelete or "").startswith("SET NULL") else (key.ondelete or "no action").lower()


def _sorted(table: Table, kind: type[Any]) -> list[Any]:
    return sorted((each for each in table.constraints if type(each) is kind), key=lambda each: str(each.name))


def _indexed(index: Index) -> str:
    """What stands after the table's name in its CREATE INDEX."""
    statement = str(CreateIndex(index).compile(dialect=_postgresql))
    assert index.table is not None
    return _flat(statement.partition(f"ON {index.table.fullname} ")[2])


def _type(column: Column[Any]) -> str:
    name = column.type.compile(dialect=_postgresql).lower()
    return _SHORT.get(name, name)


def _default(column: Column[Any]) -> str:
    default = column.server_default
    if default is None:
        return "made by the application" if column.default is not None else ""
    argument = default.arg  # type: ignore[attr-defined]  # all are DefaultClause
    return f"`{argument}`"


def _words(vocabulary: type[StrEnum]) -> str:
    return "one of " + ", ".join(f"`{word}`" for word in vocabulary)


def _names(columns: Any) -> str:
    return ", ".join(column.name for column in cast("Sequence[Column[Any]]", columns))


def _flat(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(render())
