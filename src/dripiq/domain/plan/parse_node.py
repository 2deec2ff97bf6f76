"""What does one node say, as it is written?

A node with its messages and its ways on. What the plan as a whole says about how nodes are read comes as a `Reading`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from string import ascii_uppercase
from typing import Final

from dripiq.domain.events import Trigger
from dripiq.domain.plan.faults import FaultCode, quoted
from dripiq.domain.plan.fields import Fields
from dripiq.domain.plan.model import STOP, Content, Node, NodeAction, Transition
from dripiq.domain.plan.vocabulary import (
    EMAIL_KEYS,
    ID_PATTERN,
    MAX_TRANSITIONS,
    MAX_VARIANTS,
    MAX_WEIGHT,
    SCHEDULE_KEYS,
    SENDER_PATTERN,
    SENDING_KEYS,
    TEXT_KEYS,
    TIMERS,
    TRANSITION_KEYS,
    VARIANT_KEYS,
    ReplyTo,
)
from dripiq.domain.states import Channel, Confidence

_ID: Final = re.compile(ID_PATTERN)
_SENDER: Final = re.compile(SENDER_PATTERN)
_WANTED_ID: Final = "use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, digit or _"
_NO_MESSAGE: Final = 'a node with the action "wait" sends nothing. Remove it, or make the action "send".'
_TEXT_MESSAGE: Final = {
    "subject": "a text message has no subject. Remove it.",
    "html": 'a text message has no HTML. Remove it, and write "body".',
    "replyTo": "text messages are one thread anyway. Remove it.",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the nodes of this plan are read.

    Attributes:
        timers: how long a timer without `after` waits.
        calendar: days of durations are days of the calendar.
        braces: `{contact.name}` is an output (version "1.0").
    """

    timers: Mapping[Trigger, timedelta]
    calendar: bool
    braces: bool


def read_node(fields: Fields, reading: Reading) -> Node | None:
    """The node, or None after a finding that leaves it without a meaning."""
    node_id = _node_id(fields)
    channel = fields.word("channel", Channel, required=True)
    action = fields.word("action", NodeAction, required=True)
    contents: tuple[Content, ...] = ()
    delay, sender, in_thread = timedelta(0), None, False
    if action is NodeAction.WAIT:
        for key in SENDING_KEYS:
            fields.misplaced(key, _NO_MESSAGE)
    else:
        _refuse_for(channel, fields)
        contents = _contents(fields, channel, reading)
        delay = _delay(fields, reading)
        sender = fields.matching(
            "senderIdentityId", _SENDER, "the id of a sender: use 1 to 64 visible ASCII characters"
        )
        in_thread = fields.word("replyTo", ReplyTo) is not None and channel is not Channel.SMS
    ways = [
        _transition(each, reading, fields)
        for each in fields.objects("transitions", TRANSITION_KEYS, MAX_TRANSITIONS, empty=True)
    ]
    if fields.failed or node_id is None or channel is None or action is None:
        return None
    transitions = tuple(way for way in ways if way is not None)
    return Node(node_id, channel, action, contents, delay, sender, in_thread, transitions)


def _node_id(fields: Fields) -> str | None:
    node_id = fields.matching("id", _ID, f"an id: {_WANTED_ID}", required=True)
    if node_id is not None and node_id.lower() == STOP:
        fields.fault("id", FaultCode.INVALID_ID, '"stop" is the target that ends a campaign: give the node another id.')
    return node_id


def _refuse_for(channel: Channel | None, fields: Fields) -> None:
    if channel is Channel.SMS:
        for key in EMAIL_KEYS:
            fields.misplaced(key, _TEXT_MESSAGE[key])


def _delay(fields: Fields, reading: Reading) -> timedelta:
    schedule = fields.nested("schedule", SCHEDULE_KEYS)
    if schedule is None:
        return timedelta(0)
    delay = schedule.duration("delay", calendar=reading.calendar)
    fields.failed |= schedule.failed
    return delay or timedelta(0)


def _contents(fields: Fields, channel: Channel | None, reading: Reading) -> tuple[Content, ...]:
    """What the node says: once, or once per variant, where what a variant leaves out is the node's."""
    own = _texts(fields, channel, reading)
    if "variants" not in fields.value:
        return (Content(own["subject"], own["body"], own["html"]),)
    variants = list(fields.objects("variants", VARIANT_KEYS, MAX_VARIANTS))
    names: dict[str, int] = {}
    contents = [_variant(each, index, own, channel, reading, names) for index, each in enumerate(variants)]
    for key in TEXT_KEYS:
        if variants and all(key in each.value for each in variants):
            fields.misplaced(key, "every variant has its own. Remove it here, or there.")
    fields.failed |= any(each.failed for each in variants)
    return tuple(contents)


def _variant(
    fields: Fields,
    index: int,
    own: Mapping[str, str | None],
    channel: Channel | None,
    reading: Reading,
    names: dict[str, int],
) -> Content:
    _refuse_for(channel, fields)
    texts = {key: text if text is not None else own[key] for key, text in _texts(fields, channel, reading).items()}
    name = fields.matching("name", _ID, f"a name: {_WANTED_ID}") or ascii_uppercase[index]
    if name in names:
        message = f"{quoted(name)} is the name of variants[{names[name]}] already: give each variant its own."
        fields.fault("name", FaultCode.DUPLICATE_ID, message)
    names.setdefault(name, index)
    weight = fields.whole("weight", 1, MAX_WEIGHT)
    return Content(texts["subject"], texts["body"], texts["html"], name, 1 if weight is None else weight)


def _texts(fields: Fields, channel: Channel | None, reading: Reading) -> dict[str, str | None]:
    texts = {key: fields.text(key) for key in TEXT_KEYS}
    if channel is Channel.SMS:  # those are refused already
        texts |= dict.fromkeys(EMAIL_KEYS & texts.keys())
    return {key: double_braces(text) if text else text for key, text in texts.items()} if reading.braces else texts


def _transition(fields: Fields, reading: Reading, node: Fields) -> Transition | None:
    trigger = fields.word("on", Trigger, required=True)
    target = fields.text("to", required=True, hint=': a node\'s id or "stop"')
    within = fields.duration("within", calendar=reading.calendar)
    after = fields.duration("after", calendar=reading.calendar)
    confidence = fields.word("minConfidence", Confidence)
    if trigger is not None and trigger.is_timer:
        fields.misplaced("within", f'"{trigger}" is a timer. Write "after".')
        fields.misplaced("minConfidence", f'"{trigger}" is a timer. Put it on the event that the timer waits for.')
        within, confidence = None, None
        after = after if after is not None else reading.timers[trigger]
    elif trigger is not None and "after" in fields.value:
        near = fields.near(f"no_{trigger}", TIMERS)
        fields.misplaced("after", f'"{trigger}" is an event. Write "within", or a timer{near}.')
        after = None
    node.failed |= fields.failed
    if fields.failed or trigger is None or target is None:
        return None
    return Transition(trigger, target, within, after, confidence or Confidence.MACHINE)


_BRACES: Final = re.compile(
    r"\{\{(?:.*?\}\}|.*)|\{%(?:.*?%\}|.*)|\{[ \t]*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[ \t]*\}", re.DOTALL | re.ASCII
)


def double_braces(template: str) -> str:
    """The single-brace form of version "1.0", `{contact.name}`, as Liquid; what already is Liquid stays as it is."""
    if "{" not in template:
        return template
    return _BRACES.sub(lambda match: match[0] if match[1] is None else f"{{{{ {match[1]} }}}}", template)
