"""Do the statements that run all the time use their indexes, and touch pages in proportion to their rows, not to the tables'?

A database is filled twice, with ten times as many rows the second time; enough for the indexes to be as deep as those of a large one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text

from dripiq.repositories import outbox, queue
from dripiq.repositories.bulk_samples import READ_INDEX_PARENTS, Sample, read_sample
from dripiq.schema import Base
from dripiq.simulate.bulk_rows import Scale
from dripiq.simulate.bulk_seed import seed_bulk
from dripiq.simulate.explain import PLAN_MODES, Run, explain
from dripiq.simulate.hot_queries.listing import hot_queries
from dripiq.simulate.hot_queries.query import HotQuery

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WHOLE = Scale(events=100_000, messages=100_000, actions=100_000, campaigns=20_000, tenants=50)
TENTH = WHOLE.part(0.1)
TINY = Scale(events=2_000, messages=2_000, actions=2_000, campaigns=1_000, tenants=20)
MOST_GROWTH = 1.3

GROWING = {"queue.CLAIM_DUE", "intake.INSERT_EVENTS", "standing.READ_RECORDED"}
"""Claims and events. The bound on pages holds for all; of the others, what looks like growth here is an index's next level (see `docs/indexes.md`)."""

SMALL_TABLES = {"preparing.READ_SUPPRESSED", "intake.FINISH_DELIVERIES"}
"""Whose tables are a few pages here, so that reading all of them is right; `docs/indexes.md` has them at full size."""

Runs = dict[tuple[str, str], Run]


@contextmanager
def sampled(engine: Engine) -> Iterator[tuple[Connection, Sample, dict[str, str]]]:
    """A connection in a transaction that is rolled back, rows to ask for, and the parents of partitions' indexes."""
    with engine.connect() as connection, connection.begin() as transaction:
        parents = {row.name: row.parent for row in connection.execute(READ_INDEX_PARENTS)}
        yield connection, read_sample(connection, 100), parents
        transaction.rollback()


def run_all(engine: Engine, queries: tuple[HotQuery, ...]) -> Runs:
    with sampled(engine) as (connection, sample, parents):
        return {
            (query.name, mode): query.run(connection, sample, mode=mode, parents=parents)
            for query in queries
            for mode in PLAN_MODES
        }


def fill(url: str, scale: Scale, **options: Any) -> Engine:
    engine = create_engine(url)
    seed_bulk(engine, scale, seed=1, now=NOW, told=lambda table, rows: None, **options)
    return engine


def test_hot_queries_use_their_indexes_and_touch_pages_in_proportion_to_their_rows(
    postgres_server: Any, template_database: str
) -> None:
    queries = hot_queries()
    runs = []
    for scale in (TENTH, WHOLE):
        with postgres_server.database(template_database) as url:
            engine = fill(url, scale)
            runs.append(run_all(engine, queries))
            engine.dispose()
    few, many = runs

    without_index = {
        (query.name, mode): (missing, sorted(many[query.name, mode].indexes))
        for query in queries
        for mode in PLAN_MODES
        if query.name not in SMALL_TABLES and (missing := query.missing(many[query.name, mode].indexes))
    }
    assert without_index == {}

    too_many_pages = {
        (query.name, mode, round(run[query.name, mode].buffers_per_row, 1), query.pages)
        for query in queries
        for mode in PLAN_MODES
        for run in runs
        if run[query.name, mode].buffers_per_row > query.pages
    }
    assert too_many_pages == set()

    growth = {key: round(many[key].buffers_per_row / few[key].buffers_per_row, 2) for key in many if key[0] in GROWING}
    assert {key: ratio for key, ratio in growth.items() if ratio >= MOST_GROWTH} == {}


def test_a_claim_does_not_wade_through_other_tenants_queues(database: str) -> None:
    engine = fill(database, TINY)
    with sampled(engine) as (connection, sample, _):
        big = {"tenant_id": sample.tenant_id, "now": sample.now}
        # The tenant that has most of all that is pending has hardly anything due, and after everybody else.
        connection.execute(
            text("""
                INSERT INTO dripiq_app.scheduled_actions
                    (tenant_id, id, contact_campaign_id, node_id, visit, action_type, run_at, status, dedupe_key)
                SELECT tenant_id, id || n, id, 'x', n, 'send', :now + n * INTERVAL '1 hour' * CASE WHEN tenant_id = :tenant_id THEN 1 ELSE -1 END,
                    'pending', id || n
                FROM dripiq_app.contact_campaigns, generate_series(1, 20) AS n
            """),
            big,
        )
        connection.execute(text("ANALYZE dripiq_app.scheduled_actions"))
        others = connection.execute(
            text("SELECT count(*) FROM dripiq_app.scheduled_actions WHERE tenant_id <> :tenant_id AND run_at < :now"),
            big,
        ).scalar_one()
        claim = {**big, "token": "t", "lease_until": sample.now + timedelta(minutes=2), "limit": 100}
        run = explain(connection, queue.CLAIM_DUE, claim, before=queue.KEEP_TO_OWN_QUEUE)
    engine.dispose()

    assert others > 5_000
    assert "idx_scheduled_actions_ready" not in run.indexes
    assert run.buffers < 40 * max(run.rows, 5)


def test_committing_to_send_probes_its_campaigns_even_where_nothing_is_known_of_the_tables(database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name != "message_events":
                connection.execute(text(f"ALTER TABLE {table.fullname} SET (autovacuum_enabled = false)"))
    engine.dispose()
    engine = fill(database, Scale(10_000, 10_000, 10_000, 10_000, 20), statistics=False)
    with sampled(engine) as (connection, sample, _):
        queued = [message.id for message in sample.in_hand if message.status == "queued"][:20]
        parameters = {"tenant_id": sample.tenant_id, "channel": "email", "ids": queued, "now": sample.now}
        runs = {mode: explain(connection, outbox.COMMIT_TO_SEND, parameters, mode=mode) for mode in PLAN_MODES}
        known = connection.execute(
            text("SELECT count(*) FROM pg_statistic WHERE starelid = 'dripiq_app.contact_campaigns'::regclass")
        ).scalar_one()
    engine.dispose()

    assert known == 0
    for mode, run in runs.items():
        assert "pk_contact_campaigns" in run.indexes, mode
        assert run.rows > 10
        assert run.buffers_per_row < 70


def test_the_same_seed_makes_the_same_rows(postgres_server: Any, template_database: str) -> None:
    sums = []
    for _ in range(2):
        with postgres_server.database(template_database) as url:
            engine = fill(url, TINY)
            sums.append(checksums(engine))
            engine.dispose()
    assert sums[0] == sums[1]


def checksums(engine: Engine) -> dict[str, int]:
    """A sum over each table's rows, without the times at which they were loaded."""
    found = {}
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            query = f"SELECT coalesce(sum(hashtext((to_jsonb(t) - 'created_at' - 'updated_at')::text)::bigint), 0) FROM {table.fullname} AS t"
            found[table.name] = connection.execute(text(query)).scalar_one()
    return found
