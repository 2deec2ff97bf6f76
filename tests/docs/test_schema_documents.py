"""The documents on the schema are current: drawn from the code, about the indexes that there are, and with commands that do what they show."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dripiq.cli.main import run
from dripiq.schema import Base
from dripiq.schema.drawing import render
from dripiq.simulate.hot_queries.listing import hot_queries

DOCS = Path(__file__).parents[2] / "docs"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_schema_is_drawn_as_it_is_declared() -> None:
    assert (DOCS / "schema.md").read_text() == render(), "run: python -m dripiq.schema.drawing > docs/schema.md"


def test_every_table_and_column_is_in_the_drawing() -> None:
    drawn = (DOCS / "schema.md").read_text()
    for table in Base.metadata.sorted_tables:
        _, _, section = drawn.partition(f"\n### {table.name}\n")
        section, _, _ = section.partition("\n### ")
        assert [column.name for column in table.columns if f"| `{column.name}` |" not in section] == [], table.name


def test_every_index_has_its_line_and_no_other(connection: Connection) -> None:
    there = connection.execute(
        text("""
            SELECT class.relname FROM pg_index
            JOIN pg_class AS class ON class.oid = indexrelid AND NOT class.relispartition
            JOIN pg_class AS owner ON owner.oid = indrelid
            WHERE class.relnamespace = 'dripiq_app'::regnamespace AND owner.relname NOT LIKE 'dripiq\\_%'
        """)
    ).scalars()
    _, _, part = (DOCS / "indexes.md").read_text().partition("## Each index")
    told = re.findall(r"^\| `(\w+)` on `", part, re.MULTILINE)
    assert sorted(told) == sorted(there), "fill a database and run: dripiq bench indexes"


def test_every_hot_statement_has_its_figures_and_no_other() -> None:
    _, _, part = (DOCS / "indexes.md").read_text().partition("## Hot statements")
    told = re.findall(r"^\| `([\w.]+)` \| custom", part, re.MULTILINE)
    assert told == [query.name for query in hot_queries()], "fill a database and run: dripiq bench indexes"


@pytest.mark.timeout(180)
def test_going_back_goes_as_it_is_written(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRIPIQ_DATABASE_URL", database.replace("+psycopg", ""))

    def said(command: str) -> str:
        program, *arguments = command.split()
        assert program == "dripiq"
        run(arguments)
        told = capsys.readouterr()
        return told.out + told.err

    said("dripiq db seed")
    shown = "".join(CONSOLE.findall((DOCS / "rollback.md").read_text()))
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", shown, re.MULTILINE)
    assert len(steps) == 6
    for command, output in steps:
        lines = said(command).splitlines()
        assert [line for line in output.splitlines() if line != "…" and line not in lines] == [], command
