"""What can be told of a plan whose form keeps it from being read?

What needs no whole: each text, each target and the zones can be judged where they stand, so that their faults come in one report with those of form. What
follows from how the nodes hang together is `verify`'s, once the form is right.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from dripiq.domain.events import Trigger
from dripiq.domain.plan.document import json_path
from dripiq.domain.plan.faults import Fault, FaultCode, Hints, quoted
from dripiq.domain.plan.liquid import MAX_LIQUID, liquid_length
from dripiq.domain.plan.messages import missing_content, template_faults
from dripiq.domain.plan.model import CONTACT_ZONE, STOP
from dripiq.domain.plan.parse_node import double_braces
from dripiq.domain.plan.vocabulary import EMAIL_KEYS, MAX_NODES, MAX_TRANSITIONS, TEXT_KEYS, Version
from dripiq.domain.plan.ways import answered_already, no_target
from dripiq.domain.states import Channel
from dripiq.domain.zones import zone_names

Place = tuple[object, ...]
Found = tuple[Place, Mapping[str, object]]


def glance(document: Mapping[str, object]) -> Iterator[Fault]:
    """The faults of meaning that stand by themselves, in the order of the document, for a document of whatever form."""
    hints = Hints()
    zone = document.get("timezone")
    if isinstance(zone, str) and zone != CONTACT_ZONE:
        yield from unknown_zone("$.timezone", zone, hints)
    defaults = document.get("defaults")
    fallback = defaults.get("timezone") if isinstance(defaults, Mapping) else None
    if isinstance(fallback, str) and zone == CONTACT_ZONE:
        yield from unknown_zone("$.defaults.timezone", fallback, hints)
    nodes = list(_objects(document, "nodes", ()))
    ids = {node_id: None for _, node in nodes if isinstance(node_id := node.get("id"), str)}
    named = sum(isinstance(node.get("id"), str) for _, node in nodes) == len(_list(document, "nodes"))
    start = document.get("startNodeId")
    if named and ids and isinstance(start, str) and start not in ids:
        yield no_start(start, ids, hints)
    texts = [
        (path, text if str(document.get("version")) == Version.V1_1 else double_braces(text))
        for path, text in _texts(nodes)
    ]
    if liquid_length(text for _, text in texts) > MAX_LIQUID:
        texts = []
    for path, text in texts:
        yield from template_faults(path, text)
    for place, node in nodes:
        yield from _lacking(place, node)
        yield from _ways(place, node, ids if named else None, hints)  # else any target may be one that nobody can read


def unknown_zone(path: str, name: str, hints: Hints) -> Iterator[Fault]:
    """A zone that there is not."""
    if name not in zone_names():
        near = hints.near(name, zone_names())
        message = f'There is no time zone {quoted(name)}{near}: write an IANA name, such as "Europe/Berlin".'
        yield Fault(path, FaultCode.UNKNOWN_TIMEZONE, message)


def no_start(start: str, node_ids: Collection[str], hints: Hints) -> Fault:
    """A start that is no node."""
    message = f"There is no node {quoted(start)}{hints.near(start, node_ids)}: name a node's id."
    return Fault("$.startNodeId", FaultCode.DANGLING_TARGET, message)


def _texts(nodes: list[Found]) -> Iterator[tuple[str, str]]:
    for place, node in nodes:
        keys = [key for key in TEXT_KEYS if not (node.get("channel") == Channel.SMS and key in EMAIL_KEYS)]
        for where, record in (
            ((place, node), *_objects(node, "variants", place)) if node.get("action") == "send" else ()
        ):
            for key in keys:
                text = record.get(key)
                if isinstance(text, str) and text.strip():
                    yield json_path((*where, key)), text


def _lacking(place: Place, node: Mapping[str, object]) -> Iterator[Fault]:
    """A message without a text, or an e-mail without a subject that answers none; with variants it takes a plan to know."""
    if node.get("action") != "send" or "variants" in node:
        return
    who = f"The node {quoted(node.get('id', place[-1]))}"
    if node.get("channel") == Channel.EMAIL and not node.keys() & {"subject", "replyTo"}:
        yield missing_content(json_path((*place, "subject")), who, "subject")
    if not node.keys() & {"body", "html"}:
        yield missing_content(json_path((*place, "body")), who, "body")


def _ways(place: Place, node: Mapping[str, object], ids: Collection[str] | None, hints: Hints) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, (where, way) in enumerate(_objects(node, "transitions", place)):
        target, trigger = way.get("to"), way.get("on")
        if ids is not None and isinstance(target, str) and target != STOP and target not in ids:
            yield no_target(json_path((*where, "to")), target, ids, hints)
        if isinstance(trigger, str) and trigger in _TRIGGERS:
            if trigger in seen:
                yield answered_already(json_path((*where, "on")), trigger, seen[trigger])
            seen.setdefault(trigger, index)


_TRIGGERS: Final = frozenset(map(str, Trigger))


def _list(record: Mapping[str, object], key: str) -> list[object]:
    """A list of no more than a plan may have; of a longer one its length is all that is said."""
    found = record.get(key)
    return found if isinstance(found, list) and len(found) <= max(MAX_NODES, MAX_TRANSITIONS) else []


def _objects(record: Mapping[str, object], key: str, place: Place) -> Iterator[Found]:
    for index, item in enumerate(_list(record, key)):
        if isinstance(item, Mapping):
            yield (*place, key, index), item
