"""Lists reach PostgreSQL as arrays as they are, whatever is in them."""

from collections.abc import Iterator
from datetime import UTC, date
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.array import ListDumper
from sqlalchemy import Connection, Engine, make_url, text

from dripiq.db.arrays import QuickListDumper
from dripiq.db.session import make_engine

storable = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
texts = st.lists(
    st.none() | storable | st.sampled_from(["", "NULL", "null", '"', "\\", '","', "{}", "a,b", " x ", "ä€𝄞"]),
    max_size=6,
)

instants = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1 < at.year < 9999)


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    made = make_engine(postgres_url)
    yield made
    made.dispose()


def echo(connection: Connection, values: list[object], kind: str = "text") -> list[object]:
    found: list[object] = connection.execute(text(f"SELECT CAST(:values AS {kind}[])"), {"values": values}).scalar_one()
    return found


@given(texts)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_come_back_as_they_went(engine: Engine, values: list[object]) -> None:
    with engine.begin() as connection:
        assert echo(connection, values) == values


@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=6))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_numbers_do_too(engine: Engine, values: list[object]) -> None:
    with engine.begin() as connection:
        assert echo(connection, values, "int") == values


@given(st.lists(st.none() | instants, max_size=6))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_instants_do_too(engine: Engine, values: list[object]) -> None:
    with engine.begin() as connection:
        assert echo(connection, values, "timestamptz") == values


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [1.5, None],
        [True],
        [[1, 2], [3, 4]],
        [["a"], ["b"]],
        [],
        [None, None],
        [Decimal("1.5")],
        [date(2026, 1, 5)],
    ],
)
def test_psycopg_would_have_said_the_same(engine: Engine, postgres_url: str, values: list[object]) -> None:
    address = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with engine.begin() as connection, psycopg.connect(address) as plain:
        found = connection.exec_driver_sql("SELECT %s", (values,)).scalar_one()
        assert (found,) == plain.execute("SELECT %s", (values,)).fetchone()


def test_a_text_that_no_column_can_hold_is_refused_as_ever(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(Exception, match="NUL"):
        echo(connection, ["a\x00b"])


def test_the_connections_of_an_engine_use_it_and_others_do_not(engine: Engine, postgres_url: str) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.adapters.get_dumper(list, psycopg.adapt.PyFormat.TEXT) is QuickListDumper
    assert psycopg.adapters.get_dumper(list, psycopg.adapt.PyFormat.TEXT) is ListDumper
