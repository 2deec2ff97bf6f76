"""How is it shown?

Results go to stdout: one JSON document with `--json`, else text and tables for people. Progress and everything else goes to stderr, so that stdout can
be read by a program. What comes from files and from the database is never taken for markup or for a terminal's control characters.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TenantOption = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="The tenant: its id or exact name.")]

PIPED_WIDTH = 200
"""Columns of a table that no terminal bounds."""


def many(count: int, one: str, more: str | None = None) -> str:
    """A count with its noun; the plural with an s, unless it is given."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def show_json(document: Mapping[str, Any]) -> None:
    """Print a document; times in ISO 8601 with their offset."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(document, option=options).decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line of a result."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line that is no result, to stderr; where nobody reads it any more (a closed terminal), it and what follows is dropped."""
    try:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()
    except OSError:
        # What is left in the buffer would make Python exit with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str | None = None) -> None:
    """Print rows as a table of these columns; nothing but a line where there are none."""
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else PIPED_WIDTH
    console = Console(markup=False, highlight=False, emoji=False, width=width)
    if not rows:
        say(f"{title or 'Rows'}: none")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    if sys.stdout.isatty():
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)


def when(moment: datetime | None) -> str:
    """An instant as people read it, in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


@contextmanager
def progress(description: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """A progress bar on stderr; yields what advances it. Not there with `quiet`, or where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else printable(str(value)).replace("\n", " ")
