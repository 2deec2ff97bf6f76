"""What does this JSON say as a plan?

From text to the typed tree, in full: every fault of form is reported with its path, defaults are filled in, and nothing is ignored: a key that
means nothing where it stands is a fault. Whether the plan makes *sense* (targets, loops, templates) is `verify`'s question.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from dripiq.domain.events import Trigger
from dripiq.domain.plan.canonical import hash_plan
from dripiq.domain.plan.document import MAX_BYTES, load_document
from dripiq.domain.plan.faults import Fault, FaultCode, Findings, ReportFull, plan_error, quoted
from dripiq.domain.plan.fields import Fields
from dripiq.domain.plan.liquid import MAX_LIQUID, liquid_length
from dripiq.domain.plan.model import ALWAYS_STOP, DEFAULT_TIMERS, Node, Plan
from dripiq.domain.plan.parse_calendar import read_holidays, read_quiet_hours, read_send_window, read_zones
from dripiq.domain.plan.parse_node import Reading, read_node
from dripiq.domain.plan.vocabulary import (
    DEFAULTS_KEYS,
    MAX_NODES,
    MAX_VISITS,
    NODE_KEYS,
    PLAN_KEYS,
    STOPPING,
    TIMERS,
    DayLength,
    Version,
)


def parse_plan(source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Plan:
    """The plan in `source`: JSON text, UTF-8 bytes or a document read from `jsonb`.

    Raises:
        PlanError: `facts["faults"]` lists every fault of form as {path, code, message}; `UnreadablePlan` where it is no JSON object.
    """
    draft = read_plan(source, max_bytes=max_bytes)
    if draft.faults or draft.plan is None:
        raise plan_error(draft.faults)
    return draft.plan


class Draft(NamedTuple):
    """What was read.

    Attributes:
        plan: comes with faults where they leave its meaning clear (an unknown key); None where not.
        faults: those of form.
        document: the JSON behind it, its texts composed; None where there is none that is sound, or the report is full.
    """

    plan: Plan | None
    faults: list[Fault]
    document: Mapping[str, object] | None


def read_plan(source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Draft:
    """The plan, as far as it can be read."""
    findings = Findings()
    document, plan = None, None
    try:
        document = load_document(source, findings, max_bytes)
        plan = None if document is None else _plan(Fields(document, (), findings, PLAN_KEYS))
    except ReportFull:
        document, plan = None, None
    return Draft(plan, findings.all(), document)


def _plan(fields: Fields) -> Plan | None:
    version = _version(fields)
    defaults = fields.nested("defaults", DEFAULTS_KEYS)
    days = (defaults.word("days", DayLength) if defaults is not None else None) or DayLength.FIXED
    timezone, fallback = read_zones(fields, defaults, days)
    calendar = days is DayLength.CALENDAR
    quiet_hours, window, holidays = read_quiet_hours(fields), read_send_window(fields), read_holidays(fields)
    jitter = fields.duration("jitter", calendar=False)
    start = fields.text("startNodeId", required=True, hint=": the id of the first node")
    max_visits = fields.whole("maxVisits", 1, MAX_VISITS)
    whole_company = fields.flag("stopCompanyOnReply")
    timers, stop_on = _defaults(defaults, calendar=calendar)
    fields.failed |= defaults is not None and defaults.failed
    nodes = _nodes(fields, Reading(timers, calendar, braces=version is not Version.V1_1))
    if fields.failed or version is None or start is None:
        return None
    return Plan(
        version.value,
        timezone,
        start,
        nodes,
        hash_plan(fields.value),
        quiet_hours,
        window,
        holidays,
        jitter or timedelta(0),
        fallback,
        stop_company_on_reply=whole_company or False,
        max_visits=max_visits,
        stop_on=stop_on,
    )


def _version(fields: Fields) -> Version | None:
    text = fields.text("version", required=True, hint=', as "1.0"', form='"1.0" or "1.1", with the quotes')
    if text is not None and text not in [*Version]:
        message = f'Version {quoted(text)} is not supported: write "1.0" or "1.1".'
        fields.fault("version", FaultCode.UNSUPPORTED_VERSION, message)
        return None
    return None if text is None else Version(text)


def _defaults(defaults: Fields | None, *, calendar: bool) -> tuple[dict[Trigger, timedelta], frozenset[Trigger]]:
    timers, stop_on = dict(DEFAULT_TIMERS), frozenset({Trigger.REPLIED, Trigger.BOUNCED})
    if defaults is None:
        return timers, stop_on | ALWAYS_STOP
    given = defaults.nested("timers", TIMERS)
    if given is not None:
        lengths = {timer: given.duration(timer, calendar=calendar) for timer in TIMERS}
        timers.update({timer: length for timer, length in lengths.items() if length is not None})
        defaults.failed |= given.failed
    if "stopOn" in defaults.value:
        stop_on = frozenset(defaults.words("stopOn", Trigger, STOPPING, empty=True))
    return timers, stop_on | ALWAYS_STOP


def _nodes(fields: Fields, reading: Reading) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    first: dict[str, str] = {}
    fields.has("nodes", required=True, hint=": a list of one node at least")
    for each in fields.objects("nodes", NODE_KEYS, MAX_NODES):
        node = read_node(each, reading)
        node_id = each.value.get("id")
        if isinstance(node_id, str) and node_id in first:
            message = f"The id {quoted(node_id)} is taken by {first[node_id]}: give each node its own."
            each.fault("id", FaultCode.DUPLICATE_ID, message)
        elif isinstance(node_id, str):
            first[node_id] = f"$.nodes[{each.steps[-1]}]"
        fields.failed |= each.failed
        if node is not None:
            nodes.setdefault(node.id, node)
    _bound_liquid(fields, nodes.values())
    return nodes


def _bound_liquid(fields: Fields, nodes: Iterable[Node]) -> None:
    contents = [content for node in nodes for content in node.contents]
    length = liquid_length(text for each in contents for text in (each.subject, each.body, each.html) if text)
    if length > MAX_LIQUID:
        message = (
            f"The templates hold {length:,} characters of Liquid between them, plain outputs not counted: "
            f"use at most {MAX_LIQUID:,}."
        )
        fields.fault("nodes", FaultCode.TOO_MANY, message)
