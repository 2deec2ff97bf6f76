"""How is a table reached on behalf of one tenant?

- A repository is made for one tenant, and every statement it sends names that tenant: no argument reaches another's row.
- One statement, however many rows. A refused write leaves nothing behind, and the caller's transaction goes on (a savepoint).
- What is returned is what the database holds now, whatever the session had loaded before.
- What may be done is what there is a method for: `ReadRepository` reads, `AppendRepository` also creates, `TenantRepository` also changes.
- Nothing is committed here: the session's transaction is the caller's.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Table,
    delete,
    func,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from dripiq.domain.errors import ConflictError, InputError, NotFoundError
from dripiq.repositories.host_references import belong_to_tenant, host_columns
from dripiq.repositories.inserting import insert_rows
from dripiq.repositories.refusals import refusals_named
from dripiq.schema.base import TenantKeyed
from dripiq.schema.ids import new_ids

Entity = TypeVar("Entity", bound=TenantKeyed)
New = TypeVar("New", bound=Mapping[str, object])

Condition = ColumnExpressionArgument[bool]

MAX_PAGE = 1000
_FIXED = frozenset({"tenant_id", "id", "created_at"})


@dataclass(frozen=True, slots=True)
class Page(Generic[Entity]):
    """Some rows in the order of their ids; `next` is the `after` of the following page, None on the last."""

    items: tuple[Entity, ...]
    next: str | None


class ReadRepository(Generic[Entity]):
    """Reads one table for one tenant.

    Attributes:
        entity: the table's entity.
        identity: the columns which, with the tenant, make a row unique beside its id.
    """

    entity: type[Entity]
    identity: tuple[str, ...]

    def __init__(self, session: Session, tenant_id: str) -> None:
        """Bind to a session and a tenant.

        Raises:
            InputError: `no_tenant` where the tenant is empty: there is no repository over everybody's rows.
        """
        if not (tenant_id and tenant_id.strip()):
            raise InputError("A repository needs a tenant: pass the id of one.", code="no_tenant")
        self._session = session
        self._tenant_id = tenant_id

    @property
    def tenant_id(self) -> str:
        """Whose rows these are."""
        return self._tenant_id

    def get(self, id: str) -> Entity | None:
        """The row of that id, None where this tenant has none."""
        return self._first(self.entity.id == id)

    def count(self, **filters: object) -> int:
        """How many rows the filters leave (see `list`)."""
        query = select(func.count()).select_from(self.entity).where(*self._where(filters))
        with refusals_named(self._table):
            return self._session.execute(query).scalar_one()

    def list(self, *, after: str | None = None, limit: int = 100, **filters: object) -> Page[Entity]:
        """One page of rows in the order of their ids, which the primary key serves at any depth.

        Pages taken one after the other show each row that stays from the first to the last exactly once, whatever is inserted meanwhile.

        Args:
            after: the `next` of the page before.
            limit: 1 to 1000 rows.
            filters: a column's value; several values (any of them); None (the column is null).

        Raises:
            InputError: `limit` is out of bounds, or a filter names no column.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InputError(f"limit is {limit}: ask for 1 to {MAX_PAGE} rows.", facts={"limit": limit})
        conditions = [*self._where(filters)] if after is None else [*self._where(filters), self.entity.id > after]
        rows = self._all(*conditions, order=(self.entity.id,), limit=limit + 1)
        return Page(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)

    @property
    def _table(self) -> Table:
        return cast("Table", inspect(self.entity).local_table)

    def _first(self, *conditions: Condition, order: Sequence[Any] = ()) -> Entity | None:
        """The tenant's first row that meets the conditions."""
        return next(iter(self._all(*conditions, order=order, limit=1)), None)

    def _all(self, *conditions: Condition, order: Sequence[Any] = (), limit: int | None = None) -> Sequence[Entity]:
        """The tenant's rows that meet the conditions."""
        query = select(self.entity).where(self._mine, *conditions).order_by(*order).limit(limit)
        with refusals_named(self._table):
            return self._session.scalars(query, execution_options={"populate_existing": True}).all()

    @property
    def _mine(self) -> ColumnElement[bool]:
        return self.entity.tenant_id == self._tenant_id

    def _where(self, filters: Mapping[str, object]) -> Sequence[Condition]:
        self._refuse_unknown(filters, {"tenant_id"})
        conditions: list[Condition] = [self._mine]
        for name, value in filters.items():
            column = self._table.c[name]
            if isinstance(value, (AbstractSet, tuple, list)):
                conditions.append(column.in_(list(value)))
            else:
                conditions.append(column.is_not_distinct_from(value) if value is None else column == value)
        return conditions

    def _refuse_unknown(self, names: Mapping[str, object], fixed: AbstractSet[str]) -> None:
        for name in names:
            facts = {"column": name, "table": self._table.name}
            if name in fixed:
                raise InputError(f"{self._table.name}.{name} can't be given here: leave it out.", facts=facts)
            if name not in self._table.c:
                near = get_close_matches(name, [c.name for c in self._table.c], n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(c.name for c in self._table.c)}."
                raise InputError(f"{self._table.name} has no column {name!r}: {hint}", facts=facts)


