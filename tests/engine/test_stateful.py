"""Whatever happens to campaigns, in any order: nothing is sent twice, nothing is stuck, nothing leaves that was closed, and everything comes to its end.

DRIPIQ_TEST_EXAMPLES=2000 hunts for longer.
"""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, event

from dripiq.db.session import make_engine
from dripiq.engine.faults import watch_statements
from tests.engine.campaign_machine_stories import Stories
from tests.engine.campaign_world import settle_neighbour

EXAMPLES = int(os.environ.get("DRIPIQ_TEST_EXAMPLES", "16"))


def connect(url: str) -> Engine:
    """Whoever finds something locked hears so at once: the one who holds it waits for this very thread."""
    engine = make_engine(url, pool_size=6)
    event.listen(
        engine, "connect", lambda connection, _: (connection.execute("SET lock_timeout = '30ms'"), connection.commit())
    )
    return engine


@pytest.fixture
def campaigns(database: str) -> Iterator[type[Stories]]:
    workers, others = connect(database), connect(database)
    watch_statements(workers, lambda point: Bound.reached(point))

    class Bound(Stories):
        pass

    Bound.workers, Bound.others = workers, others
    Bound.neighbour_id = settle_neighbour(others)
    yield Bound
    workers.dispose()
    others.dispose()


@pytest.mark.timeout(0 if EXAMPLES > 20 else 300)
def test_whatever_happens_in_whatever_order_nothing_is_twice_lost_or_stuck(campaigns: type[Stories]) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    chosen = settings(max_examples=EXAMPLES, stateful_step_count=25, suppress_health_check=checks)
    run_state_machine_as_test(campaigns, settings=chosen)
    sys.stdout.write(f"{dict(sorted(campaigns.tally.items()))}\n")
