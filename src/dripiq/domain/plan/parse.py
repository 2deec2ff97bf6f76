"""What does this JSON say as a plan?

From text to the typed tree, in full: every fault of form is reported with its path, defaults are filled in, and nothing is ignored: a key that
means nothing where it stands is a fault. Whether the plan makes *sense* (targets, loops, templates) is `verify`'s question.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from dripiq.domain.events import Trigger
from dripiq.domain.plan.canonical import hash_plan
from dripiq.domain.plan.document import MAX_BYTES, load_document
from dripiq.domain.plan.faults import Fault, FaultCode, Findings, did_you_mean, plan_error, quoted
from dripiq.domain.plan.fields import Fields
from dripiq.domain.plan.model import (
    ALWAYS_STOP,
    DEFAULT_TIMERS,
    STOP,
    Content,
    Node,
    NodeAction,
    Plan,
    QuietHours,
    Transition,
)
from dripiq.domain.states import Channel, Confidence

MAX_NODES: Final = 5_000
MAX_VISITS: Final = 1_000
"""The largest `maxVisits`."""


_PLAN_KEYS: Final = ("version", "timezone", "quietHours", "startNodeId", "nodes", "defaults", "maxVisits")
_NODE_KEYS: Final = ("id", "channel", "action", "subject", "body", "schedule", "senderIdentityId", "transitions")
_TRANSITION_KEYS: Final = ("on", "to", "within", "after", "minConfidence")
_NODE_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class _Version(StrEnum):
    V1_0 = "1.0"
    V1_1 = "1.1"


def parse_plan(source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Plan:
    """The plan in `source`: JSON text, UTF-8 bytes or a document read from `jsonb`.

    Raises:
        PlanError: `facts["faults"]` lists every fault of form as {path, code, message}; `UnreadablePlan` where it is no JSON object.
    """
    plan, faults = read_plan(source, max_bytes=max_bytes)
    if faults or plan is None:
        raise plan_error(faults)
    return plan


def read_plan(
    source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES
) -> tuple[Plan | None, list[Fault]]:
    """The plan and its faults of form. A plan comes with faults where they leave its meaning clear (an unknown key); None where not."""
    findings = Findings()
    document = load_document(source, findings, max_bytes)
    plan = None if document is None else _plan(Fields(document, (), findings, _PLAN_KEYS))
    return plan, findings.all()


def _plan(fields: Fields) -> Plan | None:
    version = _version(fields)
    timezone = _timezone(fields)
    quiet_hours = _quiet_hours(fields)
    start = fields.text("startNodeId", required=True, hint=": the id of the first node")
    max_visits = fields.whole("maxVisits", 1, MAX_VISITS)
    timers, stop_on = _defaults(fields)
    nodes = _nodes(fields, timers, braces=version is not _Version.V1_1)
    if fields.failed or version is None or start is None:
        return None
    return Plan(
        version.value,
        timezone,
        start,
        nodes,
        hash_plan(fields.value),
        quiet_hours,
        max_visits=max_visits,
        stop_on=stop_on,
    )


def _version(fields: Fields) -> _Version | None:
    text = fields.text("version", required=True, hint=', as "1.0"')
    if text is not None and text not in [*_Version]:
        fields.fault(
            "version", FaultCode.UNSUPPORTED_VERSION, f'Version {quoted(text)} is not supported: write "1.0" or "1.1".'
        )
        return None
    return None if text is None else _Version(text)


def _timezone(fields: Fields) -> str:
    timezone = fields.text("timezone")
    if timezone == "contact":
        message = 'The zone "contact" belongs to version 1.1 and is not supported yet: write an IANA name, such as "Europe/Berlin".'
        fields.fault("timezone", FaultCode.UNSUPPORTED_KEY, message)
    if "timezone" not in fields.value and "quietHours" in fields.value:
        message = '"timezone" is missing: add it, such as "Europe/Berlin"; quiet hours are meant in some place.'
        fields.fault("timezone", FaultCode.MISSING_KEY, message)
    return timezone or "UTC"


def _quiet_hours(fields: Fields) -> QuietHours | None:
    quiet = fields.nested("quietHours", ("start", "end"))
    if quiet is None:
        return None
    start, end = quiet.clock("start"), quiet.clock("end")
    fields.failed |= quiet.failed
    return None if start is None or end is None else QuietHours(start, end)


def _defaults(fields: Fields) -> tuple[dict[Trigger, timedelta], frozenset[Trigger]]:
    timers, stop_on = dict(DEFAULT_TIMERS), frozenset({Trigger.REPLIED, Trigger.BOUNCED})
    defaults = fields.nested("defaults", ("timers", "stopOn"))
    if defaults is None:
        return timers, stop_on | ALWAYS_STOP
    given = defaults.nested("timers", DEFAULT_TIMERS)
    if given is not None:
        lengths = {timer: given.duration(timer) for timer in DEFAULT_TIMERS}
        timers.update({timer: length for timer, length in lengths.items() if length is not None})
        defaults.failed |= given.failed
    if defaults.has("stopOn"):
        allowed = (Trigger.REPLIED, Trigger.BOUNCED, Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT)
        listed = Fields({}, ("defaults", "stopOn"), defaults.findings, ())
        words = [listed.as_word(index, text, Trigger, allowed) for index, text in enumerate(defaults.items("stopOn"))]
        stop_on = frozenset(word for word in words if word is not None)
        defaults.failed |= listed.failed
    fields.failed |= defaults.failed
    return timers, stop_on | ALWAYS_STOP


def _nodes(fields: Fields, timers: Mapping[Trigger, timedelta], *, braces: bool) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    count = (
        len(fields.items("nodes")) if fields.has("nodes", required=True, hint=": a list of one node at least") else None
    )
    if count == 0 and not fields.failed:
        fields.fault("nodes", FaultCode.MISSING_KEY, "The plan has no nodes: add one at least.")
    if count is not None and count > MAX_NODES:
        fields.fault("nodes", FaultCode.TOO_MANY, f"The plan has {count} nodes: use at most {MAX_NODES}.")
    if not count or count > MAX_NODES:
        return nodes
    first: dict[str, str] = {}
    for each in fields.objects("nodes", _NODE_KEYS):
        node = _node(each, timers, braces=braces)
        node_id = each.value.get("id")
        if isinstance(node_id, str) and node_id in first:
            each.fault(
                "id",
                FaultCode.DUPLICATE_ID,
                f"The id {quoted(node_id)} is taken by {first[node_id]}: give each node its own.",
            )
        elif isinstance(node_id, str):
            first[node_id] = f"$.nodes[{each.steps[-1]}]"
        fields.failed |= each.failed
        if node is not None:
            nodes.setdefault(node.id, node)
    return nodes


def _node(fields: Fields, timers: Mapping[Trigger, timedelta], *, braces: bool) -> Node | None:
    node_id = _node_id(fields)
    channel = fields.word("channel", Channel, required=True)
    action = fields.word("action", NodeAction, required=True)
    if action is NodeAction.WAIT:
        for key in ("subject", "body", "schedule", "senderIdentityId"):
            fields.misplaced(key, 'a node with the action "wait" sends nothing. Remove it, or make the action "send".')
    elif action is NodeAction.SEND and channel is Channel.SMS:
        fields.misplaced("subject", "a text message has no subject. Remove it.")
    subject, body = fields.text("subject"), fields.text("body")
    if braces:
        subject, body = _double_braces(subject), _double_braces(body)
    delay = _delay(fields)
    sender = _sender(fields)
    transitions = [_transition(each, timers, fields) for each in fields.objects("transitions", _TRANSITION_KEYS)]
    if fields.failed or node_id is None or channel is None or action is None:
        return None
    ways = tuple(transition for transition in transitions if transition is not None)
    contents = (Content(subject, body),) if action is NodeAction.SEND else ()
    return Node(node_id, channel, action, contents, delay, sender, transitions=ways)


def _node_id(fields: Fields) -> str | None:
    node_id = fields.text("id", required=True)
    if node_id is not None and node_id.lower() == STOP:
        fields.fault("id", FaultCode.INVALID_ID, '"stop" is the target that ends a campaign: give the node another id.')
    elif node_id is not None and not _NODE_ID.fullmatch(node_id):
        message = (
            f"{quoted(node_id)} is not an id: use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, digit or _."
        )
        fields.fault("id", FaultCode.INVALID_ID, message)
    return node_id


def _delay(fields: Fields) -> timedelta:
    schedule = fields.nested("schedule", ("delay",))
    if schedule is None:
        return timedelta(0)
    delay = schedule.duration("delay")
    fields.failed |= schedule.failed
    return delay or timedelta(0)


def _sender(fields: Fields) -> str | None:
    sender = fields.text("senderIdentityId")
    if sender is not None and not 1 <= len(sender) <= 64:
        message = '"senderIdentityId" must have 1 to 64 characters: write the id of a sender identity, or leave it out.'
        fields.fault("senderIdentityId", FaultCode.OUT_OF_RANGE, message)
    return sender


def _transition(fields: Fields, timers: Mapping[Trigger, timedelta], node: Fields) -> Transition | None:
    trigger = fields.word("on", Trigger, required=True)
    target = fields.text("to", required=True, hint=': a node\'s id or "stop"')
    within, after = fields.duration("within"), fields.duration("after")
    confidence = fields.word("minConfidence", Confidence)
    if trigger is not None and trigger.is_timer:
        fields.misplaced("within", f'"{trigger}" is a timer. Write "after".')
        fields.misplaced("minConfidence", f'"{trigger}" is a timer. Put it on the event that the timer waits for.')
        after = after if after is not None else timers[trigger]
    elif trigger is not None and after is not None:
        near = did_you_mean(f"no_{trigger}", DEFAULT_TIMERS)
        fields.misplaced("after", f'"{trigger}" is an event. Write "within", or a timer{near}.')
    node.failed |= fields.failed
    if fields.failed or trigger is None or target is None:
        return None
    return Transition(trigger, target, within, after, confidence or Confidence.MACHINE)


_BRACES: Final = re.compile(
    r"\{\{(?:.*?\}\}|.*)|\{%(?:.*?%\}|.*)|\{[ \t]*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[ \t]*\}", re.DOTALL | re.ASCII
)


def _double_braces(template: str | None) -> str | None:
    """The single-brace form of version "1.0", `{contact.name}`, as Liquid; what already is Liquid stays as it is."""
    if template is None or "{" not in template:
        return template
    return _BRACES.sub(lambda match: match[0] if match[1] is None else f"{{{{ {match[1]} }}}}", template)
