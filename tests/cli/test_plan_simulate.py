"""`dripiq plan simulate` as people and programs run it."""

import json
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from dripiq.simulate.rehearsal_database import PREFIX
from tests.cli.conftest import Dripiq, count

PEOPLE = "Email,Name,Company,Time Zone\nada@example.com,Ada,Alpha,Europe/Berlin\nbo@example.com,Bo,Beta,\n"


def databases(server: str) -> set[str]:
    address = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database") if name.startswith(PREFIX)}


def test_it_tells_what_the_plan_would_do_and_leaves_nothing(
    dripiq: Dripiq, plan: Path, engine: Engine, database: str, tmp_path: Path
) -> None:
    before = databases(database)
    told = dripiq("plan", "simulate", plan, "--count", 30, "--picture", "flow.svg")
    assert told.code == 0
    assert "Nodes (messages)" in told.out
    assert "The engine's invariants hold." in told.out
    assert told.err == "The picture is flow.svg.\n"
    ElementTree.parse(tmp_path / "flow.svg")
    left = databases(database) - before
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:  # other tests' simulations end soon
        time.sleep(0.05)
        left &= databases(database)
    assert not left
    assert count(engine, "contact_campaigns") == count(engine, "tenants") == 0


def test_the_same_seed_gives_the_same_bytes_and_another_others(dripiq: Dripiq, plan: Path, tmp_path: Path) -> None:
    said = [
        dripiq("plan", "simulate", plan, "--count", 40, "--seed", seed, "--json", "--picture", f"{number}.svg").out
        for number, seed in enumerate((1, 1, 2))
    ]
    drawn = [(tmp_path / f"{number}.svg").read_bytes() for number in range(3)]
    assert (said[0], drawn[0]) == (said[1], drawn[1])
    assert said[0] != said[2]


def test_the_people_of_a_file_take_part(dripiq: Dripiq, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    told = dripiq("plan", "simulate", plan, "--contacts", "people.csv", "--open", 1, "--bounce", 0, "--json").json
    assert told["contacts"] == told["messages"] == 2
    assert told["nodes"][0]["opened"] == 2


def test_options_go_before_the_file_of_behaviour(dripiq: Dripiq, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "behaviour.json").write_text(json.dumps({"open": 0.9, "click": 0.8, "open_after": "PT1H"}))
    told = dripiq("plan", "simulate", plan, "--count", 5, "--behaviour", "behaviour.json", "--open", 0.2, "--json").json
    assert (told["behaviour"]["open"], told["behaviour"]["click"]) == (0.2, 0.8)
    assert told["behaviour"]["open_after"] == "PT1H"


def test_start_days_and_tick_are_as_asked(dripiq: Dripiq, plan: Path) -> None:
    options = ("--start", "2026-03-01T10:30+02:00", "--days", 3, "--tick", "PT30M", "--json")
    told = dripiq("plan", "simulate", plan, "--count", 5, "--open", 0, *options).json
    assert (told["start"], told["tick_seconds"]) == ("2026-03-01T08:30:00+00:00", 1800)
    assert told["until"] <= "2026-03-04T08:30:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--contacts", "people.csv", "--count", "3"), "usage"),
        (("--start", "tomorrow"), "usage"),
        (("--start", "9999-12-31"), "usage"),
        (("--tick", "1h"), "tick"),
        (("--behaviour", "broken.json"), "behaviour"),
        (("--behaviour", "list.json"), "behaviour"),
        (("--contacts", "bad.csv"), "bad_rows"),
        (("--contacts", "empty.csv"), "script"),
        (("--count", "0"), "usage"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    dripiq: Dripiq, plan: Path, tmp_path: Path, arguments: tuple[Any, ...], code: str
) -> None:
    for name, content in {
        "people.csv": PEOPLE, "bad.csv": "email\nnobody\n", "empty.csv": "email\n", "broken.json": "{", "list.json": "[]",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(content)
    told = dripiq("plan", "simulate", plan, *arguments, "--json")
    assert (told.code, told.error["code"]) == (2, code)


def test_a_plan_with_faults_is_told_as_by_the_check(dripiq: Dripiq) -> None:
    told = dripiq("plan", "simulate", "-", stdin=b'{"version": "1.0", "startNodeId": "a", "nodes": []}')
    assert told.code == 1
    assert "$.nodes" in told.err
    assert told.out == ""


def test_a_server_that_cannot_be_had_is_said_without_its_password(dripiq: Dripiq, plan: Path) -> None:
    url = "postgresql://kim:geheim@127.0.0.1:1/none"
    told = dripiq("plan", "simulate", plan, "--json", database_url=url)
    assert (told.code, told.error["code"]) == (3, "no_database_made")
    assert "geheim" not in told.out + told.err
