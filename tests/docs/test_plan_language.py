"""The documents on the plan language are current: the schema is the code's, every fault has its line, and the plans shown are sound."""

import json
import re
from pathlib import Path

import pytest

from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.schema import plan_schema
from dripiq.domain.plan.verify import check_plan
from dripiq.domain.plan.vocabulary import DEFAULTS_KEYS, NODE_KEYS, PLAN_KEYS, TRANSITION_KEYS, VARIANT_KEYS

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGE = (DOCS / "plan-language.md").read_text()
PLANS = re.findall(r"^```json\n(.*?)^```", LANGUAGE, re.MULTILINE | re.DOTALL)


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads((DOCS / "plan.schema.json").read_text())
    assert published == plan_schema(), "run: dripiq plan schema > docs/plan.schema.json"


def test_every_fault_is_explained_and_none_that_there_is_not() -> None:
    _, _, section = LANGUAGE.partition("\n## Faults\n")
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    listed = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(FaultCode), "docs/plan-language.md lists each fault code in a row of its tables"


@pytest.mark.parametrize("key", sorted({*PLAN_KEYS, *NODE_KEYS, *VARIANT_KEYS, *TRANSITION_KEYS, *DEFAULTS_KEYS}))
def test_every_key_is_documented(key: str) -> None:
    assert re.search(rf"[`.]{key}`", LANGUAGE), key


def test_the_plans_shown_have_no_faults() -> None:
    assert PLANS
    for plan in PLANS:
        check_plan(plan)
