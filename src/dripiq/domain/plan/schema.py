"""What is the form of a plan, for editors and programs?

A JSON Schema (draft 2020-12) over the parser's own vocabulary. It says all of the form that a schema can say; what it cannot (an id that is taken, a day
that the calendar has not, a duration beyond ten years, a region without known holidays) and the meaning are for `dripiq plan check`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from dripiq.domain.events import Trigger
from dripiq.domain.plan.durations import MAX_DURATION, format_duration
from dripiq.domain.plan.model import CONTACT_ZONE, DEFAULT_TIMERS, STOP, NodeAction
from dripiq.domain.plan.vocabulary import (
    CLOCK_PATTERN,
    DATE_PATTERN,
    DURATION_PATTERN,
    EMAIL_KEYS,
    EVENT_KEYS,
    ID_PATTERN,
    MAX_HOLIDAYS,
    MAX_NODES,
    MAX_TRANSITIONS,
    MAX_VARIANTS,
    MAX_VISITS,
    MAX_WEIGHT,
    NEED_ZONE,
    REGION_PATTERN,
    SENDER_PATTERN,
    SENDING_KEYS,
    STOPPING,
    TEXT_KEYS,
    TIMER_KEYS,
    TIMERS,
    DayLength,
    ReplyTo,
    Version,
    Weekday,
)
from dripiq.domain.states import Channel, Confidence

Schema = dict[str, Any]

_REFUSED: Final = False
"""The schema that nothing passes."""


def plan_schema() -> Schema:
    """The JSON Schema of a plan, as plain JSON values in a fixed order."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:dripiq:plan",
        "title": "A dripiq plan",
        "description": "What the campaign of one contact does: messages, waits and reactions. `dripiq plan check` proves the rest.",
        **_object(_plan_properties(), ("version", "startNodeId", "nodes")),
        "dependentRequired": {key: ["timezone"] for key in NEED_ZONE},
        "allOf": [
            _when({"defaults": _has({"days": {"const": DayLength.CALENDAR.value}})}, {"required": ["timezone"]}),
            {
                **_when({"timezone": {"const": CONTACT_ZONE}}, {}),
                "else": {"properties": {"defaults": {"properties": {"timezone": _REFUSED}}}},
            },
        ],
        "$defs": {
            "duration": _text(
                f"A duration (ISO 8601) in weeks, days, hours, minutes and seconds; {MAX_DURATION.days} days at most.",
                DURATION_PATTERN,
                ("PT0S", "PT24H", "PT72H", "P3D", "P1W"),
            ),
            "clock": _text("A time of day, by the clock on the wall.", CLOCK_PATTERN, ("09:00", "17:30", "21:00")),
            "region": _text(
                "A country (ISO 3166-1), or a part of one (ISO 3166-2).", REGION_PATTERN, ("DE", "DE-BY", "US")
            ),
            "node": _node(),
            "variant": _variant(),
            "transition": _transition(),
        },
    }


def _plan_properties() -> Schema:
    return {
        "version": _word(
            'The language\'s version. In "1.0", {contact.name} is an output; in "1.1", braces are text.', Version
        ),
        "timezone": {
            "type": "string",
            "description": f'The zone in which times and days are meant: an IANA name, or "{CONTACT_ZONE}" for each contact\'s own. UTC, if not given.',
            "examples": [CONTACT_ZONE, "Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC"],
        },
        "quietHours": {
            "description": "Nothing is sent from start up to, not including, end; may run over midnight.",
            **_object({"start": _ref("clock"), "end": _ref("clock")}, ("start", "end")),
        },
        "sendWindow": {
            "description": "Messages leave only within it. Without times, the whole day.",
            **_object(
                {
                    "days": _list(
                        "The days, Monday to Friday if not given.",
                        {"enum": _values(Weekday)},
                        1,
                        len(Weekday),
                        unique=True,
                    ),
                    "start": _ref("clock"),
                    "end": _ref("clock"),
                }
            ),
            "dependentRequired": {"start": ["end"], "end": ["start"]},
        },
        "holidays": {
            "description": "Days on which nothing is sent: a country or a part of one, or a list of such and of dates.",
            "oneOf": [
                _ref("region"),
                _list(
                    "Regions and dates.",
                    {"anyOf": [_ref("region"), _text("A date.", DATE_PATTERN, ("2026-12-24",))]},
                    1,
                    MAX_HOLIDAYS,
                    unique=True,
                ),
            ],
        },
        "jitter": _ref("duration", "Each send is put off by a part of this, which contact and node decide."),
        "startNodeId": {"type": "string", "description": "The id of the first node."},
        "nodes": _list("The steps of the plan.", _ref("node"), 1, MAX_NODES),
        "maxVisits": _number("How often one node may be entered; required where nodes form a loop.", MAX_VISITS),
        "stopCompanyOnReply": {
            "type": "boolean",
            "default": False,
            "description": "A reply also stops the campaigns of the other contacts of the same company.",
        },
        "defaults": {"description": "What holds where nothing else is written.", **_object(_defaults_properties())},
    }


