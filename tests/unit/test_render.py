"""What a template says, what it must not be able to do, and that its two forms are one."""

# ruff: noqa: E501  (the tables of problems hold whole sentences; broken up, they could not be searched for)

import contextlib
import time
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.render import (
    MAX_TEMPLATE,
    MissingVariable,
    TemplateError,
    check_template,
    render,
    render_html,
    render_subject,
    variables,
)
from dripiq.domain.sandbox import HTML_SANDBOX, SANDBOX
from dripiq.domain.templates import _Full, _plain_parts, compiled

CONTEXT: dict[str, Any] = {
    "contact": {"name": "Ann", "title": "", "phone": None, "age": 41, "tags": ["a", "b"], "vip": False, "city": {"name": "Ulm"}},
    "lead": {"name": "Acme & Söhne"},
    "sender": {"name": "Bo"},
    "tenant": {"name": "dripiq"},
    "unsubscribe_url": "https://example.com/u?a=1&b=2",
}  # fmt: skip
LARGE: dict[str, Any] = {**CONTEXT, "contact": {**CONTEXT["contact"], "bio": "é'<" * 300_000, "tags": ["a"] * 50}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("no variables { } }} %}", "no variables { } }} %}"),
        ("Hi {{ contact.name }}, of {{lead.name}}!", "Hi Ann, of Acme & Söhne!"),
        ("{{ contact.city.name }} {{ contact.age }} {{ contact.vip }}", "Ulm 41 false"),
        ('{{ contact.title | default: "friend" }}', "friend"),
        ('{{ contact.phone | default: "" }}|{{ contact.none.such | default: "x" }}', "|x"),
        ('{{ contact.vip | default: "no" }}', "no"),
        ("{{ unsubscribe_url }}", "https://example.com/u?a=1&b=2"),
        ("{{ contact.name | upcase | append: '!' }}", "ANN!"),
        ("{{ contact.nick | default: contact.name }}", "Ann"),
        ("{% if contact.title %}T{% elsif contact.age > 40 %}A{% else %}E{% endif %}", "A"),
        ("{% unless contact.phone %}none{% endunless %}", "none"),
        ("{% case contact.nothing %}{% when 'a' %}1{% else %}2{% endcase %}", "2"),
        ("{% for tag in contact.tags %}{{ forloop.index }}{{ tag }} {% endfor %}", "1a 2b "),
        ("{% assign n = contact.title | default: 'you' %}{{ n }}", "you"),
        ("{{ contact['name'] }} {{ contact.tags[1] }} {{ contact.tags.first }} {{ contact.name.size }}", "Ann b a 3"),
        ("a {{- contact.name -}} b", "aAnnb"),
        ("{{ '2026-03-01' | date: '%d.%m.%Y' }}", "01.03.2026"),
    ],
)
def test_a_template_says_what_liquid_says(template: str, text: str) -> None:
    assert check_template(template) == []
    assert render(template, CONTEXT) == text


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ contact.nmae }}", "contact.nmae"),
        ("{{ contact.title }}", "contact.title"),
        ("{{ contact.phone }}", "contact.phone"),
        ("{{ contact.city.zip.code }}", "contact.city.zip.code"),
        ("{{ contact.name.first_part }}", "contact.name.first_part"),
        ("{{ contact.phone | upcase }}", "contact.phone"),
        ("{{ contact.phone | append: '!' }}", "contact.phone"),
        ("{{ contact.born | date: '%Y' }}", "contact.born"),
        ("{{ contact.nick | default: contact.phone }}", "contact.phone"),
        ("{% for tag in contact.labels %}{{ tag }}{% endfor %}", "contact.labels"),
        ("{% assign n = contact.phone %}{{ n }}", "contact.phone"),
        ("{{ contact.tags[7] }}", "contact.tags.7"),
        ("{{ nobody.name }}", "nobody.name"),
        ("{{ now }}", "now"),
        ("{{ today | date: '%Y' }}", "today"),
    ],
)
def test_a_missing_value_stops_the_message_and_is_named(template: str, name: str) -> None:
    with pytest.raises(MissingVariable) as caught:
        render(template, CONTEXT)
    assert caught.value.variable == name
    assert caught.value.error_code == "template_missing"
    assert caught.value.facts == {"variable": name}
    assert caught.value.message == (
        f'The template needs {name}, which has no value here: supply it, or write {{{{ {name} | default: "…" }}}}.'
    )


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("plain", set()),
        ("{{ contact.name }} {{ lead.name }} {{ contact.name }}", {"contact.name", "lead.name"}),
        ('{{ contact.name | default: "x" }} {{ contact.age }}', {"contact.age"}),
        ("{{ contact.name | upcase }} {{ lead.name | default: 'x' | upcase }}", {"contact.name"}),
        ("{% if contact.title %}{{ contact.title }} {{ contact.name }}{% endif %}", {"contact.name"}),
        ("{% unless contact.a %}{% else %}{{ contact.a }}{% endunless %}{{ contact.b }}", {"contact.b"}),
        ("{% for tag in contact.tags %}{{ tag }}{{ contact.name }}{% endfor %}", {"contact.tags", "contact.name"}),
        ("{% case lead.kind %}{% when 'a' %}{{ lead.kind }}{% endcase %}", set()),
        ("{{ 'a' | append: contact.name }}", {"contact.name"}),
    ],
)
def test_the_values_that_a_template_needs_are_known_without_a_contact(template: str, names: set[str]) -> None:
    assert variables(template) == names


