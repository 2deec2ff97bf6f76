"""What do all tables have in common?

- One PostgreSQL schema, `dripiq_app`; one naming convention for keys, indexes and checks, so that migrations can name what they change.
- A campaign table is keyed by (tenant_id, id), and a key between campaign tables carries the tenant: no row can point into another tenant.
- Fixed vocabularies are `text` with a named CHECK built from the enums of `dripiq.domain`.
- Relations are for reading (`viewonly`): rows are written through their keys, and the database itself cascades a delete.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Interval,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dripiq.schema.ids import new_id

SCHEMA = "dripiq_app"

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

type_annotation_map: dict[Any, Any] = {
    str: Text(),
    bytes: LargeBinary(),
    datetime: DateTime(timezone=True),
    timedelta: Interval(),
    dict[str, Any]: JSONB(none_as_null=True),
    list[Any]: JSONB(none_as_null=True),
}


class Base(DeclarativeBase):
    """The declarative base of every table in `dripiq_app`."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = type_annotation_map


class Stamped:
    """When a row came and when it last changed: UTC, the database's clock unless the writer passes the engine's."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now(), sort_order=91)


class TenantKeyed(Stamped):
    """A row that belongs to one tenant: PRIMARY KEY (tenant_id, id), deleted with its tenant."""

    tenant_id: Mapped[str] = mapped_column(
        ForeignKey(f"{SCHEMA}.tenants.id", ondelete="CASCADE"), primary_key=True, sort_order=-2
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)


W = TypeVar("W", bound=StrEnum)


class Word(TypeDecorator[W]):
    """A word of a fixed vocabulary: `text` in the database, the enum's member in Python."""

    impl = Text
    cache_ok = True

    def __init__(self, vocabulary: type[W]) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def process_bind_param(self, value: W | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:
        return None if value is None else self.vocabulary(value)


def one_of(column: str, vocabulary: type[StrEnum]) -> CheckConstraint:
    """The CHECK that a column holds a word of its vocabulary."""
    words = ", ".join(f"'{word}'" for word in vocabulary)
    return CheckConstraint(f"{column} IN ({words})", name=column)


def lower_case(column: str) -> CheckConstraint:
    """The CHECK that an address is stored lower-case, so that equal addresses are equal text."""
    return CheckConstraint(f"{column} = lower({column})", name=f"{column}_lower")


def belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    """A key to a campaign table of the same tenant; the row is deleted with its parent."""
    return ForeignKeyConstraint(["tenant_id", column], _keys_of(table), ondelete="CASCADE")


def may_lose(table: str, column: str) -> ForeignKeyConstraint:
    """A key to a campaign table of the same tenant; `column` alone becomes null when its parent is deleted."""
    return ForeignKeyConstraint(["tenant_id", column], _keys_of(table), ondelete=f"SET NULL ({column})")


def _keys_of(table: str) -> list[str]:
    return [f"{SCHEMA}.{table}.tenant_id", f"{SCHEMA}.{table}.id"]
