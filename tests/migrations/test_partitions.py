"""Every event is stored, whatever its time; months have partitions of their own, made ahead, and rows find their way into them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from dripiq.db import partitions
from dripiq.db.partitions import _name, ensure_partitions, list_months, month_of, plus, read_default
from dripiq.domain.errors import DatabaseError

NOW = datetime(2031, 11, 15, 12, tzinfo=UTC)
MONTHS = ["message_events_y2031m11", "message_events_y2031m12", "message_events_y2032m01"]

# Hypothesis draws naive times; the test gives them zones.
YEAR_1971, YEAR_2999 = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1971, 2999))

ADD_EVENT = text("""
    INSERT INTO dripiq_app.message_events (id, tenant_id, provider, event_type, event_at, provider_event_id)
    VALUES (:id, 't', 'sendgrid', 'opened', :at, :id)
""")
READ_PLACES = text("SELECT id, tableoid::regclass::text FROM dripiq_app.message_events")


def add_events(connection: Connection, **times: datetime) -> None:
    connection.exec_driver_sql("INSERT INTO dripiq_app.tenants (id, name) VALUES ('t', 'Acme') ON CONFLICT DO NOTHING")
    for name, at in times.items():
        connection.execute(ADD_EVENT, {"id": name, "at": at})


def places(connection: Connection) -> dict[str, str]:
    return {name: table.removeprefix("dripiq_app.") for name, table in connection.execute(READ_PLACES)}


@pytest.fixture
def idle(engine: Engine) -> Iterator[Connection]:
    """A connection with no transaction open on it."""
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize("year", [1970, 2100])
def test_an_event_of_an_impossible_time_is_stored(connection: Connection, year: int) -> None:
    add_events(connection, odd=datetime(year, 1, 1, tzinfo=UTC))

    assert places(connection) == {"odd": "message_events_default"}


def test_migrating_makes_the_current_month_and_three_more(connection: Connection) -> None:
    now = connection.exec_driver_sql("SELECT now()").scalar_one()

    assert ensure_partitions(connection, months_ahead=3, now=now) == []
    assert len(ensure_partitions(connection, months_ahead=4, now=now)) == 1


def test_months_are_made_once_and_named_by_year_and_month(connection: Connection) -> None:
    assert ensure_partitions(connection, months_ahead=2, now=NOW) == MONTHS
    assert ensure_partitions(connection, months_ahead=2, now=NOW) == []


def test_rows_of_the_default_move_into_their_month_when_it_is_made(connection: Connection) -> None:
    instants = {
        "before": datetime(2031, 10, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "first": datetime(2031, 11, 1, tzinfo=UTC),
        "last": datetime(2031, 11, 30, 23, 59, 59, 999999, tzinfo=UTC),
        "after": datetime(2031, 12, 1, tzinfo=UTC),
    }
    add_events(connection, **instants)
    assert set(places(connection).values()) == {"message_events_default"}

    ensure_partitions(connection, months_ahead=0, now=NOW)

    default, november = "message_events_default", MONTHS[0]
    assert places(connection) == {"before": default, "first": november, "last": november, "after": default}


def test_a_partition_has_the_keys_checks_and_indexes_of_its_parent(connection: Connection) -> None:
    ensure_partitions(connection, months_ahead=0, now=NOW)
    count_rules = text("""
        SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = CAST(:name AS regclass) AND contype IN ('p', 'u', 'f', 'c')),
               (SELECT count(*) FROM pg_index WHERE indrelid = CAST(:name AS regclass))
    """)

    parent = connection.execute(count_rules, {"name": "dripiq_app.message_events"}).one()
    partition = connection.execute(count_rules, {"name": f"dripiq_app.{MONTHS[0]}"}).one()

    assert tuple(partition) == tuple(parent)


def test_the_callers_lock_timeout_is_given_back(connection: Connection) -> None:
    connection.exec_driver_sql("SET LOCAL lock_timeout = '7s'")

    ensure_partitions(connection, months_ahead=1, now=NOW)

    assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "7s"


def test_without_a_callers_transaction_each_month_is_committed(engine: Engine, idle: Connection) -> None:
    ensure_partitions(idle, months_ahead=2, now=NOW)

    assert not idle.in_transaction()
    with engine.begin() as other:
        assert ensure_partitions(other, months_ahead=2, now=NOW) == []


def test_two_makers_at_once_make_each_month_once(engine: Engine) -> None:
    def make(_: int) -> list[str]:
        with engine.connect() as connection:
            return ensure_partitions(connection, months_ahead=2, now=NOW)

    with ThreadPoolExecutor(3) as pool:
        made = [name for names in pool.map(make, range(3)) for name in names]

    assert sorted(made) == MONTHS


def test_events_are_read_and_written_while_a_month_is_made(engine: Engine, idle: Connection) -> None:
    with engine.begin() as setup:
        add_events(setup)
    with engine.begin() as writer:
        writer.execute(ADD_EVENT, {"id": "before", "at": datetime.now(UTC)})
        # Would give up if it needed a lock that the open transaction's locks conflict with.
        assert ensure_partitions(idle, months_ahead=0, now=NOW) == [MONTHS[0]]
        writer.execute(ADD_EVENT, {"id": "after", "at": datetime.now(UTC)})

        assert set(places(writer)) == {"before", "after"}


@pytest.mark.parametrize(
    "work",
    [
        "LOCK TABLE dripiq_app.message_events_default IN ACCESS SHARE MODE",  # as any reader of it does
        "LOCK TABLE dripiq_app.outbound_messages IN ROW EXCLUSIVE MODE",  # as any writer of it does
    ],
)
def test_a_month_gives_way_to_the_application_and_is_made_later(
    engine: Engine, idle: Connection, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(partitions, "PAUSE_SECONDS", 0)
    with engine.begin() as application:
        application.exec_driver_sql(work)
        with pytest.raises(OperationalError, match="lock timeout"):
            ensure_partitions(idle, months_ahead=0, now=NOW)

    assert ensure_partitions(idle, months_ahead=0, now=NOW) == [MONTHS[0]]


@given(st.datetimes(YEAR_1971, YEAR_2999), st.integers(-14, 14), st.integers(0, 40))
def test_months_are_utc_months_and_follow_one_another(moment: datetime, hours: int, ahead: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    month = month_of(zoned)

    assert month <= zoned < plus(month, 1)
    assert plus(plus(month, ahead), 1) == plus(month, ahead + 1)
    assert _name(plus(month, 1)) > _name(month)


def test_more_than_can_be_moved_without_a_long_pause_stays_where_it_is(
    engine: Engine, idle: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as setup:
        add_events(setup, waiting=NOW)
    statements = partitions._statements
    monkeypatch.setattr(partitions, "_statements", lambda *bounds: ["SELECT pg_sleep(9)", *statements(*bounds)])

    with pytest.raises(DatabaseError, match="2031-11") as refused:
        ensure_partitions(idle, months_ahead=0, now=NOW, longest_pause=0.02)
    assert refused.value.error_code == "month_too_full"
    assert places(idle) == {"waiting": "message_events_default"}
    idle.rollback()

    monkeypatch.undo()
    ensure_partitions(idle, months_ahead=0, now=NOW)
    assert places(idle) == {"waiting": MONTHS[0]}


def test_a_list_tells_months_and_what_belongs_to_none(connection: Connection) -> None:
    add_events(connection, zero=datetime(1970, 1, 1, tzinfo=UTC), far=datetime(2100, 1, 1, tzinfo=UTC))
    ensure_partitions(connection, months_ahead=2, now=NOW)

    listed, default = list_months(connection), read_default(connection)

    assert [partition.name for partition in listed][-3:] == MONTHS
    assert all(partition.bytes > 0 for partition in listed)
    assert (default.rows, default.rows_by_month) == (2, {"1970-01": 1, "2100-01": 1})
