"""What does a template say to this contact?

Liquid over five roots (`ROOTS`), in a closed room: no includes, no files, no clock, bounded input, loops, time and output. One rule beyond Liquid's own:
a value that is absent, null or empty text is *missing*. A missing value may be tested (`{% if contact.title %}`) or defaulted
(`| default: "there"`); wherever else it is used, rendering raises `MissingVariable`: no half-filled mail ever leaves.
"""

import re
from collections.abc import Mapping

from dripiq.domain.sandbox import ROOTS
from dripiq.domain.templates import MAX_TEMPLATE, MissingVariable, TemplateError, TemplateProblem, compiled

__all__ = [
    "MAX_TEMPLATE",
    "ROOTS",
    "MissingVariable",
    "TemplateError",
    "TemplateProblem",
    "check_template",
    "render",
    "render_html",
    "render_subject",
    "variables",
]

_CONTROLS = re.compile(r"\s*[\x00-\x1f\x7f-\x9f\u2028\u2029]\s*")


def render(template: str, context: Mapping[str, object]) -> str:
    """The template's text for one contact.

    Args:
        template: Liquid, at most `MAX_TEMPLATE` characters.
        context: values by root (see `ROOTS`); records are mappings, reached by key only, never by attribute.

    Raises:
        MissingVariable: a value without a default is absent, null or empty text.
        TemplateError: the template is malformed, a filter refuses its input, or loops, steps or output exceed their bounds.
    """
    return compiled(template).render(context)


def render_html(template: str, context: Mapping[str, object]) -> str:
    """`render` for an HTML part: every value is escaped (`& < > " '`), wherever it stands; what the template itself says is not."""
    return compiled(template, html=True).render(context)


def render_subject(template: str, context: Mapping[str, object]) -> str:
    """`render` for a header: line breaks and control characters become one space, so no value can add a header (RFC 5322, section 2.2)."""
    return _CONTROLS.sub(" ", render(template, context)).strip()


def variables(template: str) -> set[str]:
    """The dotted names that the template needs from every contact: used outside a test, without a default, and not guarded by an
    enclosing test of the same name.

    Raises:
        TemplateError: the template is malformed.
    """
    return set(compiled(template).variables)


def check_template(template: str) -> list[TemplateProblem]:
    """Every problem that can be told without a contact; empty when the template can be used."""
    try:
        found = compiled(template)
    except TemplateError as error:
        return [TemplateProblem("template_syntax", error.message)]
    return list(found.problems())
