"""Which library should render dripiq's templates, and what does our plain form save?

Each way has a process of its own (liquidpy's package is called `liquid` too, and cannot stand beside python-liquid). They take turns in every round: a
template of 1 KB with 6 variables, parsed once and rendered, and parsed for each rendering. Then each way answers what Liquid's documentation says
(conformance), and tries what a template must not be able to do. The decision is in docs/decisions/0011-templates.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "templates.json"
LIQUIDPY = Path(sys.prefix) / "liquidpy"
"""Where `make bench` installs liquidpy."""

SECONDS = 0.25
"""How long one turn takes."""

PATIENCE = 10
"""Seconds for one attempt at something that a template must not do."""

Prepared = Callable[[Mapping[str, Any]], str]

TEMPLATE = (
    """Hi {{ contact.name | default: "there" }},

I came across {{ lead.name }} last week, and the way you handle outreach caught my eye. Most teams of your size tell us that the hard part is not
to write the first message; it is to know when to write the second one, and when to be silent.

"""
    + "We built a small engine that takes care of exactly that: it waits, it listens, and it stops when somebody answers. "
    * 4
    + """

Would a quarter of an hour next week suit you, {{ contact.name | default: "there" }}? I am at {{ sender.email }}.

Best,
{{ sender.name }}

You get this mail because we think that it is of use to {{ lead.name }}. If not: {{ unsubscribe_url }}
"""
)
CONTEXT: dict[str, Any] = {
    "contact": {
        "name": "Ann",
        "tags": ["a", "b"],
        "note": "",
        "nothing": None,
        "none": [],
        "empty": "field",
        "vip": False,
        "age": 41,
    },
    "lead": {"name": "Acme & Söhne"},
    "sender": {"email": "bo@example.com", "name": "Bo"},
    "unsubscribe_url": "https://example.com/u?a=1&b=2",
}

CASES: Sequence[tuple[str, str]] = (
    ("{{ contact.name | upcase | append: '!' }}", "ANN!"),
    ("{{ contact.nothing | default: 'x' }}{{ contact.note | default: 'y' }}{{ contact.vip | default: 'z' }}", "xyz"),
    ("{% if contact.note %}true{% endif %}", "true"),
    ("{% if contact.nothing %}a{% elsif contact.age > 40 %}b{% else %}c{% endif %}", "b"),
    ("{% unless contact.vip %}plain{% endunless %}", "plain"),
    ("{% case contact.name %}{% when 'Bob', 'Ann' %}1{% else %}2{% endcase %}", "1"),
    ("{% for tag in contact.tags %}{{ forloop.index }}{{ tag }}{% unless forloop.last %},{% endunless %}{% endfor %}", "1a,2b"),
    ("{% for i in (1..5) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "13"),
    ("{% for tag in contact.none %}x{% else %}none{% endfor %}", "none"),
    ("{% assign n = contact.age | plus: 1 %}{{ n }}", "42"),
    ("{% capture c %}<{{ contact.name }}>{% endcapture %}{{ c }}", "<Ann>"),
    ("a {{- contact.name -}} b{%- if true -%} c {%- endif -%} d", "aAnnbcd"),
    ("{{ contact['name'] }} {{ contact.tags[1] }} {{ contact.tags.first }} {{ contact.tags.size }}", "Ann b a 2"),
    ("{% if contact.tags contains 'a' and contact.name != 'Bob' %}yes{% endif %}", "yes"),
    ("{{ 7 | divided_by: 2 }} {{ 7.0 | divided_by: 2 }}", "3 3.5"),
    ("{{ 'a-b-c' | split: '-' | join: '+' }} {{ 'a,b' | split: ',' | last }}", "a+b+c b"),
    ("{{ 'hello world' | truncate: 8 }} {{ 'a b c d' | truncatewords: 2 }}", "hello... a b..."),
    ("{{ 'x<y' | escape }} {{ 'a b&c' | url_encode }}", "x&lt;y a+b%26c"),
    ("{{ '2026-03-01' | date: '%d.%m.%Y' }}", "01.03.2026"),
    ("{{ true }} {{ nil }}|{{ contact.vip }}", "true |false"),
    ("{% comment %}{{ no }}{% endcomment %}{{ 'a' | capitalize }}", "A"),
    ("{% if 0 %}zero is true{% endif %}", "zero is true"),
    ("{% for i in (1..4) limit: 2 offset: 1 %}{{ i }}{% endfor %}", "23"),
    ("{% echo contact.name | downcase %}", "ann"),
    ("{{ contact.empty }}", "field"),
)  # fmt: skip
"""Templates, and what https://shopify.github.io/liquid/ says that they say."""


