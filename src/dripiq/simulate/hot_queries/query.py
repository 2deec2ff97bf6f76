"""What is a hot statement held to?"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause

from dripiq.db.session import as_tenant
from dripiq.repositories.bulk_samples import Sample
from dripiq.simulate.explain import Run, explain
from dripiq.simulate.hot_queries.parameters import Parameters


@dataclass(frozen=True, slots=True)
class HotQuery:
    """A statement, by the name of its constant, the indexes that it must use (`a|b`: either), the pages that a row may cost, what is executed before it,
    and whether it runs under the tenant's own role, whose policies take part in the plan."""

    name: str
    statement: TextClause
    parameters: Callable[[Sample], Parameters]
    indexes: tuple[str, ...]
    pages: float
    before: TextClause | None = None
    as_tenant: bool = False

    def run(
        self, connection: Connection, sample: Sample, *, mode: str, parents: Mapping[str, str], seconds: float = 60
    ) -> Run:
        """Execute it on the sample, as the role that it is meant for, and undo it (see `explain`)."""
        speaking = as_tenant(connection, sample.tenant_id) if self.as_tenant else nullcontext()
        with speaking:
            parameters = self.parameters(sample)
            return explain(
                connection,
                self.statement,
                parameters,
                mode=mode,
                before=self.before,
                index_parents=parents,
                seconds=seconds,
            )

    def missing(self, used: frozenset[str]) -> list[str]:
        """Which of its indexes a plan that used these did without."""
        return [wanted for wanted in self.indexes if not used.intersection(wanted.split("|"))]
