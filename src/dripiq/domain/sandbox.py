"""What may a template do?

The Liquid environments of `render`, one for text and one for HTML: tags and filters that a message needs, each bounded, and nothing that reads
files, other templates or the clock. Time is bounded without a clock, so that a template does the same everywhere: a rendering has a number of
steps (`MAX_STEPS`, each about a microsecond), and whatever takes time takes steps: filters and values by their length, rounds of loops by
that of the template. Filters check the size of what they would make *before* they make it where it could explode (`replace`, `join`, ranges).

In HTML every value is escaped, and no filter lets one through: what the template itself says (text, and text in quotes) is not.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid import Environment
from liquid.builtin.filters.misc import default
from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError, ResourceLimitError, UndefinedError
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined, is_undefined

ROOTS: Final = ("contact", "lead", "sender", "tenant", "unsubscribe_url")
"""What a template can speak of; all but the last are records with fields."""

MAX_OUTPUT: Final = 1_000_000
"""Bytes that one rendering may produce."""

MAX_ITERATIONS: Final = 10_000
"""Rounds of all loops of one rendering, nested ones multiplied; also the longest range."""

MAX_STEPS: Final = 100_000
"""What one rendering may do; see `_Context.spend`. It keeps the costliest template within about a tenth of a second."""

_MAX_NUMBER: Final = 10**15
_MAX_DATE: Final = 100
"""Characters of a date, and of its format."""
_DATE_STEPS: Final = 50
"""What it costs to find out which date a text means."""

_PSEUDO_TAGS: Final = frozenset(
    {"content", "output", "illegal"}
)  # the library's own entries for text, outputs and unknown tags
_TAGS: Final = frozenset(
    {"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "echo", "#"}
)
_FILTERS: Final = frozenset(
    [
        "abs",
        "append",
        "at_least",
        "at_most",
        "capitalize",
        "ceil",
        "date",
        "default",
        "divided_by",
        "downcase",
        "escape",
        "escape_once",
        "first",
        "floor",
        "join",
        "last",
        "lstrip",
        "minus",
        "modulo",
        "newline_to_br",
        "plus",
        "prepend",
        "remove",
        "remove_first",
        "remove_last",
        "replace",
        "replace_first",
        "replace_last",
        "round",
        "rstrip",
        "size",
        "slice",
        "split",
        "squish",
        "strip",
        "strip_newlines",
        "times",
        "truncate",
        "truncatewords",
        "upcase",
        "url_decode",
        "url_encode",
    ]
)

_ABSENT: Final = object()
_CLOCK: Final = ("now", "today")
_Filter = Callable[..., Any]


class _Context(RenderContext):
    """The library's context, in which null and empty text are missing, a missing value knows its whole name, and steps are counted."""

    __slots__ = ("_steps",)
    template: "_Template"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps = 0

    def spend(self, steps: int) -> None:
        """Count steps: one for what is done, one for ten characters or one member of a list that it is done with.

        Raises:
            ResourceLimitError: the rendering has done too much.
        """
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise ResourceLimitError("it does too much: shorten its loops, or the texts they work on", token=None)

    def get(self, path: list[object], *, token: object, default: object = None) -> object:
        value = super().get(path, token=None, default=_ABSENT)
        if value is _ABSENT or path[0] in _CLOCK or ((value is None or value == "") and path[0] in ROOTS):
            name = ".".join(str(segment) for segment in path)
            return self.env.undefined(name, hint=name, token=None)
        self.spend(1 + _weight(value))
        return value

    def get_item(self, obj: Any, key: Any) -> Any:
        """A record has its fields and nothing besides: Liquid's own `size` and `first` of one would stand for a value that is missing."""
        return obj[key] if isinstance(obj, Mapping) else super().get_item(obj, key)

    def assign(self, key: str, val: Any) -> None:
        self.spend(1 + _weight(val))
        super().assign(key, val)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        super().raise_for_loop_limit(length)
        self.spend(length * self.template.weight)


class _Template(BoundTemplate):
    context_class = _Context
    weight = 1
    """Steps for one round of any of its loops."""


class _Sandbox(Environment):
    template_class = _Template
    loop_iteration_limit = MAX_ITERATIONS
    output_stream_limit = MAX_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS | _PSEUDO_TAGS}
        self.filters = {name: _bounded(name, self.filters[name]) for name in sorted(_FILTERS)} | {"default": default}


def _weight(value: object) -> int:
    if isinstance(value, str):
        return len(value) // 10
    return len(value) if isinstance(value, (list, tuple, range)) else 0


def _bounded(name: str, apply: _Filter) -> _Filter:
    wants_context = getattr(apply, "with_context", False)

    @wraps(apply)  # carries over the marks by which the library passes its environment
    def bounded(value: object, *arguments: object, context: _Context, **options: Any) -> object:
        if any(isinstance(given, range) and len(given) > MAX_ITERATIONS for given in (value, *arguments)):
            raise FilterArgumentError(f"the range is longer than {MAX_ITERATIONS}", token=None)
        if name == "date":
            _check_date(value, arguments)
            context.spend(_DATE_STEPS)
        elif _size_of(name, value, arguments) > MAX_OUTPUT:
            raise FilterArgumentError(f"{name} would make more than {MAX_OUTPUT} characters", token=None)
        context.spend(2 + sum(map(_weight, (value, *arguments))))
        if wants_context:
            options["context"] = context
        result = apply(value, *arguments, **options)
        if isinstance(result, (str, list)) and len(result) > MAX_OUTPUT:
            raise FilterArgumentError(f"{name} makes more than {MAX_OUTPUT} characters", token=None)
        if isinstance(result, (int, float)) and not abs(result) <= _MAX_NUMBER:
            raise FilterArgumentError(f"{name} makes a number beyond {_MAX_NUMBER}", token=None)
        context.spend(_weight(result))
        return result

    bounded.with_context = True  # type: ignore[attr-defined]
    return bounded


def _check_date(value: object, arguments: tuple[object, ...]) -> None:
    """The library's `date` reads the clock for "now"; what a message says must follow from its contact alone."""
    if is_undefined(value):
        raise UndefinedError(str(value.msg), token=None)  # type: ignore[attr-defined]
    if value in _CLOCK:
        raise FilterArgumentError(f"{value!r} is not available: a template has no clock", token=None)
    if any(isinstance(given, str) and len(given) > _MAX_DATE for given in (value, *arguments)):
        raise FilterArgumentError(f"a date and its format have at most {_MAX_DATE} characters", token=None)


def _size_of(name: str, value: object, arguments: tuple[object, ...]) -> int:
    """How long the two filters that multiply would make their result, at most."""
    if name == "replace" and len(arguments) == 2:
        return str(value).count(str(arguments[0])) * len(str(arguments[1]))
    if name == "join" and arguments and isinstance(value, (list, tuple, range)):
        return len(value) * len(str(arguments[0]))
    return 0


SANDBOX: Final = _Sandbox(undefined=FalsyStrictUndefined)
HTML_SANDBOX: Final = _Sandbox(undefined=FalsyStrictUndefined, autoescape=True)
"""The two environments, of text and of HTML; immutable after import, and safe to share between threads."""
