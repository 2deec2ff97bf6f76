"""Is this a JSON document that is safe to look into?

Everything about the text and none of the meaning: encoding, size, nesting, duplicate keys, numbers and texts that PostgreSQL's `jsonb` could
not hold (NUL, lone surrogates). What passes is a mapping of plain JSON values of bounded size, its texts composed (NFC); nothing in here recurses
over what has not been measured, or takes longer than in proportion to its length.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn, cast
from unicodedata import combining, normalize

from dripiq.domain.plan.canonical import composed
from dripiq.domain.plan.faults import FaultCode, Findings, quoted

MAX_BYTES: Final = 1024 * 1024
MAX_BRACKETS: Final = 100_000
"""Opening brackets in a plan's JSON: more than its bytes can hold in earnest, and few enough objects and lists to be read in a blink."""
MAX_DEPTH: Final = 16
MAX_NUMBER: Final = 2**53
"""Whole numbers beyond this are not the same in every JSON reader (RFC 8259, section 6)."""

MAX_MARKS: Final = 30
"""Combining marks in a row, as in the Stream-Safe Text Format (UAX #15, section 13): composing takes the square of their number."""

Steps = tuple[object, ...]
_LONG_MARKS = re.compile(rb"[^\0]{%d}" % (MAX_MARKS + 1))
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Object(dict[str, object]):
    """A JSON object as read, and the keys it had twice."""

    __slots__ = ("duplicates",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.duplicates: tuple[str, ...] = ()
        if len(self) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.duplicates = tuple(key for key, count in counts.items() if count > 1)


def load_document(
    source: str | bytes | Mapping[str, object], findings: Findings, max_bytes: int
) -> Mapping[str, object] | None:
    """The document in `source`, or None where `findings` say why there is none.

    Args:
        source: JSON text, UTF-8 bytes, or a document read elsewhere (its duplicate keys are lost then).
        max_bytes: the longest text taken; for a document, the sum of its texts.
    """
    document = source if isinstance(source, Mapping) else _read_json(source, findings, max_bytes)
    if findings.faults:
        return None
    if not isinstance(document, Mapping):
        findings.add("$", FaultCode.UNREADABLE, f"A plan is a JSON object, not {type_name(document)}.")
        return None
    if not _is_sound(document, findings, max_bytes):
        return None
    return cast("Mapping[str, object]", composed(document))


def _read_json(source: str | bytes, findings: Findings, max_bytes: int) -> object:
    if len(source) > max_bytes:
        findings.add("$", FaultCode.TOO_LARGE, f"The plan is longer than {max_bytes} bytes: shorten it.")
        return None
    brackets = (
        source.count("{") + source.count("[") if isinstance(source, str) else source.count(b"{") + source.count(b"[")
    )
    if brackets > MAX_BRACKETS:
        message = f"The plan holds more than {MAX_BRACKETS:,} objects and lists: shorten it."
        findings.add("$", FaultCode.TOO_LARGE, message)
        return None
    try:
        text = source.removeprefix("\ufeff") if isinstance(source, str) else source.decode("utf-8-sig")
        return json.loads(
            text, object_pairs_hook=_Object, parse_int=_whole, parse_float=_fraction, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        message = f"The plan is not UTF-8 (byte {error.start}): save it as UTF-8."
    except json.JSONDecodeError as error:
        message = f"The plan is not JSON (line {error.lineno}, column {error.colno}: {error.msg})."
    except RecursionError:
        message = "The plan is not JSON that can be read: it is nested too deeply."
    except ValueError as error:
        message = f"The plan is not JSON that can be read: {error}."
    findings.add("$", FaultCode.UNREADABLE, message)
    return None


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"the number {digits[:20]}… is too large")
    return int(digits)


def _fraction(digits: str) -> float:
    if len(digits) > 40:
        raise ValueError(f"the number {digits[:20]}… has too many digits")
    return float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _is_sound(document: Mapping[str, object], findings: Findings, max_bytes: int) -> bool:
    """Whether every value is one that JSON and `jsonb` have; a walk that holds one iterator a level, however wide the document is."""
    before = len(findings.faults)
    size = 0
    steps: list[object] = []
    levels: list[Iterator[tuple[object, object]]] = [iter([(None, document)])]
    while levels:
        for step, value in levels[-1]:
            kind = type(value)
            if kind is str and value.isascii() and "\0" not in value:  # type: ignore[attr-defined, operator]  # nearly all
                size += len(value)  # type: ignore[arg-type]
                continue
            if (kind is list or kind is _Object) and not value:
                continue
            path = (*steps, step)[1:]
            if isinstance(value, (str, int)) or not isinstance(value, (dict, list, tuple, Mapping)):
                size += len(value) if isinstance(value, str) else 0
                _check_scalar(value, path, findings)
            elif len(path) >= MAX_DEPTH:
                message = f"The plan is nested more than {MAX_DEPTH} levels deep: flatten it."
                findings.add(json_path(path), FaultCode.TOO_DEEP, message)
            else:
                size += len(value)
                steps.append(step)
                if isinstance(value, (list, tuple)):
                    levels.append(iter(enumerate(value)))
                else:
                    size += _check_keys(value, path, findings) if size <= max_bytes else 0
                    levels.append(iter(value.items()))
                break
        else:
            levels.pop()
            del steps[-1:]
        if size > max_bytes:
            findings.add("$", FaultCode.TOO_LARGE, f"The plan is longer than {max_bytes} bytes: shorten it.")
            return False
    return len(findings.faults) == before


def _check_keys(value: Mapping[object, object], path: Steps, findings: Findings) -> int:
    """How long the keys are together."""
    for key in getattr(value, "duplicates", ()):
        message = f"The key {quoted(key)} stands here twice: keep one."
        findings.add(json_path((*path, key)), FaultCode.DUPLICATE_KEY, message)
    seen: set[str] = set()
    for key in value:
        if isinstance(key, str) and key.isascii() and "\0" not in key:
            continue
        before = len(findings.faults)
        _check_scalar(key if isinstance(key, str) else object(), (*path, key), findings)
        if len(findings.faults) == before and isinstance(key, str):
            whole = normalize("NFC", key)
            if whole in seen or (whole != key and whole in value):
                message = f"The key {quoted(whole)} stands here twice, its accents written in two ways: keep one."
                findings.add(json_path((*path, whole)), FaultCode.DUPLICATE_KEY, message)
            seen.add(whole)
    return sum(len(key) for key in value if isinstance(key, str))


def _check_scalar(value: object, path: Steps, findings: Findings) -> None:
    if isinstance(value, str):
        problem = None if value.isascii() and "\0" not in value else _text_problem(value)
        if problem is not None:
            findings.add(json_path(path), FaultCode.INVALID_TEXT, problem)
    elif (isinstance(value, int) and abs(value) > MAX_NUMBER) or (
        isinstance(value, float) and not abs(value) <= MAX_NUMBER
    ):
        findings.add(
            json_path(path), FaultCode.OUT_OF_RANGE, f"The number is beyond {MAX_NUMBER}: write a smaller one."
        )
    elif value is not None and not isinstance(value, (int, float)):
        message = f"{type(value).__name__} is not a JSON value: use text, numbers, lists and objects."
        findings.add(json_path(path), FaultCode.WRONG_TYPE, message)


def _text_problem(text: str) -> str | None:
    if _SURROGATE.search(text):
        return "The text holds half of a surrogate pair: write the whole character."
    if "\0" in text:
        return "The text holds a NUL character, which PostgreSQL cannot store: remove it."
    if _LONG_MARKS.search(bytes(map(combining, text))):
        return f"The text holds more than {MAX_MARKS} combining marks in a row: remove some."
    return None


def json_path(path: Steps) -> str:
    """RFC 9535 notation: `$.nodes[2].to`; keys that are no plain names in brackets."""
    return "$" + "".join(_segment(step) for step in path)


def _segment(step: object) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    name = str(step)
    return f".{name}" if len(name) <= 64 and _NAME.fullmatch(name) else f"[{quoted(name)}]"


def type_name(value: object) -> str:
    """What JSON calls a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "an object" if isinstance(value, Mapping) else "a list"