@pytest.mark.parametrize(
    ("template", "code", "message"),
    [
        ("a\n{{ contact.name", "template_syntax", "Line 2: '{{' has no '}}' within 500 characters."),
        ("{% if contact.name %}", "template_syntax", "At the end: expected tag endif, found end of expression."),
        ("{% include 'x' %}", "template_syntax", "Line 1: unexpected tag 'include'."),
        ("{% render 'x' %}", "template_syntax", "Line 1: unexpected tag 'render'."),
        ("{% raw %}{{ x }}{% endraw %}", "template_syntax", "Line 1: the tag 'raw' is not available."),
        ("{{ contact.name | upcas }}", "template_syntax", "There is no filter 'upcas' (did you mean 'upcase'?)."),
        ("{{ }}", "template_syntax", "At the end: expected a primitive expression, found end of expression."),
        ("{{" + " " * 41 + "contact.name | upcase }}", "template_syntax", "Line 1: there are more than 40 blanks in a row between '{{' and '}}'."),
        ("{{ leed.name }}", "template_root", "Nothing is called 'leed' (did you mean 'lead'?): use contact, lead, sender, tenant or unsubscribe_url."),
        ("{% if nobody %}{% endif %}", "template_root", "Nothing is called 'nobody': use contact, lead, sender, tenant or unsubscribe_url."),
        ("{{ contact }}", "template_root", "'contact' is a whole record: name one of its fields, such as contact.name."),
        ("x" * (MAX_TEMPLATE + 1), "template_syntax", "The template has 100001 characters: shorten it to at most 100000."),
        ("{{ contact.name | upcase }}" * 1001, "template_syntax", "The template has more than 1000 outputs and tags: use fewer."),
    ],
)  # fmt: skip
def test_each_problem_of_a_template_is_told_without_a_contact(template: str, code: str, message: str) -> None:
    assert [(problem.code, problem.message) for problem in check_template(template)] == [(code, message)]


TOO_MUCH = "it does too much: shorten its loops, or the texts they work on"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in (1..999999999) %}x{% endfor %}", "loop iteration limit reached"),
        ("{% for i in (1..200) %}{% for j in (1..200) %}x{% endfor %}{% endfor %}", "loop iteration limit reached"),
        ("{{ (1..999999999) | join: 'x' }}", "the range is longer than 10000"),
        ("{% for i in (1..9999) %}" + "x" * 101 + "{% endfor %}", "output stream limit reached"),
        ("{% assign a = 'x' %}" + "{% assign a = a | append: a %}" * 40, TOO_MUCH),
        ("{% capture a %}{% for i in (1..4999) %}xxxxxxxxxx{% endfor %}{% endcapture %}{{ a | replace: 'x', a }}", "replace would make more than 1000000 characters"),
        ("{% capture a %}{% for i in (1..4999) %}x{% endfor %}{% endcapture %}{{ (1..9999) | join: a }}", "join would make more than 1000000 characters"),
        ("{% assign a = 999999 %}" + "{% assign a = a | times: a %}" * 40, "times makes a number beyond 1000000000000000"),
        ("{{ 'now' | date: '%Y' }}", "'now' is not available: a template has no clock"),
        ("{{ 1 | divided_by: 0 }}", "divided_by: can't divide by 0"),
        ("{{ contact.bio | date: '%Y' }}", "a date and its format have at most 100 characters"),
    ],
)  # fmt: skip
def test_what_a_template_may_use_up_is_bounded(template: str, reason: str) -> None:
    assert check_template(template) == []
    begun = time.process_time()
    with pytest.raises(TemplateError) as caught:
        render(template, LARGE)
    assert caught.value.message == f"The template cannot be rendered: {reason}."
    assert caught.value.error_code == "template_failed"
    assert time.process_time() - begun < 2


