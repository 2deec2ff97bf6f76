"""What does a rehearsal look like?

An SVG of the plan with its flow: a box for each node with what came of its messages, an arrow for each way on, as wide as the share of visits that took
it. No script, no font of its own, nothing that is fetched; title and description are for those who cannot see it. The same report gives the same bytes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

from dripiq.domain.plan.model import Plan
from dripiq.domain.wording import why_moved
from dripiq.simulate.flow_layout import BOX_WIDTH, Layout, Place, lay_out
from dripiq.simulate.rehearsal_report import NodeFlow, Report

BOX_HEIGHT = 78.0
LAYER_HEIGHT = 196.0
MARGIN = 40.0
HEAD = 64.0
WIDEST = 16.0
_LOOP_ROOM = 120.0
_LOOP_GAP = 14.0
_ENDS = {"completed": "#2f7d4f", "stopped": "#8a5a00", "error": "#a3262a"}
_STYLE = (
    "text{font-family:system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:13px;fill:#1c2733}"
    ".small{font-size:11px;fill:#44525f}.name{font-weight:600}"
    ".way{fill:none;stroke-linejoin:round;stroke:#7c93ab;stroke-opacity:.55}.tag{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
    ".send{fill:#eaf2fb;stroke:#3b6ea5}.wait{fill:#f6f3ea;stroke:#9b8b5a}.endname{fill:#fff}.head{fill:#5f7891}"
)

Edge = tuple[str, str]


def draw_flow(plan: Plan, report: Report) -> str:
    """The picture, as an SVG document."""
    flows = {node.node: node for node in report.nodes}
    ends = [end for end in _ENDS if any(way.final and way.to == end for node in report.nodes for way in node.ways)]
    labels = _labels(report.nodes)
    planned = [(node.id, way.to) for node in plan.nodes.values() for way in node.transitions if way.to in plan.nodes]
    starting = [plan.start_node_id, *(node for node in plan.nodes if node != plan.start_node_id)]
    layout = lay_out([*starting, *map(_end, ends)], [*planned, *labels])
    most = max((node.entered for node in report.nodes), default=1) or 1
    loops = len(layout.back)
    width = layout.width + 2 * MARGIN + _LOOP_ROOM * (loops + (1 if loops else 0))
    height = HEAD + layout.layers * LAYER_HEIGHT - (LAYER_HEIGHT - BOX_HEIGHT) + MARGIN
    body = [
        *_ways(layout, labels, most),
        *(_box(flows[node], layout.places[node]) for node in starting),
        *(_ending(end, report, layout.places[_end(end)]) for end in ends),
        *_tags(layout, labels),
    ]
    return "\n".join([*_opening(report, max(width, 460.0), height), *body, "</svg>", ""])


def _opening(report: Report, width: float, height: float) -> Iterator[str]:
    days = (report.terms.until - report.terms.start).days
    title = f"{report.contacts} contacts, {report.sent} messages, {days} days"
    outcomes = "; ".join(f"{o.contacts} {o.status} ({o.reason})" for o in report.outcomes)
    nodes = "; ".join(f"{n.node}: entered {n.entered} times, {n.counts.sent} sent" for n in report.nodes)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}" '
        'role="img" aria-labelledby="flow-title flow-desc">'
    )
    yield f'<title id="flow-title">{_text(title)}</title>'
    yield f'<desc id="flow-desc">{_text(f"The flow of a simulated plan. {nodes}. Outcomes: {outcomes}.")}</desc>'
    yield f"<style>{_STYLE}</style>"
    yield (
        '<defs><marker id="flow-head" markerUnits="userSpaceOnUse" markerWidth="11" markerHeight="9" refX="10" refY="4.5" orient="auto">'
        '<path class="head" d="M0 0L11 4.5L0 9Z"/></marker></defs>'
    )
    yield '<rect width="100%" height="100%" fill="#fff"/>'
    yield f'<text x="{_n(MARGIN)}" y="26" class="name">{_text(title)}</text>'
    told = f"seed {report.terms.seed}, from {report.terms.start:%Y-%m-%d %H:%M} UTC"
    yield f'<text x="{_n(MARGIN)}" y="44" class="small">{_text(told)}</text>'


def _labels(nodes: Sequence[NodeFlow]) -> dict[Edge, list[tuple[str, int]]]:
    """What each way says, line by line: its triggers, with how many visits took it."""
    counted: dict[Edge, dict[str, int]] = defaultdict(dict)
    for node in nodes:
        for way in node.ways:
            lines = counted[node.node, _end(way.to) if way.final else way.to]
            said = why_moved(way.trigger, way.reason)
            lines[said] = lines.get(said, 0) + way.visits
    return {edge: sorted(lines.items(), key=lambda line: (-line[1], line[0])) for edge, lines in counted.items()}


def _ways(layout: Layout, labels: dict[Edge, list[tuple[str, int]]], most: int) -> Iterator[str]:
    right = MARGIN + layout.width
    for number, edge in enumerate(sorted(layout.back), 1):
        yield _path(_loop(layout, edge, right + number * _LOOP_ROOM), _visits(labels, edge), most)
    for edge, route in layout.routes.items():
        yield _path(_curve(route), _visits(labels, edge), most)


def _path(shape: str, visits: int, most: int) -> str:
    wide = 1 + (WIDEST - 1) * visits / most if visits else 1.0
    dashes = "" if visits else ' stroke-dasharray="3 4"'
    return f'<path class="way" d="{shape}" stroke-width="{_n(wide)}"{dashes} marker-end="url(#flow-head)"/>'


def _curve(route: Sequence[Place]) -> str:
    """From the lower edge of a box, by way of the lanes, to the upper edge of another."""
    points = [(MARGIN + x, _top(layer)) for x, layer in route]
    x, y = points[0][0], points[0][1] + BOX_HEIGHT
    parts = [f"M{_n(x)} {_n(y)}"]
    for index, (to_x, top) in enumerate(points[1:], 1):
        half = (top - y) / 2
        parts.append(f"C{_n(x)} {_n(y + half)} {_n(to_x)} {_n(top - half)} {_n(to_x)} {_n(top)}")
        x, y = to_x, top
        if index < len(points) - 1:
            y = top + BOX_HEIGHT
            parts.append(f"L{_n(x)} {_n(y)}")
    return "".join(parts)


def _loop(layout: Layout, edge: Edge, lane: float) -> str:
    """Out at the bottom of a box, along below its layer, up on the right, along above the other's layer, and in at its top."""
    (from_x, from_layer), (to_x, to_layer) = (layout.places[name] for name in edge)
    out, into = MARGIN + from_x + BOX_WIDTH * 0.4, MARGIN + to_x + BOX_WIDTH * 0.4
    low, high = _top(from_layer) + BOX_HEIGHT, _top(to_layer)
    return f"M{_n(out)} {_n(low)}v{_n(_LOOP_GAP)}H{_n(lane)}V{_n(high - _LOOP_GAP)}H{_n(into)}V{_n(high)}"