class Person:
    """What no template should get at: an object with attributes."""

    secret = "secret"


ATTEMPTS: Mapping[str, str] = {
    "a missing value passes as empty": "Hi {{ contact.nmae }}",
    "attributes of objects can be read": "{{ person.secret }}",
    "three million rounds of a loop": "{% for i in (1..3000000) %}{% endfor %}",
    "100 MB of output": "{% for i in (1..9999) %}" + "x" * 10_000 + "{% endfor %}",
    "a text of 4 GB from filters": "{% assign a = 'x' %}" + "{% assign a = a | append: a %}" * 32 + "{{ a | size }}",
    "seconds of filters": "{% assign a = 'x' %}" + "{% assign a = a | append: a %}" * 18
    + "{% for i in (1..9999) %}{% assign b = a | replace: 'x', 'y' %}{% endfor %}",
    "seconds of reading": "{{" + " " * 20_000 + "|",
    "the clock can be read": "{{ 'now' | date: '%Y' }}",
}  # fmt: skip
"""What a template must not be able to do; a way that raises in good time withstands it."""


def dripiq(*, full: bool, html: bool = False) -> Callable[[str], Prepared]:
    from dripiq.domain.sandbox import SANDBOX
    from dripiq.domain.templates import _check_markers, _Full, compiled

    def prepare(template: str) -> Prepared:
        if full:
            weight = _check_markers(template)
            bound = SANDBOX.from_string(template)
            bound.weight = weight  # type: ignore[attr-defined]
            return _Full(bound, frozenset()).render
        made: Prepared = compiled.__wrapped__(template, html=html).render
        return made

    return prepare


def python_liquid() -> Callable[[str], Prepared]:
    import liquid

    environment = liquid.Environment(undefined=liquid.StrictUndefined)

    def prepare(template: str) -> Prepared:
        return environment.from_string(template).render

    return prepare


def python_liquid2() -> Callable[[str], Prepared]:
    import liquid2

    environment = liquid2.Environment(undefined=liquid2.StrictUndefined)

    def prepare(template: str) -> Prepared:
        made: Prepared = environment.from_string(template).render
        return made

    return prepare


def liquidpy() -> Callable[[str], Prepared]:
    from jinja2 import StrictUndefined

    package: Any = import_module("liquid")

    def prepare(template: str) -> Prepared:
        made = package.Liquid(template, from_file=False, mode="standard", sandboxed=True, undefined=StrictUndefined)
        return lambda context: str(made.render(**context))

    return prepare


WAYS: Mapping[str, Callable[[], Callable[[str], Prepared]]] = {
    "dripiq, plain form": lambda: dripiq(full=False),
    "dripiq, plain form, HTML": lambda: dripiq(full=False, html=True),
    "dripiq, python-liquid bounded": lambda: dripiq(full=True),
    "python-liquid as it comes": python_liquid,
    "python-liquid2 as it comes": python_liquid2,
    "liquidpy, sandboxed": liquidpy,
}
RENDERED = ("parsed once", "parsed each time")


def turn(prepare: Callable[[str], Prepared], question: str) -> float:
    """Renderings a second."""
    ready, count, begun = prepare(TEMPLATE), 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < SECONDS:
        for _ in range(20):
            (ready if question == RENDERED[0] else prepare(TEMPLATE))(CONTEXT)
        count += 20
    return count / passed


def conform(prepare: Callable[[str], Prepared]) -> list[str]:
    """The cases that the way answers otherwise."""
    wrong = []
    for template, expected in CASES:
        try:
            said = str(prepare(template)(CONTEXT))
        except Exception as error:
            said = type(error).__name__
        if said != expected:
            wrong.append(f"{template} says {said!r}, not {expected!r}")
    return wrong


