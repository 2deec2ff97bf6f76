"""Old months of events go as a whole, never the current one, and nobody who writes meanwhile fails or waits for long."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from dripiq.db import partitions
from dripiq.db.partitions import ensure_partitions, list_months, plus
from dripiq.db.retention import drop_expired, find_expired, first_kept
from dripiq.domain.errors import InputError
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.upkeep import drop_partitions

NOW = datetime(2001, 6, 15, 12, tzinfo=UTC)
JUNE = datetime(2001, 6, 1, tzinfo=UTC)
LONGEST_WAIT = 3.0

ADD_EVENT = text("""
    INSERT INTO dripiq_app.message_events (id, tenant_id, provider, event_type, event_at, provider_event_id)
    VALUES (:id, 't', 'sendgrid', 'opened', :at, :id)
""")


@pytest.fixture
def idle(engine: Engine) -> Iterator[Connection]:
    """A connection with no transaction open, on a database with the months February to June 2001, an event in each, and one of 1970."""
    with engine.begin() as setup:
        setup.exec_driver_sql("INSERT INTO dripiq_app.tenants (id, name) VALUES ('t', 'Acme')")
        ensure_partitions(setup, months_ahead=4, now=plus(JUNE, -4))
        for ahead in range(5):
            setup.execute(ADD_EVENT, {"id": f"e{ahead}", "at": plus(JUNE, -ahead)})
        setup.execute(ADD_EVENT, {"id": "zero", "at": datetime(1970, 1, 1, tzinfo=UTC)})
    with engine.connect() as connection:
        yield connection


def left(connection: Connection) -> set[str]:
    with connection.begin():
        return set(connection.exec_driver_sql("SELECT id FROM dripiq_app.message_events").scalars())


def test_what_would_go_is_only_shown_until_it_is_asked_for(idle: Connection) -> None:
    with idle.begin():
        found = find_expired(idle, plus(JUNE, -2), NOW)

    assert [partition.name for partition in found] == ["message_events_y2001m02", "message_events_y2001m03"]
    assert left(idle) == {"e0", "e1", "e2", "e3", "e4", "zero"}


def test_months_go_with_their_events_and_the_default_keeps_its_own(idle: Connection) -> None:
    dropped = drop_expired(idle, plus(JUNE, -2), NOW)

    assert [partition.name for partition in dropped] == ["message_events_y2001m02", "message_events_y2001m03"]
    assert left(idle) == {"e0", "e1", "e2", "zero"}
    assert drop_expired(idle, plus(JUNE, -2), NOW) == []


def test_keeping_months_keeps_the_current_one_and_full_ones_before_it() -> None:
    assert first_kept(NOW, 0) == JUNE
    assert first_kept(NOW, 6) == datetime(2000, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("act", [find_expired, drop_expired])
def test_the_current_month_never_goes(idle: Connection, act: object) -> None:
    with pytest.raises(InputError) as refused:
        act(idle, plus(JUNE, 1), NOW)  # type: ignore[operator]
    idle.rollback()

    assert refused.value.error_code == "month_not_over"
    assert len(left(idle)) == 6


def test_a_month_in_use_is_not_dropped_before_it_is_free(
    engine: Engine, idle: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dripiq.db.retention.LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(partitions, "PAUSE_SECONDS", 0)
    with engine.begin() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM dripiq_app.message_events")
        with pytest.raises(OperationalError, match="lock timeout"):
            drop_expired(idle, JUNE, NOW)
        assert drop_partitions(engine, DatabaseClock(), 1).partitions_dropped == 0

    assert len(drop_expired(idle, JUNE, NOW)) == 4


def test_upkeep_drops_what_was_kept_long_enough(engine: Engine, idle: Connection) -> None:
    with idle.begin():
        months = len(list_months(idle))

    assert drop_partitions(engine, DatabaseClock(), 1).partitions_dropped == 5

    with idle.begin():
        assert len(list_months(idle)) == months - 5
    assert left(idle) == {"zero"}


@pytest.mark.parametrize(("keep_months", "gone"), [(None, 0), (1, 5)])
def test_a_worker_drops_old_months_only_where_a_setting_asks_for_it(
    engine: Engine, idle: Connection, keep_months: int | None, gone: int
) -> None:
    with idle.begin():
        months = len(list_months(idle))
    worker = Worker(Outbox(engine, DatabaseClock(), {}), Pace(keep_months=keep_months))

    asyncio.run(worker.run_until_idle())

    with idle.begin():
        assert len(list_months(idle)) == months - gone


def test_months_are_made_and_dropped_while_others_write_and_nobody_fails(engine: Engine, idle: Connection) -> None:
    done = threading.Event()
    waits: list[float] = []
    failures: list[Exception] = []
    at = idle.exec_driver_sql("SELECT now()").scalar_one()
    idle.rollback()

    def write(name: str) -> None:
        number = 0
        while not done.is_set():
            started = time.monotonic()
            try:
                with engine.begin() as connection:
                    for when in (at, datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)):
                        number += 1
                        connection.execute(ADD_EVENT, {"id": f"{name}{number}", "at": when})
                        connection.exec_driver_sql("SELECT count(*) FROM dripiq_app.message_events WHERE id = 'e0'")
            except Exception as error:  # whatever it is, it must not happen
                failures.append(error)
                return
            waits.append(time.monotonic() - started)
            written[name] = number

    written: dict[str, int] = {}
    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    try:
        for year in (2030, 2031):
            assert len(ensure_partitions(idle, months_ahead=3, now=datetime(year, 1, 1, tzinfo=UTC))) == 4
        assert len(ensure_partitions(idle, months_ahead=0, now=datetime(2100, 1, 1, tzinfo=UTC))) == 1
        assert len(drop_expired(idle, JUNE, NOW)) == 4
    finally:
        done.set()
        for writer in writers:
            writer.join(timeout=30)

    assert failures == []
    assert max(waits) < LONGEST_WAIT
    assert len(left(idle)) == sum(written.values()) + 2
    with idle.begin():
        in_2100 = idle.exec_driver_sql("SELECT count(*) FROM dripiq_app.message_events_y2100m01").scalar_one()
    assert in_2100 == sum(written.values()) // 3