MANY_TESTS = "{% if " + " or ".join(["1==2"] * 55) + " %}{% endif %}"
MANY_FILTERS = "{{ 1" + "|abs" * 120 + " }}"
MANY_NAMES = "".join(f"{{% assign a{n} = 1 %}}" for n in range(480))


@pytest.mark.parametrize("html", [False, True], ids=["text", "html"])
@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..9999) %}" + MANY_TESTS + "{% endfor %}",
        "{% for i in (1..180) %}" + MANY_TESTS * 10 + "{% endfor %}",
        "{% for i in (1..300) %}" + MANY_FILTERS + "{% endfor %}",
        "{% for i in (1..2000) %}" + MANY_FILTERS + "{% endfor %}",
        "{% for i in (1..2000) %}{% endfor %}" * 20,
        "{% for i in (1..90) %}{% for j in (1..100) %}{{ i }}{{ j }}{% endfor %}{% endfor %}",
        "{% for i in (1..9999) %}{% if contact.bio contains 'zq' %}{% endif %}{% endfor %}",
        "{% assign b = contact.bio %}{% for i in (1..9999) %}{% if contact.bio == b %}{% endif %}{% endfor %}",
        "{% for i in (1..100) %}{{ contact.bio | replace: 'é','xé' | size }}{% endfor %}",
        "{% for i in (1..100) %}{{ contact.bio | url_encode | size }}{% endfor %}",
        "{% assign x = contact.bio | split: '' %}" + "{% assign y = x | join: 'é' %}" * 10,
        "{% for i in (1..9999) %}{% capture b %}" + "é" * 90_000 + "{% endcapture %}{% endfor %}",
        "{% for i in (1..9999) %}{% capture b %}{{ contact.bio }}{% endcapture %}{% endfor %}",
        MANY_NAMES + "{% for i in (1..200) %}" + MANY_NAMES + "{% endfor %}",
        "{{ contact.bio | squish | squish | newline_to_br | escape | escape_once | upcase | size }}",
        "{% for i in (1..2000) %}{{ 'mon tue wed thu fri sat sun jan feb mar apr may' | append: i | date: '%Y' }}{% endfor %}",
        "{% for i in (1..9999) %}{{ contact.tags | join: '' | size }}{% endfor %}",
    ],
    ids=lambda template: template[:40] if isinstance(template, str) else None,
)
def test_nothing_renders_for_long(template: str, html: bool) -> None:
    try:
        ready = compiled(template, html=html)
    except TemplateError:
        return  # refused before it could
    begun = time.process_time()
    with contextlib.suppress(TemplateError):
        ready.render(LARGE)
    assert time.process_time() - begun < 0.5  # a tenth of that, on a machine with nothing else to do


def test_long_messages_stay_well_within_the_bounds() -> None:
    bio = "A sentence about somebody, as long as such sentences are.\n" * 500
    tags = [f"tag {number}" for number in range(500)]
    template = "{{ contact.bio | strip | newline_to_br }}{% for tag in contact.tags %}<li>{{ forloop.index }}. {{ tag | upcase }}</li>{% endfor %}"
    text = render_html(template * 1, {"contact": {"bio": bio, "tags": tags}})
    assert text.count("<li>") == 500
    assert len(text) > 30_000