def work(name: str) -> None:
    """The process of one way: a question a line, an answer a line."""
    prepare = WAYS[name]()
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any
        if question in ATTEMPTS:
            begun = time.perf_counter()
            try:
                prepare(ATTEMPTS[question])({**CONTEXT, "person": Person()})
                answer = "passed"
            except Exception:
                answer = "refused"
            answer = {"how": answer, "seconds": time.perf_counter() - begun}
        else:
            answer = conform(prepare) if question == "conformance" else turn(prepare, question)
        print(json.dumps(answer), flush=True)


class Process:
    """One way at work."""

    def __init__(self, name: str) -> None:
        path = [str(LIQUIDPY)] if name.startswith("liquidpy") else []
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--way", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def attempt(name: str, what: str) -> str:
    """How one attempt ended, in a process of its own, for it may never end."""
    path = [str(LIQUIDPY)] if name.startswith("liquidpy") else []
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _LIMITED, __file__, "--way", name],
            input=json.dumps(what) + "\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            check=False,
        )
        told = json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        return f"runs on after {PATIENCE} s"
    except json.JSONDecodeError:
        return "ends the process"
    return f"{told['how']} ({told['seconds'] * 1e3:,.0f} ms)"


_LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs this file with at most 1 GB, so that an attempt costs this machine no more."""


def compare(processes: Mapping[str, Process], question: str, rounds: int) -> dict[str, list[float]]:
    """Every way in every round, each round beginning with another; the first only warms up, and is not told."""
    rates: dict[str, list[float]] = {name: [] for name in processes}
    for number in range(rounds + 1):
        first = number % len(processes)
        for name in (*list(processes)[first:], *list(processes)[:first]):
            rate = processes[name].ask(question)
            if number:
                rates[name].append(rate)
    return rates


def report(question: str, rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Print and return: renderings a second (median, least, most), and the ratio to python-liquid as it comes, round by round."""
    print(f"\n1 KB, 6 variables, {question}\n  {'':32} a second      least       most    ratio")
    told = {}
    base = rates["python-liquid as it comes"]
    for name, own in rates.items():
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        row = (statistics.median(own), min(own), max(own), ratio)
        print("  {:32} {:8,.0f}   {:8,.0f}   {:8,.0f}   {:6.2f}".format(name, *row))
        told[name] = dict(zip(("median", "least", "most", "ratio"), row, strict=True))
    return told


def main() -> None:
    """Measure, compare, attempt, and write the results down."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12, help="how often each way has its turn")
    options.add_argument("--way", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.way:
        work(given.way)
        return
    processes = {name: Process(name) for name in WAYS}
    results: dict[str, Any] = {}
    for question in RENDERED:
        results[question] = report(question, compare(processes, question, given.rounds))
    judged = [name for name in WAYS if name != "dripiq, plain form, HTML"]
    print(f"\nConformance: of {len(CASES)} templates of Liquid's documentation")
    results["conformance"] = {name: processes[name].ask("conformance") for name in judged}
    for name, wrong in results["conformance"].items():
        print("\n    ".join([f"  {name:32} {len(CASES) - len(wrong)}", *wrong]))
    for process in processes.values():
        process.close()
    results["attempts"] = {what: {name: attempt(name, what) for name in judged[1:]} for what in ATTEMPTS}
    for what, ended in results["attempts"].items():
        print("\n".join([f"\n{what}", *(f"  {name:32} {how}" for name, how in ended.items())]))
    setting = {"python": platform.python_version(), "rounds": given.rounds, "bytes": len(TEMPLATE.encode())}
    setting |= {name: version(name) for name in ("python-liquid", "python-liquid2")} | {"liquidpy": "0.10.0"}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"setting": setting, "results": results}, indent=2, ensure_ascii=False) + "\n")
    print(f"\nWritten to {RESULTS.name}: {', '.join(f'{k} {v}' for k, v in setting.items())}")


if __name__ == "__main__":
    main()
