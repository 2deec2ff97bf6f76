"""How are the figures of `index_costs` told? As Markdown: `docs/indexes.md` is what this writes, and nobody types a figure into it."""

import math
from collections.abc import Iterator, Mapping, Sequence

from dripiq.simulate.explain import PLAN_MODES, Run
from dripiq.simulate.hot_queries.listing import hot_queries
from dripiq.simulate.index_costs import PATIENCE_SECONDS, SAMPLE, TICKET_INDEXES, IndexCost, Measured

Runs = Mapping[tuple[str, str], Run]

INTRODUCTION = """# Indexes, and what each is for

Written by `dripiq bench indexes`; change the code, not this file. Filled by `dripiq bench seed` (one tenant has half of everything), PostgreSQL {server}.
A *page* is 8 kB, counted each time that a statement touches one, in memory or not. Statements work on {sample} rows of the largest tenant where they
take a list; times are of a second execution, on a machine that others used too: pages are the measure, times an impression.
"""

HOW = """Claims and events are held to a growth under 1.3 from a tenth of the rows to all of them. Where a table is small, its tenth is read whole, or has
an index with a level less, and the growth is larger: it says that the tenth was cheap.

`tests/db/test_hot_query_plans.py` holds every one of these statements to its index and to its bound of pages a row, at two sizes, for the plan that
is made for the values at hand and for the one that is made for any.
"""

IDLE = """An index is written with every row, so one that nothing reads is a cost for nothing. What the ticket names stays; the check behind a foreign key
is a use.
"""


WITHOUT = f"""*Without*: the index is dropped, in a transaction that is rolled back; what took longer than {PATIENCE_SECONDS} seconds was given up.
*Refused*: the statement needs that very uniqueness.
"""


def render(whole: Measured, tenth: Runs | None) -> str:
    """The document; with a second database's runs (a tenth of the rows) beside it, how the pages grow."""
    parts = [
        INTRODUCTION.format(server=whole.server, sample=SAMPLE),
        "## Tables\n",
        *_table(("table", "rows", "size", "its indexes"), _tables(whole), numbers=3),
        "\n## Hot statements\n",
        HOW,
        *_table(
            ("statement", "plan", "rows", "pages a row, a tenth of the data", "pages a row", "growth", "bound", "ms"),
            _queries(whole.runs, tenth or {}),
            numbers=6,
        ),
        "\n## Each index\n",
        WITHOUT,
        *_table(
            ("index", "size", "serves", "measured on", "pages with", "without", "ms with", "without"),
            map(_index, whole.indexes),
            numbers=0,
        ),
        "\n## Indexes that nothing uses\n",
        IDLE,
        *(f"- {line}" for line in _idle(whole.indexes)),
        "",
    ]
    return "\n".join(parts)


def _tables(whole: Measured) -> Iterator[Sequence[str]]:
    for table in whole.tables:
        yield f"`{table['name']}`", f"{int(table['rows']):,}", _size(table["bytes"]), _size(table["index_bytes"])


def _queries(runs: Runs, tenth: Runs) -> Iterator[Sequence[str]]:
    for query in hot_queries():
        for mode in PLAN_MODES:
            run, small = runs[query.name, mode], tenth.get((query.name, mode))
            pages = run.buffers_per_row
            yield (
                f"`{query.name}`" if mode == PLAN_MODES[0] else "",
                mode,
                f"{run.rows:,.0f}",
                f"{small.buffers_per_row:.1f}" if small else "",
                f"{pages:.1f}",
                f"{pages / small.buffers_per_row:.2f}" if small else "",
                "" if math.isinf(query.pages) else f"{query.pages:g}",
                f"{run.milliseconds:.1f}",
            )


def _index(index: IndexCost) -> Sequence[str]:
    serves = [f"`{name}`" for name in index.serves]
    serves += [f"check of `{name}`" for name in index.keys]
    serves += ["uniqueness"] if index.is_unique else []
    serves += ["named by the ticket"] if index.name in TICKET_INDEXES else []
    tried = index.tried
    costs = ("", "", "", "", "")
    if tried is not None:
        without = tried.without
        costs = (
            tried.name if tried.name.startswith("check") else f"`{tried.name}`",
            f"{tried.with_it.buffers:,.0f}",
            "refused" if without is None else _number(without.buffers, ",.0f"),
            f"{tried.with_it.milliseconds:.1f}",
            "" if without is None else _number(without.milliseconds, ",.1f"),
        )
    return (
        f"`{index.name}` on `{index.table}` ({', '.join(index.columns)}{', partial' if index.is_partial else ''})",
        _size(index.bytes),
        ", ".join(serves) or "**nothing**",
        *costs,
    )


def _idle(indexes: Sequence[IndexCost]) -> Iterator[str]:
    """Those that no statement asks for, and those without which their statements and keys would fare as well."""
    for index in indexes:
        if index.must_stay:
            continue
        others = [other for other in indexes if other.table == index.table and other is not index]
        longer = [other.name for other in others if other.begins_with(index.columns)]
        told = f"`{index.name}` ({_size(index.bytes)})"
        if not index.serves and not index.keys:
            yield f"{told}: no statement that was measured asks for it."
        elif longer:
            yield f"{told}: `{longer[0]}` begins with the same columns and could serve its statements."
        elif index.serves and _is_no_better(index) and all(_leads(key, others) for key in index.keys):
            keys = ", and its keys lead another index" if index.keys else ""
            yield f"{told}: its statement costs no more without it{keys}."


def _is_no_better(index: IndexCost) -> bool:
    tried = index.tried
    return tried is not None and tried.without is not None and tried.without.buffers <= 1.1 * tried.with_it.buffers


def _leads(key: str, others: Sequence[IndexCost]) -> bool:
    return any(key in other.keys for other in others)


def _table(header: Sequence[str], rows: Iterator[Sequence[str]], *, numbers: int) -> Iterator[str]:
    """A table; its last `numbers` columns are set to the right."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---:' if n >= len(header) - numbers else '---' for n in range(len(header)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _size(count: object) -> str:
    size = float(str(count))
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{size / 2**10:,.0f} kB"


def _number(value: float, form: str) -> str:
    return f"over {PATIENCE_SECONDS} s" if math.isinf(value) else format(value, form)