def _defaults_properties() -> Schema:
    return {
        "timers": {
            "description": "How long a timer without `after` waits.",
            **_object(
                {
                    timer.value: {**_ref("duration"), "default": format_duration(DEFAULT_TIMERS[timer])}
                    for timer in TIMERS
                }
            ),
        },
        "stopOn": _list(
            "What stops the campaign where no node answers it: `replied` and `bounced`, if not given. The others always do.",
            {"enum": [trigger.value for trigger in STOPPING]},
            0,
            len(STOPPING),
            unique=True,
        ),
        "timezone": {
            "type": "string",
            "description": f'The zone of contacts that have none; only with "timezone": "{CONTACT_ZONE}". UTC, if not given.',
            "examples": ["Europe/Berlin"],
        },
        "days": _word('What a day in a duration is: 24 hours ("24h", the default), or one of the calendar.', DayLength),
    }


def _texts() -> Schema:
    return {
        "subject": {"type": "string", "description": "The subject of an e-mail: a Liquid template."},
        "body": {"type": "string", "description": "The text of the message: a Liquid template."},
        "html": {
            "type": "string",
            "description": "The HTML part of an e-mail: a Liquid template. `body` may then be left out: the text part is made from it.",
        },
    }


def _node() -> Schema:
    properties = {
        "id": {**_text("The node's own name.", ID_PATTERN, ("intro", "bump")), "not": {"pattern": _anyhow(STOP)}},
        "channel": _word("How the contact is reached; one for all nodes.", Channel),
        "action": _word("What the node does on entry: send its message, or only wait.", NodeAction),
        **_texts(),
        "schedule": {
            "description": "When the message leaves.",
            **_object({"delay": _ref("duration", "From entry to the send; at once, if not given.")}),
        },
        "senderIdentityId": _text("A sender that overrides the campaign's.", SENDER_PATTERN),
        "replyTo": _word("Which message this one answers, in its thread.", ReplyTo),
        "variants": _list("One of them is sent to each contact, by their weights.", _ref("variant"), 1, MAX_VARIANTS),
        "transitions": _list("The ways on.", _ref("transition"), 0, MAX_TRANSITIONS),
    }
    sms = {
        **_refuse(EMAIL_KEYS),
        "properties": {
            **_refuse(EMAIL_KEYS)["properties"],
            "variants": {"items": _refuse([key for key in EMAIL_KEYS if key in TEXT_KEYS])},
        },
    }
    own_texts = [
        _when({"variants": {"type": "array", "minItems": 1, "items": {"required": [key]}}}, _refuse((key,)))
        for key in TEXT_KEYS
    ]
    return {
        "title": "A node",
        **_object(properties, ("id", "channel", "action")),
        "allOf": [
            _when({"action": {"const": NodeAction.WAIT.value}}, _refuse(SENDING_KEYS)),
            _when({"channel": {"const": Channel.SMS.value}, "action": {"const": NodeAction.SEND.value}}, sms),
            *own_texts,
        ],
    }


def _variant() -> Schema:
    return {
        "title": "A variant of a message",
        "description": "What it leaves out is the node's.",
        **_object(
            {
                "name": _text("Its name in reports; A, B, … if not given.", ID_PATTERN, ("A", "B")),
                "weight": {**_number("How often it is taken, against the sum of all.", MAX_WEIGHT), "default": 1},
                **_texts(),
            }
        ),
    }


def _transition() -> Schema:
    properties = {
        "on": _word("An event, or a timer (no_…).", Trigger),
        "to": {"type": "string", "description": f'The id of a node, or "{STOP}".', "examples": [STOP]},
        "within": _ref("duration", "Events only: how long after the start of the visit the event's own time may be."),
        "after": _ref("duration", "Timers only: when they fire."),
        "minConfidence": _word(
            "Events only: the weakest evidence that counts (human > unknown > machine).", Confidence
        ),
    }
    return {
        "title": "A way on",
        **_object(properties, ("on", "to")),
        "if": {"properties": {"on": {"enum": _values(TIMERS)}}},
        "then": _refuse(EVENT_KEYS),
        "else": _refuse(TIMER_KEYS),
    }


def _object(properties: Schema, required: Sequence[str] = ()) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def _list(description: str, items: Schema, least: int, most: int, *, unique: bool = False) -> Schema:
    once = {"uniqueItems": True} if unique else {}
    return {"type": "array", "description": description, "minItems": least, "maxItems": most, "items": items, **once}


def _text(description: str, pattern: str, examples: Sequence[str] = ()) -> Schema:
    shown = {"examples": list(examples)} if examples else {}
    return {"type": "string", "description": description, "pattern": f"^(?:{pattern})$", **shown}


def _word(description: str, words: type[StrEnum]) -> Schema:
    return {"description": description, "enum": _values(words)}


def _number(description: str, most: int) -> Schema:
    return {"type": "integer", "description": description, "minimum": 1, "maximum": most}


def _ref(name: str, description: str = "") -> Schema:
    return {"$ref": f"#/$defs/{name}", **({"description": description} if description else {})}


def _values(words: type[StrEnum] | Sequence[StrEnum]) -> list[str]:
    return [word.value for word in words]


def _has(properties: Mapping[str, Schema]) -> Schema:
    """Whether an object has these keys, with such values."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _when(properties: Mapping[str, Schema], then: Schema) -> Schema:
    return {"if": _has(properties), "then": then}


def _refuse(keys: Sequence[str]) -> Schema:
    return {"properties": dict.fromkeys(keys, _REFUSED)}


def _anyhow(word: str) -> str:
    """A pattern for the word in large and small letters."""
    return "^" + "".join(f"[{letter.lower()}{letter.upper()}]" for letter in word) + "$"
