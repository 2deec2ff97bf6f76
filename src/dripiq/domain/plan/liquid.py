"""How much Liquid does a plan hold?

Reading Liquid takes some microseconds a letter, so what a plan may hold of it is bounded, beside the bounds of each template: a check answers within a
second whatever it is given. Templates with nothing but plain outputs (`{{ contact.name | default: "there" }}`) are split and not parsed, and do not count.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_LIQUID: Final = 100_000
"""Characters inside outputs and tags, of all templates of a plan that are not plain, each template once."""

_MARKER: Final = re.compile(r"\{\{(?:.*?\}\}|.*)|\{%(?:.*?%\}|.*)", re.DOTALL)


def liquid_length(templates: Iterable[str]) -> int:
    """Characters inside the outputs and tags of these templates, without plain ones."""
    from dripiq.domain.templates import is_plain  # the Liquid library takes longer to load than a plan to read

    return sum(
        len(marker[0])
        for template in set(templates)
        if "{{" in template or "{%" in template
        if not is_plain(template)
        for marker in _MARKER.finditer(template)
    )