@pytest.mark.parametrize(
    ("template", "html"),
    [
        ("<b>{{ contact.name }}</b> & co", "<b>&lt;i&gt;A &amp; &#34;B&#34; &#39;C&#39;</b> & co"),
        ('<b>{{ contact.none | default: "<br>" }}</b>', "<b><br></b>"),
        ("<a href='{{ unsubscribe_url }}'>", "<a href='https://example.com/u?a=1&amp;b=2'>"),
        ("{{ contact.name | upcase }}", "&lt;I&gt;A &amp; &#34;B&#34; &#39;C&#39;"),
        ("{{ contact.name | escape }}", "&lt;i&gt;A &amp; &#34;B&#34; &#39;C&#39;"),
        ("{{ contact.name | append: '<br>' }}", "&lt;i&gt;A &amp; &#34;B&#34; &#39;C&#39;<br>"),
        ("{{ '<br>' | append: contact.name }}", "<br>&lt;i&gt;A &amp; &#34;B&#34; &#39;C&#39;"),
        ("{{ contact.lines | newline_to_br }}", "a&lt;<br />\nb"),
        ("{% for tag in contact.tags %}<li>{{ tag }}</li>{% endfor %}", "<li>&lt;1&gt;</li><li>2</li>"),
        ("{{ contact.tags }}", "&lt;1&gt;2"),
        ("{% capture x %}<b>{{ contact.name }}</b>{% endcapture %}{{ x }}", "<b>&lt;i&gt;A &amp; &#34;B&#34; &#39;C&#39;</b>"),
        ("{% if contact.lines contains '<' and contact.tags[0] == '<1>' %}same{% endif %}", "same"),
    ],
)  # fmt: skip
def test_in_html_every_value_is_escaped_and_the_template_itself_is_not(template: str, html: str) -> None:
    contact = {"name": "<i>A & \"B\" 'C'", "lines": "a<\nb", "tags": ["<1>", 2]}
    assert render_html(template, {**CONTEXT, "contact": contact}) == html


@pytest.mark.parametrize("first", sorted(SANDBOX.filters))
def test_no_filter_and_no_two_let_a_value_through_unescaped(first: str) -> None:
    given = {"replace": ": 'x', 'y'", "replace_first": ": 'x', 'y'", "replace_last": ": 'x', 'y'", "slice": ": 0, 99"}  # fmt: skip
    counted = ["truncate", "truncatewords", "at_least", "at_most", "plus", "minus", "times", "divided_by", "modulo", "round"]  # fmt: skip
    given |= dict.fromkeys(counted, ": 9")
    worded = ["append", "prepend", "remove", "remove_first", "remove_last", "split", "join", "default", "date"]
    given |= dict.fromkeys(worded, ": 'x'")
    for second in ("", *SANDBOX.filters):
        steps = "".join(f" | {name}{given.get(name, '')}" for name in (first, second) if name)
        for template in (f"{{{{ contact.name{steps} }}}}", f"{{% assign v = contact.name{steps} %}}{{{{ v }}}}"):
            for value in ("<img src=q onerror=1>\"'", "%3Cimg src=q%3E", ["<img", ">"], {"a": "<img>"}):
                with contextlib.suppress(TemplateError, MissingVariable):
                    html = render_html(template, {**CONTEXT, "contact": {"name": value}}).replace("<br />", "")
                    assert "<img" not in html
                    assert '"' not in html