class AppendRepository(ReadRepository[Entity], Generic[Entity, New]):
    """Reads one table for one tenant, and adds to it."""

    def create(self, new: New) -> Entity:
        """Insert one row; see `create_many`."""
        return self.create_many([new])[0]

    def create_many(self, news: Sequence[New]) -> list[Entity]:
        """Insert rows in one statement, all or none; the entities come in the order given.

        Raises:
            InputError: a key is unknown or missing, or a value breaks a rule of the table.
            ConflictError: a unique key is taken; `facts["columns"]` names it.
            NotFoundError: a lead, contact or user is not this tenant's, or a row that is pointed to does not exist.
        """
        if not news:
            return []
        rows = self._rows_of(news)
        self._before_write(rows)
        with refusals_named(self._table), self._session.begin_nested():
            made = {entity.id: entity for entity in self._insert(rows)}
            if len(made) < len(rows):
                for entity in made.values():  # the savepoint takes their rows back
                    self._session.expunge(entity)
                raise self._foreign([row for row in rows if row["id"] not in made])
        return [made[str(row["id"])] for row in rows]

    def get_or_create(self, new: New) -> tuple[Entity, bool]:
        """The row with `new`'s identity, inserted if there is none; and whether it was inserted now.

        Any number of callers at once get the same row, one of them with True. A row that is there stays as it is.

        Raises:
            InputError, ConflictError (a key other than the identity is taken), NotFoundError: as in `create_many`.
        """
        rows = self._rows_of([new])
        self._before_write(rows)
        same = [self._table.c[name].is_not_distinct_from(rows[0].get(name)) for name in self.identity]
        for _ in range(3):  # who was in the way may be deleted before it can be read
            with refusals_named(self._table), self._session.begin_nested():
                made = self._insert(rows, unless_there=True)
            if made:
                return made[0], True
            if (there := self._first(*same)) is not None:
                return there, False
        if host_columns(self._table).keys() & rows[0].keys():
            raise self._foreign(rows)
        raise ConflictError("The row was deleted again and again while it was being made: try once more.")

    def _before_write(self, rows: Sequence[Mapping[str, object]] | None) -> None:
        """What must come before a write in its transaction; `rows` is None where rows are changed by id."""

    def _rows_of(self, news: Sequence[New]) -> list[dict[str, object]]:
        """The rows to insert, each with its id."""
        required = {c.name for c in self._table.c if not c.nullable and c.server_default is None and c.default is None}
        for new in news:
            self._refuse_unknown(new, {"tenant_id"})
            for name in (
                *sorted(required - {"tenant_id"} - new.keys()),
                *(n for n, value in new.items() if value is None),
            ):
                if not self._table.c[name].nullable:
                    facts = {"column": name, "table": self._table.name}
                    raise InputError(f"{self._table.name}.{name} needs a value.", facts=facts)
        return [{"id": id, **new} for id, new in zip(new_ids(len(news)), news, strict=True)]

    def _insert(self, rows: Sequence[Mapping[str, object]], *, unless_there: bool = False) -> Sequence[Entity]:
        unless = ("tenant_id", *self.identity) if unless_there else ()
        statement = insert_rows(self._table, self._tenant_id, rows, unless_there=unless)
        loaded = select(self.entity).from_statement(statement.returning(*self._table.c))
        return self._session.scalars(loaded, execution_options={"populate_existing": True}).all()

    def _foreign(self, rows: Sequence[Mapping[str, object]]) -> NotFoundError:
        given = {name: rows[0][name] for name in sorted(host_columns(self._table).keys() & rows[0].keys())}
        named = ", ".join(f"{name} {value!r}" for name, value in given.items())
        return NotFoundError(
            f"{self._table.name}: {named} can't be found for this tenant; name people and leads of its own, that belong together.",
            facts={"table": self._table.name, "rows": len(rows), **given},
        )


class TenantRepository(AppendRepository[Entity, New]):
    """Reads, adds to, changes and deletes the rows of one table for one tenant."""

    def update(self, id: str, changes: Mapping[str, object]) -> Entity | None:
        """Change columns of one row; None where this tenant has no such row.

        `updated_at` moves with every update, forward: the database's time unless the changes bring the engine's.

        Raises:
            InputError: a key is unknown or can't be changed (`id`, `tenant_id`, `created_at`), or a value breaks a rule of the table.
            ConflictError: a unique key is taken; `facts["columns"]` names it.
            NotFoundError: a lead, contact or user is not this tenant's, or a row that is pointed to does not exist.
        """
        self._refuse_unknown(changes, _FIXED)
        self._before_write(None)
        if not changes:
            return self.get(id)
        table = self._table
        moment = func.greatest(func.now(), table.c.updated_at + text("'1 microsecond'::interval"))
        statement = (
            update(table)
            .where(table.c.tenant_id == self._tenant_id, table.c.id == id, *self._still_hold(changes))
            .where(
                *belong_to_tenant(table, self._tenant_id, {n: literal(v, table.c[n].type) for n, v in changes.items()})
            )
            .values({"updated_at": moment, **changes})
            .returning(*table.c)
        )
        loaded = select(self.entity).from_statement(statement)
        with refusals_named(table), self._session.begin_nested():
            changed = self._session.scalars(loaded, execution_options={"populate_existing": True}).first()
        if changed is not None or (there := self.get(id)) is None:
            return changed
        if host_columns(table).keys() & changes.keys():
            raise self._foreign([changes])
        return there

    def delete(self, id: str) -> bool:
        """Delete one row, and by its keys what hangs on it; whether this tenant had it."""
        self._before_write(None)
        gone = delete(self.entity).where(self._mine, self.entity.id == id).returning(self.entity.id)
        with refusals_named(self._table):
            return self._session.execute(gone).first() is not None

    def _still_hold(self, changes: Mapping[str, object]) -> Sequence[Condition]:
        """What must hold of the stored row; where it does not, an update changes nothing."""
        return ()
