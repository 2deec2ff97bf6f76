"""What templates ask for and a list of contacts lacks is counted, with the first who lacks it, before anything runs."""

from collections.abc import Sequence
from typing import Any

import pytest

from dripiq.domain.contact_file import read_contact_file
from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.model import Plan
from dripiq.domain.plan.variables import Listed, people_of, variable_faults
from dripiq.domain.plan.verify import check_plan


def plan_of(*nodes: dict[str, Any]) -> Plan:
    filled = [
        {"channel": "email", "action": "send", "subject": "Hello", "body": "Hello", **node, "id": f"n{number}"}
        for number, node in enumerate(nodes)
    ]
    return check_plan({"version": "1.1", "startNodeId": "n0", "nodes": filled})


def people(count: int, **lacks: Sequence[int]) -> list[Listed]:
    """So many contacts on lines from 2 on, with a name and a title, except those on these lines."""
    lines = range(2, count + 2)
    return [
        Listed(
            f"line {line}",
            {field: None if line in lacks.get(field, ()) else "x" for field in ("name", "title", "email")},
            {"name": "Acme"},
        )
        for line in lines
    ]


def told(plan: Plan, listed: Sequence[Listed]) -> list[tuple[str, str, str]]:
    return [(fault.path, fault.code.value, fault.message) for fault in variable_faults(plan, listed)]


def test_what_some_lack_is_counted_and_the_first_of_them_named() -> None:
    plan = plan_of({"body": "{{ contact.name }}, {{ contact.title }}"})
    assert told(plan, people(200, title=range(17, 29))) == [
        (
            "$.nodes[0].body",
            "missing_variable",
            'contact.title is missing for 12 of 200; first: line 17. Supply it, or write {{ contact.title | default: "…" }}.',
        )
    ]
    assert told(plan, people(200)) == []
    assert told(plan, []) == []


def test_what_nobody_can_have_is_unknown_and_the_nearest_name_is_told() -> None:
    plan = plan_of({"subject": "{{ contact.titel }}", "body": "{{ lead.industry }} {{ sender.nmae }} {{ tenant.any }}"})
    assert told(plan, people(3)) == [
        (
            "$.nodes[0].subject",
            "unknown_variable",
            'No contact has contact.titel (did you mean "contact.title"?): write one of email, name, title.',
        ),
        ("$.nodes[0].body", "unknown_variable", "No lead has lead.industry: write one of name."),
        (
            "$.nodes[0].body",
            "unknown_variable",
            'No sender has sender.nmae (did you mean "sender.name"?): write one of email, name.',
        ),
    ]


@pytest.mark.parametrize(
    "body",
    [
        '{{ contact.title | default: "x" }}',
        "{% if contact.title %}{{ contact.title }}{% endif %}",
        "{% if contact.name == 'y' %}{{ contact.title }}{% endif %}",
        "{% assign t = contact.title | default: 'x' %}{{ t | upcase }}",
        "{{ unsubscribe_url }} {{ sender.name }} {{ sender.email }} {{ tenant.name }}",
    ],
)
def test_what_is_guarded_or_defaulted_or_never_said_is_not_asked_for(body: str) -> None:
    assert told(plan_of({"body": body}), people(3, title=[2, 3])) == []


def test_every_template_is_looked_at_where_it_stands() -> None:
    plan = plan_of({"html": "<p>{{ contact.title | upcase }}</p>"})
    assert [path for path, _, _ in told(plan, people(3, title=[2]))] == ["$.nodes[0].html"]

    node = {"id": "a", "channel": "email", "action": "send", "subject": "{{ contact.title }}"}
    variants = [{"body": "{{ contact.title }}"}, {"body": "B"}]
    plan = check_plan({"version": "1.1", "startNodeId": "a", "nodes": [{**node, "variants": variants}]})
    assert [path for path, _, _ in told(plan, people(3, title=[2]))] == [
        "$.nodes[0].subject",
        "$.nodes[0].variants[0].body",
    ]


def test_all_that_a_plain_template_lacks_is_told_at_once() -> None:
    plan = plan_of({"body": "{{ contact.title }} {{ contact.name }}"})
    assert [message.partition("; first")[0] for _, _, message in told(plan, people(5, title=[3], name=[3, 4]))] == [
        "contact.name is missing for 2 of 5",
        "contact.title is missing for 1 of 5",
    ]


def test_what_cannot_be_rendered_for_some_is_told_with_the_reason() -> None:
    plan = plan_of({"body": "{{ 100 | divided_by: contact.title }}"})
    listed = [Listed(f"line {n}", {"title": n % 2}, {}) for n in range(4)]
    assert told(plan, listed) == [
        (
            "$.nodes[0].body",
            "template_failed",
            "The template cannot be rendered: divided_by: can't divide by 0. So it is for 2 of 4; first: line 0.",
        )
    ]


def test_a_contact_file_is_read_as_its_import_would_be() -> None:
    raw = b"Email,Full Name,Company,Job Title\na@example.com,Ann,Acme,CEO\nb@example.com,,Acme,CTO\n\nc@example.com,Cy,,CFO\n"
    contents = read_contact_file(raw)
    plan = plan_of(
        {"body": "{{ contact.name }} {{ lead.name }} {{ contact.email }} {{ contact.id }} {{ contact.job_title }}"}
    )
    faults = variable_faults(plan, people_of(contents), contents.columns.ignored)
    assert [(fault.code, fault.message.partition(". ")[0]) for fault in faults] == [
        (
            FaultCode.UNKNOWN_VARIABLE,
            'No contact has contact.job_title: the column "Job Title" is not imported',
        ),
        (FaultCode.MISSING_VARIABLE, "contact.name is missing for 1 of 3; first: line 3"),
        (FaultCode.MISSING_VARIABLE, "lead.name is missing for 1 of 3; first: line 5"),
    ]