@pytest.mark.parametrize(
    "marker", ["{{", "{%", "{{ '", "{{ x |", "{% if ", "{% raw %}", "{% comment %}", "{{ [", "{{" + " " * 39]
)
def test_hostile_templates_are_refused_quickly(marker: str) -> None:
    begun = time.process_time()
    for closing in ("", "}}", "%}"):
        assert check_template((marker + closing) * (MAX_TEMPLATE // len(marker + closing))) != []
    assert time.process_time() - begun < 2


def test_records_are_reached_by_key_only() -> None:
    for name in ("__class__", "keys", "items", "__init__"):
        with pytest.raises(MissingVariable):
            render(f"{{{{ contact.{name} }}}}", CONTEXT)
        with pytest.raises(MissingVariable):
            render(f"{{{{ contact.{name} | append: '' }}}}", CONTEXT)


def test_a_plain_template_is_bounded_in_output_too() -> None:
    with pytest.raises(TemplateError, match="output stream limit reached"):
        render("{{ contact.name }}" * 2, {"contact": {"name": "é" * 300_000}})
    assert len(render("{{ contact.name }}", {"contact": {"name": "x" * 1_000_000}})) == 1_000_000


@pytest.mark.parametrize(
    "breaks", ["\r\n", "\n", "\r", "\n\n ", " \t", "\x0b", "\x0c", "\x00", "\x85", "\u2028", "\u2029"]
)
def test_no_value_can_break_a_subject_into_a_second_header(breaks: str) -> None:
    context = {"contact": {"name": f"Ann{breaks}Bcc: x@example.com"}}
    assert render_subject(" Hi {{ contact.name }}\n", context) == "Hi Ann Bcc: x@example.com"


def test_any_mapping_will_do_as_context() -> None:
    context = MappingProxyType({"contact": MappingProxyType({"name": "Ann"})})
    assert render("{{ contact.name }} {{ contact.name | upcase }}", context) == "Ann ANN"


names = st.sampled_from(["name", "title", "phone", "age", "tags", "vip", "city", "city.name", "none", "name.x", "tags.x", "size", "first", "for", "nil", "contains"])  # fmt: skip
outputs = st.builds(
    "{{{{{}{}{}{}}}}}".format,
    st.sampled_from(["", " ", "  ", "-", "- ", "\t", "{"]),
    st.builds("{}.{}".format, st.sampled_from(["contact", "lead", "nobody", "contacts"]), names) | st.sampled_from(["unsubscribe_url", "contact"]),
    st.sampled_from(["", "", ' | default: "x"', ' |default:""', "| default: 'y'", ' | default: "a}b"', ' | default: "%"', " | upcase"]),
    st.sampled_from(["", " ", " -", "\n"]),
)  # fmt: skip
literals = st.text(st.sampled_from(list("ab {}%|\n\"é'-")), max_size=6)
templates = st.lists(outputs | literals, max_size=6).map("".join)
values: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.lists(st.text(max_size=2), max_size=2) | st.just({})  # fmt: skip
contexts = st.fixed_dictionaries(
    {"unsubscribe_url": st.just("https://example.com/u")},
    optional={root: st.dictionaries(names, values | st.dictionaries(names, values, max_size=3), max_size=6) for root in ("contact", "lead")},
)  # fmt: skip


def outcome(template: Any, context: dict[str, Any]) -> tuple[str, str]:
    try:
        return "text", template.render(context)
    except MissingVariable as error:
        return "missing", error.variable
    except TemplateError as error:
        return "error", error.message


@given(template=templates, context=contexts)
def test_the_fast_form_and_the_library_agree(template: str, context: dict[str, Any]) -> None:
    if _plain_parts(template) is None:
        return
    for html, sandbox in ((False, SANDBOX), (True, HTML_SANDBOX)):
        fast, full = compiled(template, html=html), _Full(sandbox.from_string(template), frozenset())
        assert outcome(fast, context) == outcome(full, context)
        assert list(fast.problems()) == list(full.problems())


@given(template=templates, context=contexts)
def test_no_template_raises_anything_but_its_own_errors(template: str, context: dict[str, Any]) -> None:
    try:
        assert isinstance(render(template, context), str)
        assert isinstance(render_html(template, context), str)
        assert isinstance(variables(template), set)
    except (MissingVariable, TemplateError):
        pass


@given(template=templates, context=contexts)
def test_whatever_is_missing_at_rendering_was_listed_as_needed(template: str, context: dict[str, Any]) -> None:
    kind, variable = outcome(compiled(template), context) if not check_template(template) else ("text", "")
    assert kind != "missing" or variable in variables(template)


@pytest.mark.parametrize("name", ["first", "last", "size"])
def test_a_record_has_its_fields_and_none_of_liquids_own(name: str) -> None:
    template = f"Hi {{{{ contact.{name} }}}}"
    assert variables(template) == {f"contact.{name}"}
    assert render(template, {"contact": {name: "Ann"}}) == "Hi Ann"
    with pytest.raises(MissingVariable) as missing:
        render(template, {"contact": {"email": "ann@example.com"}})
    assert missing.value.variable == f"contact.{name}"
    assert (
        render(
            "{% assign words = contact.name | split: ' ' %}{{ words.first }} {{ words.size }}",
            {"contact": {"name": "Ann Lee"}},
        )
        == "Ann 2"
    )
