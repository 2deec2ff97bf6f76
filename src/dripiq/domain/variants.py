"""Which variant of a message does a contact get?

The hash of contact and node decides, so the answer is the same on every machine and for ever, as long as the weights stay as they are.
"""

from bisect import bisect_right
from itertools import accumulate

from dripiq.domain.ids import digest
from dripiq.domain.plan.model import Content, Node


def share(*parts: str) -> float:
    """A number from 0 up to, not including, 1, that the parts decide: evenly spread, the same on every machine."""
    return int(digest(*parts)[:13], 16) / 16**13


def content_of(node: Node, contact_id: str) -> Content:
    """What a send node says to a contact.

    Raises:
        IndexError: the node sends nothing.
    """
    if len(node.contents) == 1:
        return node.contents[0]
    bounds = list(accumulate(content.weight for content in node.contents))
    return node.contents[bisect_right(bounds, share("variant", contact_id, node.id) * bounds[-1])]