def _tags(layout: Layout, labels: dict[Edge, list[tuple[str, int]]]) -> Iterator[str]:
    """The words on the ways: on those down where they come in, for there the fewest of one box meet; on those back at the middle of their lane."""
    right = MARGIN + layout.width
    for number, edge in enumerate(sorted(layout.back), 1):
        (_, from_layer), (_, to_layer) = (layout.places[name] for name in edge)
        y = (_top(from_layer) + _top(to_layer) + BOX_HEIGHT) / 2
        yield from _lines(labels.get(edge, ()), right + number * _LOOP_ROOM, y)
    leaving: dict[str, list[Edge]] = defaultdict(list)
    for edge in layout.routes:
        if edge in labels:
            leaving[edge[0]].append(edge)
    for edges in leaving.values():
        edges.sort(key=lambda edge: layout.routes[edge][1][0])
        for at, edge in enumerate(edges):
            (x, layer), (to_x, _) = layout.routes[edge][:2]
            share = (0.34, 0.56, 0.78)[at % 3] if len(edges) > 2 else (0.36, 0.66)[at]
            y = _top(layer) + BOX_HEIGHT + (LAYER_HEIGHT - BOX_HEIGHT) * share
            y = min(y, _top(layer + 1) - 13 * len(labels[edge]))
            bend = share * share * (3 - 2 * share)
            yield from _lines(labels[edge], MARGIN + x + (to_x - x) * bend, y)


def _lines(lines: Iterable[tuple[str, int]], x: float, y: float) -> Iterator[str]:
    for number, (trigger, visits) in enumerate(lines):
        words = _text(f"{trigger} {visits:,}")
        yield f'<text class="tag" x="{_n(x)}" y="{_n(y + 13 * number)}" text-anchor="middle">{words}</text>'


def _box(node: NodeFlow, place: Place) -> str:
    counts = node.counts
    if node.action == "send":
        second = f"{counts.sent:,} sent, {counts.delivered:,} delivered"
        third = f"{counts.opened:,} opened, {counts.clicked:,} clicked, {counts.replied:,} replied"
    else:
        second, third = f"{node.entered:,} waited", ""
    left = node.waiting + sum(node.held.values())
    if left:
        third = f"{third}; {left:,} here" if third else f"{left:,} here"
    x, y = MARGIN + place[0] - BOX_WIDTH / 2, _top(place[1])
    rectangle = f'<rect class="{node.action}" x="{_n(x)}" y="{_n(y)}" width="{_n(BOX_WIDTH)}" height="{_n(BOX_HEIGHT)}" rx="8"/>'
    words = [
        f'<text class="name" x="{_n(x + 12)}" y="{_n(y + 24)}">{_text(_short(node.node))}</text>',
        f'<text class="small" x="{_n(x + 12)}" y="{_n(y + 44)}">{_text(second)}</text>',
        f'<text class="small" x="{_n(x + 12)}" y="{_n(y + 62)}">{_text(third)}</text>',
    ]
    return f"<g><title>{_text(node.node)}</title>{rectangle}{''.join(words)}</g>"


def _ending(end: str, report: Report, place: Place) -> str:
    contacts = sum(outcome.contacts for outcome in report.outcomes if outcome.status == end)
    x, y = MARGIN + place[0] - BOX_WIDTH / 2, _top(place[1])
    return (
        f'<g><rect class="end" fill="{_ENDS[end]}" x="{_n(x)}" y="{_n(y)}" width="{_n(BOX_WIDTH)}" height="{_n(BOX_HEIGHT / 2)}" rx="20"/>'
        f'<text class="name endname" x="{_n(x + BOX_WIDTH / 2)}" y="{_n(y + 25)}" text-anchor="middle">{_text(f"{end}: {contacts:,}")}</text></g>'
    )


def _visits(labels: dict[Edge, list[tuple[str, int]]], edge: Edge) -> int:
    return sum(visits for _, visits in labels.get(edge, ()))


def _end(status: str) -> str:
    """The name of an ending among the nodes' (no node's id has a NUL in it)."""
    return f"\x00{status}"


def _top(layer: int) -> float:
    return HEAD + layer * LAYER_HEIGHT


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _text(words: str) -> str:
    """For XML: escaped, and without the characters that no XML document may hold (XML 1.0, 2.2)."""
    return escape(
        "".join(
            letter if letter >= " " and not "\ud800" <= letter <= "\udfff" and letter not in "\ufffe\uffff" else "�"
            for letter in words
        )
    )


def _n(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")
