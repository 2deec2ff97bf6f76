"""The points at which a process may fall, as the document lists them."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"


def documented() -> list[str]:
    """Every point of the document, by stage and statement."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return sorted(f"{stage}:{statement}" for stage, said in rows for statement in re.findall(r"`([A-Z_]+)`", said))
