"""How is a template read, and what can be told of it without a contact?

Two forms with one meaning: `_Plain`, literal text and plain outputs, split here and joined, which is most templates and some ten times as fast;
and `_Full`, anything more, parsed by python-liquid. What would make the library's lexer slow is refused before it sees it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import ClassVar, Final, Protocol

from liquid import escape
from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, UndefinedError
from liquid.expression import Expression
from liquid.stringify import to_liquid_string
from liquid.template import BoundTemplate

from dripiq.domain.errors import DripiqError
from dripiq.domain.sandbox import HTML_SANDBOX, MAX_OUTPUT, ROOTS, SANDBOX

MAX_TEMPLATE: Final = 100_000
"""Characters in a template; Gmail clips a message at 102 kB, so nobody would read more."""

MAX_MARKERS: Final = 1_000
"""Outputs and tags in a template."""

MAX_MARKER_LENGTH: Final = 500
MAX_BLANKS: Final = 40
"""Characters, and blanks in a row, in one output or tag; the library's lexer backtracks, so its input must be short."""


class TemplateError(DripiqError):
    """A template is malformed (`template_syntax`) or cannot be rendered within bounds (`template_failed`)."""

    code = "template_syntax"
    http_status = 422


class MissingVariable(DripiqError):  # noqa: N818  (the name says what happened; every error of the house is a DripiqError)
    """A contact lacks a value that its template needs; `variable` is its dotted name."""

    code = "template_missing"
    http_status = 422

    def __init__(self, variable: str) -> None:
        self.variable = variable
        example = f'{{{{ {variable} | default: "…" }}}}'
        super().__init__(
            f"The template needs {variable}, which has no value here: supply it, or write {example}.",
            facts={"variable": variable},
        )


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """Why a template cannot be used: a stable `code` (`template_syntax` or `template_root`) and a sentence."""

    code: str
    message: str


class Compiled(Protocol):
    @property
    def variables(self) -> frozenset[str]: ...
    @property
    def is_plain(self) -> bool: ...
    def problems(self) -> Iterator[TemplateProblem]: ...
    def render(self, context: Mapping[str, object]) -> str: ...


@dataclass(frozen=True, slots=True)
class _Output:
    root: str
    keys: tuple[str, ...]
    default: str | None

    @property
    def name(self) -> str:
        return ".".join((self.root, *self.keys))


@dataclass(frozen=True, slots=True)
class _Plain:
    """Literal text and plain outputs, joined."""

    parts: tuple[str | _Output, ...]
    html: bool
    variables: frozenset[str]
    is_plain: ClassVar[bool] = True

    def problems(self) -> Iterator[TemplateProblem]:
        paths = dict.fromkeys((part.root, *part.keys) for part in self.parts if isinstance(part, _Output))
        return _root_problems(paths)

    def render(self, context: Mapping[str, object]) -> str:
        text = "".join([part if type(part) is str else _value(part, context, self.html) for part in self.parts])  # type: ignore[arg-type]
        if len(text) * 4 > MAX_OUTPUT and len(text.encode()) > MAX_OUTPUT:
            raise _too_long()
        return text


def _value(output: _Output, context: Mapping[str, object], html: bool) -> str:
    value: object = context
    try:
        for key in (output.root, *output.keys):
            value = value[key]  # type: ignore[index]
    except (KeyError, TypeError, IndexError):
        value = None
    if type(value) is str and value:
        return escape(value) if html else value
    if output.default is not None and (value is None or value is False or value in ("", [], {})):
        return output.default
    if value is None or value == "":
        raise MissingVariable(output.name)
    return str(to_liquid_string(value, autoescape=html))


_NAME = r"(?!(?:size|first|last)\b)[A-Za-z_][A-Za-z0-9_]*"
_MARKER = re.compile(
    rf"\{{\{{[ \t]*(?P<path>(?:{'|'.join(ROOTS)})(?![A-Za-z0-9_])(?:\.{_NAME})*)[ \t]*"
    r"(?:\|[ \t]*default:[ \t]*\"(?P<default>[^\"{}%\\]*)\"[ \t]*)?\}\}|\{\{|\{%"
)
_RESERVED = frozenset((
    "true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "not", "in", "offset", "limit", "reversed", "cols", "continue",
    "with", "for", "as", "if", "else", "required",
))  # fmt: skip


def _plain_parts(template: str) -> tuple[str | _Output, ...] | None:
    """The pieces of a template that is nothing but text, `{{ a.b }}` and `{{ a.b | default: "c" }}`; None for any other."""
    parts: list[str | _Output] = []
    end = 0
    for marker in _MARKER.finditer(template):
        if marker["path"] is None:
            return None
        root, *keys = marker["path"].split(".")
        if not _RESERVED.isdisjoint(keys):
            return None
        parts += [template[end : marker.start()], _Output(root, tuple(keys), marker["default"])]
        end = marker.end()
    parts.append(template[end:])
    return tuple(part for part in parts if part != "")


