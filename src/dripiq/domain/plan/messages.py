"""Does every message of a plan say something, in templates that can be read?

A message needs a text, and an e-mail a subject, unless it answers the one before it; in every variant. What all variants of a node have in common is
reported once, as the node's.
"""

import re
from collections.abc import Iterator
from typing import Final

from dripiq.domain.plan.faults import Fault, FaultCode, quoted
from dripiq.domain.plan.model import Content, Node
from dripiq.domain.render import ROOTS, check_template
from dripiq.domain.states import Channel

_PARTS: Final = ("subject", "body", "html")
_FIELD: Final = rf"(?:{'|'.join(ROOTS[:-1])})\.[A-Za-z_][^{{}}\n]*|{ROOTS[-1]}[ \t]*"
_SINGLE: Final = re.compile(rf"\{{\{{(?:.*?\}}\}}|.*)|\{{%(?:.*?%\}}|.*)|\{{[ \t]*({_FIELD})\}}", re.DOTALL)


def content_faults(path: str, node: Node) -> Iterator[Fault]:
    """What is wrong with what a node sends; `path` is the node's. Nothing where it sends nothing."""
    for part in _PARTS:
        templates = [getattr(content, part) for content in node.contents]
        lacking = [_lacks(node, content, part) for content in node.contents]
        if lacking and all(lacking):
            yield missing_content(f"{path}.{part}", f"The node {quoted(node.id)}", part)
        elif len(set(templates)) == 1 and not any(lacking):
            yield from _of_template(f"{path}.{part}", templates[0])
        else:
            for index, content in enumerate(node.contents):
                here = f"{path}.variants[{index}].{part}"
                if lacking[index]:
                    yield missing_content(
                        here, f"The variant {quoted(content.variant)} of the node {quoted(node.id)}", part
                    )
                else:
                    yield from _of_template(here, templates[index])


def _lacks(node: Node, content: Content, part: str) -> bool:
    """Whether a part that the message cannot do without is not there, or blank; a part that is there must not be blank."""
    template = getattr(content, part)
    if template is not None:
        return not template.strip()
    if part == "subject":
        return node.channel is Channel.EMAIL and not node.in_thread
    return part == "body" and content.html is None


def missing_content(path: str, who: str, part: str) -> Fault:
    """A message that lacks what it cannot do without."""
    message = f'{who} sends a message without "{part}": write one.'
    return Fault(path, FaultCode.MISSING_CONTENT, message)


def _of_template(path: str, template: str | None) -> Iterator[Fault]:
    return template_faults(path, template) if template is not None else iter(())


def template_faults(path: str, template: str) -> Iterator[Fault]:
    """What is wrong with one template, wherever it stands."""
    for problem in check_template(template):
        yield Fault(path, FaultCode(problem.code), problem.message)
    for written in dict.fromkeys(_single_braces(template)):
        message = f"{quoted(written)} would be sent as it stands: write {quoted('{' + written + '}')}."
        yield Fault(path, FaultCode.SINGLE_BRACES, message)


def _single_braces(template: str) -> Iterator[str]:
    """What reads like an output of a record's field, and is none for want of the second brace; other text in braces is text."""
    if "{" in template:
        yield from (match[0] for match in _SINGLE.finditer(template) if match[1] is not None)
