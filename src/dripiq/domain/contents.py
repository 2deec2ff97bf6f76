"""What does a message say to one contact?

The content that the plan chose for the contact, rendered: subject, text, HTML. Two rules beyond the templates' own:

- A message without a text of its own, of HTML alone, gets the text that its HTML reads as.
- A message that answers an earlier one (`replyTo: "previous"`) and has no subject takes that one's, behind one `Re:`. Where there is nothing to
  answer (its campaign went on under another plan, say) it begins a thread of its own, for which it needs a subject.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dripiq.domain.errors import DripiqError
from dripiq.domain.html_text import text_of_html
from dripiq.domain.plan.model import Content, Node
from dripiq.domain.render import render, render_html, render_subject
from dripiq.domain.states import Channel

MAX_REFERENCES: Final = 10
"""Messages of a thread that a later one names: enough for any reader to find them, and no header grows for ever."""

_RE: Final = re.compile(r"re\s*:", re.IGNORECASE)


class NothingToAnswer(DripiqError):  # noqa: N818  (the name says what happened; every error of the house is a DripiqError)
    """A message without a subject answers the one before, and none was sent."""

    code = "nothing_to_answer"
    http_status = 422

    def __init__(self, node_id: str) -> None:
        super().__init__(
            f"The node {node_id!r} answers the message before, and none was sent in this campaign: give it a subject.",
            facts={"node": node_id},
        )


class NothingToSay(DripiqError):  # noqa: N818
    """A message's subject or body comes out blank for a contact: no mail should look like that."""

    code = "nothing_to_say"
    http_status = 422

    def __init__(self, node_id: str, part: str) -> None:
        super().__init__(
            f"The {part} of the node {node_id!r} comes out blank here: give what it says a default.",
            facts={"node": node_id, "part": part},
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent: its node, Message-ID, subject and sender identity."""

    node_id: str
    message_id: str
    subject: str | None
    sender_id: str | None


@dataclass(frozen=True, slots=True)
class Thread:
    """What a message answers.

    Attributes:
        last: the message that it answers.
        references: the thread's Message-IDs, the oldest first, that of `last` at its end; `MAX_REFERENCES` at most.
    """

    last: Sent
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A message as rendered. `text` is never None; `subject` and `html` are where there is none."""

    subject: str | None
    text: str
    html: str | None


def context_of(
    contact: Mapping[str, Any],
    lead: Mapping[str, Any],
    tenant: Mapping[str, Any],
    sender: Any,
    unsubscribe_url: str | None,
) -> dict[str, object]:
    """What templates can speak of, by root. Records are whole rows; `sender` has from_email and from_name."""
    return {
        "contact": contact,
        "lead": lead,
        "tenant": tenant,
        "sender": {"email": sender.from_email, "name": sender.from_name},
        "unsubscribe_url": unsubscribe_url,
    }


def say(node: Node, content: Content, context: Mapping[str, object], thread: Thread | None) -> Said:
    """Render a message.

    Args:
        node, content: what is sent, and the content of it that was chosen (`variants.content_of`).
        context: see `context_of`.
        thread: what it answers; None where it answers nothing, or nothing was sent.

    Raises:
        MissingVariable, TemplateError: see `render`.
        NothingToAnswer: it has no subject, and answers nothing.
        NothingToSay: its subject or its whole body comes out blank.
    """
    subject = _subject(node, content, context, thread)
    html = render_html(content.html, context) if content.html is not None else None
    text = render(content.body or "", context) if content.body is not None or html is None else text_of_html(html)
    if node.channel is Channel.EMAIL and not (subject or "").strip():
        raise NothingToSay(node.id, "subject")
    if not text.strip() and not (html or "").strip():
        raise NothingToSay(node.id, "body")
    return Said(subject, text, html)


def thread_of(sent: Sequence[Sent], nodes: Mapping[str, Node]) -> Thread | None:
    """The thread that the last of these messages stands in; None where none was sent.

    Args:
        sent: what an enrolment sent, the oldest first.
        nodes: the plan's, which say which of them answered the one before.
    """
    if not sent:
        return None
    chain: list[str] = []
    for message in reversed(sent[-MAX_REFERENCES:]):
        chain.insert(0, message.message_id)
        node = nodes.get(message.node_id)
        if node is None or not node.in_thread:
            break
    return Thread(sent[-1], tuple(chain))


def _subject(node: Node, content: Content, context: Mapping[str, object], thread: Thread | None) -> str | None:
    if content.subject is not None:
        return render_subject(content.subject, context)
    if thread is not None and thread.last.subject is not None:
        subject = thread.last.subject
        return subject if _RE.match(subject) else f"Re: {subject}"
    if node.channel is Channel.EMAIL:
        raise NothingToAnswer(node.id)
    return None