@dataclass(frozen=True, slots=True)
class _Full:
    """Any other template, rendered by the library."""

    bound: BoundTemplate
    variables: frozenset[str]
    is_plain: ClassVar[bool] = False

    def problems(self) -> Iterator[TemplateProblem]:
        analysis = self.bound.analyze(include_partials=False)
        for name in analysis.filters:
            if name not in SANDBOX.filters:
                yield TemplateProblem("template_syntax", f"There is no filter {name!r}{_hint(name, SANDBOX.filters)}.")
        yield from _root_problems(tuple(variable.segments) for found in analysis.globals.values() for variable in found)

    def render(self, context: Mapping[str, object]) -> str:
        try:
            text = self.bound.render(context)
        except UndefinedError as error:
            raise MissingVariable(str(error.args[0])) from None
        except LiquidError as error:
            raise TemplateError(f"The template cannot be rendered: {error.message}.", code="template_failed") from error
        except (
            ValueError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ) as error:  # the library lets some filters' own errors through
            raise TemplateError(f"The template cannot be rendered: {error}.", code="template_failed") from error
        if "\0" in text:  # `url_decode` can make one; no mail and no database takes it
            raise TemplateError("The template cannot be rendered: its text holds a NUL.", code="template_failed")
        return text


def is_plain(template: str) -> bool:
    """Whether a template is nothing but text and plain outputs, told without reading it as Liquid."""
    return _plain_parts(template) is not None


@lru_cache(maxsize=256)
def compiled(template: str, *, html: bool = False) -> Compiled:
    if len(template) > MAX_TEMPLATE:
        raise TemplateError(f"The template has {len(template)} characters: shorten it to at most {MAX_TEMPLATE}.")
    parts = _plain_parts(template)
    if parts is not None:
        needed = (part.name for part in parts if isinstance(part, _Output) and part.default is None)
        return _Plain(parts, html, frozenset(needed))
    weight = _check_markers(template)
    try:
        bound = (HTML_SANDBOX if html else SANDBOX).from_string(template)
    except LiquidError as error:
        raise TemplateError(f"{_line(template, error)}{error.message}.") from None
    bound.weight = weight  # type: ignore[attr-defined]
    return _Full(bound, frozenset(_needed(bound.nodes, frozenset())))


_BLANKS = re.compile(rf"\s{{{MAX_BLANKS + 1}}}")
_OPENING = re.compile(r"\{\{|\{%(?:-?\s*(raw|doc)\b)?")


def _check_markers(template: str) -> int:
    """Refuses in one pass what would make the library's lexer slow. Returns the steps of doing all that the template says once."""
    position, written = 0, 0
    for _ in range(MAX_MARKERS):
        opening = _OPENING.search(template, position)
        if opening is None:
            return 1 + written // 10 + len(template) // 1_000
        line = f"Line {template.count(chr(10), 0, opening.start()) + 1}: "
        if opening[1]:
            raise TemplateError(f"{line}the tag {opening[1]!r} is not available.")
        closing = "}}" if opening[0] == "{{" else "%}"
        found = template.find(closing, opening.end(), opening.end() + MAX_MARKER_LENGTH)
        if found < 0:
            raise TemplateError(f"{line}{opening[0][:2]!r} has no {closing!r} within {MAX_MARKER_LENGTH} characters.")
        if _BLANKS.search(template, opening.end(), found):
            raise TemplateError(
                f"{line}there are more than {MAX_BLANKS} blanks in a row between {opening[0][:2]!r} and {closing!r}."
            )
        position = found + 2
        written += position - opening.start()
    raise TemplateError(f"The template has more than {MAX_MARKERS} outputs and tags: use fewer.")


def _needed(nodes: Iterable[Node], tested: frozenset[str]) -> Iterator[str]:
    for node in nodes:
        inside = tested
        paths = [path for expression in node.expressions() for path in _paths(expression)]
        if isinstance(node, (IfNode, UnlessNode, CaseNode, ConditionalBlockNode, MultiExpressionBlockNode)):
            inside |= {str(path) for path in paths}
        else:
            yield from (str(path) for path in paths if path.path[0] in ROOTS and str(path) not in tested)
        yield from _needed(node.children(_NO_CONTEXT), inside)


def _paths(expression: Expression) -> Iterator[Path]:
    """The paths whose values the expression cannot do without."""
    if isinstance(expression, Path):
        yield expression
    children: Iterable[Expression] = expression.children()
    if isinstance(expression, FilteredExpression) and any(step.name == "default" for step in expression.filters or ()):
        children = ()
    for child in children:
        yield from _paths(child)


_NO_CONTEXT: Final = RenderContext(SANDBOX.from_string(""))


def _root_problems(paths: Iterable[tuple[object, ...]]) -> Iterator[TemplateProblem]:
    for root, *rest in dict.fromkeys((str(path[0]), *map(str, path[1:])) for path in paths):
        if root not in ROOTS:
            message = f"Nothing is called {root!r}{_hint(root, ROOTS)}: use {', '.join(ROOTS[:-1])} or {ROOTS[-1]}."
            yield TemplateProblem("template_root", message)
        elif not rest and root != "unsubscribe_url":
            yield TemplateProblem(
                "template_root", f"{root!r} is a whole record: name one of its fields, such as {root}.name."
            )


def _hint(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word[:40].lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _line(template: str, error: LiquidError) -> str:
    at = error.token.start_index if error.token else -1
    return f"Line {template.count(chr(10), 0, at) + 1}: " if at >= 0 else "At the end: "


def _too_long() -> TemplateError:
    return TemplateError("The template cannot be rendered: output stream limit reached.", code="template_failed")
