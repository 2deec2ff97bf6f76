"""The picture of a flow is valid XML, shows every node and way, and is laid out without collisions."""

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from dripiq.domain.plan.parse import parse_plan
from dripiq.simulate.behaviour import Behaviour
from dripiq.simulate.flow_layout import BOX_WIDTH, lay_out
from dripiq.simulate.flow_picture import draw_flow
from dripiq.simulate.rehearsal_report import Counts, NodeFlow, Outcome, Report, Terms, Way
from tests.engine.conftest import email_plan

SVG = "{http://www.w3.org/2000/svg}"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
LOOP = email_plan(
    {"id": "intro", "transitions": [{"on": "opened", "to": "wait"}, {"on": "no_open", "to": "again", "after": "P1D"}]},
    {"id": "wait", "action": "wait", "transitions": [{"on": "no_click", "to": "intro", "after": "P1D"}]},
    {"id": "again"},
    maxVisits=2,
)  # fmt: skip


def flow(node: str, entered: int, *ways: Way, action: str = "send") -> NodeFlow:
    return NodeFlow(node, action, entered, Counts(sent=entered), 0, {}, ways, {})


def report(*nodes: NodeFlow) -> Report:
    terms = Terms(1, START, START + timedelta(days=3), timedelta(hours=1), Behaviour())
    return Report(
        "hash",
        terms,
        10,
        nodes,
        {},
        [Outcome("completed", "sent", 9, {}), Outcome("stopped", "bounced", 1, {})],
        [],
        [],
    )


REPORT = report(
    flow("intro", 15, Way("opened", "wait", False, 6), Way("no_open", "again", False, 8), Way("bounced", "stopped", True, 1)),
    flow("wait", 6, Way("no_click", "intro", False, 5), Way("no_click", "completed", True, 1, "max_visits"), action="wait"),
    flow("again", 8, Way("sent", "completed", True, 8)),
)  # fmt: skip


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_every_node_ending_and_way_is_shown_with_its_count() -> None:
    shown = words(draw_flow(parse_plan(LOOP), REPORT))
    for expected in (
        "intro",
        "wait",
        "again",
        "completed: 9",
        "stopped: 1",
        "opened 6",
        "no_open 8",
        "no_click 5",
        "no_click: max_visits 1",
        "sent 8",
    ):
        assert expected in shown


def test_it_is_a_picture_with_words_for_those_who_cannot_see_it_and_without_scripts() -> None:
    picture = draw_flow(parse_plan(LOOP), REPORT)
    root = ElementTree.fromstring(picture)
    assert root.get("role") == "img"
    named = {root.find(f"{SVG}title").get("id"), root.find(f"{SVG}desc").get("id")}  # type: ignore[union-attr]
    assert set((root.get("aria-labelledby") or "").split()) == named
    assert "<script" not in picture
    assert "href" not in picture


def test_a_way_that_more_took_is_wider_and_one_that_nobody_took_is_dashed() -> None:
    plan = parse_plan(LOOP)
    untaken = draw_flow(plan, report(flow("intro", 1), flow("wait", 0), flow("again", 0)))
    assert untaken.count("stroke-dasharray") == 3
    assert "stroke-dasharray" not in draw_flow(plan, REPORT)
    widths = {
        float(path.get("stroke-width") or 0)
        for path in ElementTree.fromstring(draw_flow(plan, REPORT)).iter(f"{SVG}path")
        if path.get("class") == "way"
    }
    assert len(widths) > 3


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_no_name_breaks_the_xml(name: str) -> None:
    plan = parse_plan(email_plan({"id": "intro"}))
    drawn = draw_flow(plan, report(flow("intro", 1, Way(name, "completed", True, 1, name))))
    ElementTree.fromstring(drawn)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    nodes = [f"n{number}" for number in range(draw(st.integers(1, 15)))]
    names = st.sampled_from(nodes)
    return nodes, draw(st.lists(st.tuples(names, names), max_size=30))


@given(graphs())
def test_boxes_never_overlap_and_ways_lead_down_layer_by_layer(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    layout = lay_out(nodes, edges)
    assert set(layout.places) == set(nodes)
    for (x, layer), (other_x, other_layer) in combinations(layout.places.values(), 2):
        assert layer != other_layer or abs(x - other_x) >= BOX_WIDTH
    assert set(layout.routes) | layout.back == set(edges)
    for (start, end), route in layout.routes.items():
        assert (route[0], route[-1]) == (layout.places[start], layout.places[end])
        assert all(below[1] == above[1] + 1 for above, below in pairwise(route))
    assert all(BOX_WIDTH / 2 <= x <= layout.width - BOX_WIDTH / 2 for x, _ in layout.places.values())
    assert lay_out(nodes, edges) == layout
