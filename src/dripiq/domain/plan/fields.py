"""How is one JSON object taken apart, so that every slip is found and nothing is ignored?

`Fields` wraps an object of the plan and the keys it may have. Each reader returns the value, or None after a finding; `failed` then tells
whether the object can still be built. A key that nobody knows is a finding, with the nearest key that somebody does.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import time, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from dripiq.domain.plan.document import Steps, json_path, type_name
from dripiq.domain.plan.durations import parse_duration
from dripiq.domain.plan.faults import FaultCode, Findings, quoted
from dripiq.domain.plan.vocabulary import CLOCK_PATTERN

_CLOCK: Final = re.compile(CLOCK_PATTERN)
_Word = TypeVar("_Word", bound=StrEnum)


class Fields:
    """One object of the document, its path, and where its faults go."""

    def __init__(self, value: Mapping[str, object], steps: Steps, findings: Findings, known: Collection[str]) -> None:
        self.value = value
        self.steps = steps
        self.findings = findings
        self.failed = False
        for key in value:
            if key not in known:
                message = f"There is no key {quoted(key)} here{self.near(key, known)}: remove it or correct its name."
                findings.add(self.path(key), FaultCode.UNKNOWN_KEY, message)

    def path(self, *steps: object) -> str:
        return json_path((*self.steps, *steps))

    def near(self, word: str, known: Collection[str]) -> str:
        """` (did you mean "…"?)`, or nothing."""
        return self.findings.hints.near(word, known)

    def fault(self, step: object, code: FaultCode, message: str) -> None:
        """A finding that keeps the object from being built, at a key or (a tuple) further down."""
        self.failed = True
        self.findings.add(self.path(*(step if isinstance(step, tuple) else (step,))), code, message)

    def has(self, key: str, *, required: bool = False, hint: str = "") -> bool:
        if key not in self.value and required:
            self.fault(key, FaultCode.MISSING_KEY, f'"{key}" is missing: add it{hint}.')
        return key in self.value

    def misplaced(self, key: str, why: str) -> None:
        """A finding where `key` stands though it means nothing here; what the object says without it is clear."""
        if key in self.value:
            self.findings.add(self.path(key), FaultCode.MISPLACED_KEY, f'"{key}" does nothing here: {why}')

    def _typed(self, key: str, kind: type[object], name: str, hint: str = "") -> bool:
        value = self.value[key]
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return True
        advice = "leave the key out or give it a value" if value is None else f"write {hint or name}"
        got = quoted(value) if kind is int and isinstance(value, float) else type_name(value)
        self.fault(key, FaultCode.WRONG_TYPE, f'"{key}" must be {name}, not {got}: {advice}.')
        return False

    def text(self, key: str, *, required: bool = False, hint: str = "", form: str = "") -> str | None:
        """`hint` ends the sentence on a key that is missing, `form` the one on a value that is no text."""
        if not self.has(key, required=required, hint=hint) or not self._typed(key, str, "text", form):
            return None
        return str(self.value[key])

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str, *, required: bool = False) -> str | None:
        """An id of that pattern; `wanted` says what to write instead of another."""
        text = self.text(key, required=required)
        if text is not None and not pattern.fullmatch(text):
            self.fault(key, FaultCode.INVALID_ID, f"{quoted(text)} is not {wanted}.")
            return None
        return text

    def flag(self, key: str) -> bool | None:
        return bool(self.value[key]) if self.has(key) and self._typed(key, bool, "true or false") else None

    def whole(self, key: str, least: int, most: int) -> int | None:
        if not self.has(key) or not self._typed(key, int, "a whole number"):
            return None
        number: int = self.value[key]  # type: ignore[assignment]
        if not least <= number <= most:
            self.fault(key, FaultCode.OUT_OF_RANGE, f'"{key}" is {number}: write a number from {least} to {most}.')
            return None
        return number

    def word(self, key: str, words: type[_Word], *, required: bool = False) -> _Word | None:
        text = self.text(key)
        if text is not None:
            return self.as_word(key, text, words, list(words))
        if required and key not in self.value:
            self.has(key, required=True, hint=f" ({' or '.join(words)})" if len(words) < 4 else "")
        return None

    def as_word(self, step: object, text: object, words: type[_Word], allowed: Sequence[_Word]) -> _Word | None:
        if isinstance(text, str) and text in allowed:
            return words(text)
        near = self.near(text, allowed) if isinstance(text, str) else ""
        advice = f"write one of {', '.join(allowed)}" if len(allowed) > 1 else f'write "{allowed[0]}"'
        self.fault(step, FaultCode.UNKNOWN_WORD, f"{quoted(text)} is not known here{near}: {advice}.")
        return None

    def words(self, key: str, words: type[_Word], allowed: Sequence[_Word], *, empty: bool = False) -> list[_Word]:
        """A list of words, each once."""
        found = [
            self.as_word((key, index), item, words, allowed)
            for index, item in self.distinct(key, len(allowed), empty=empty)
        ]
        return [word for word in found if word is not None]

    def duration(self, key: str, *, calendar: bool) -> timedelta | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_duration(text, calendar=calendar)
        except ValueError as error:
            self.fault(key, FaultCode.INVALID_DURATION, f"{quoted(text)} is not a duration: {error}.")
            return None

    def clock(self, key: str, *, required: bool = False) -> time | None:
        text = self.text(key, required=required, hint=', such as "21:00"')
        if text is None:
            return None
        match = _CLOCK.fullmatch(text)
        if match is None:
            message = f'{quoted(text)} is not a time of day: write hours and minutes, "00:00" to "23:59".'
            self.fault(key, FaultCode.INVALID_TIME, message)
            return None
        return time(int(match[1]), int(match[2]))

    def nested(self, key: str, known: Collection[str]) -> "Fields | None":
        if not self.has(key) or not self._typed(key, Mapping, "an object"):
            return None
        return Fields(self.value[key], (*self.steps, key), self.findings, known)  # type: ignore[arg-type]

    def items(self, key: str, most: int, *, empty: bool = False) -> list[object]:
        """The items of a list that may be left out, at most `most`; an empty one says nothing, unless `empty` has a meaning."""
        if not self.has(key) or not self._typed(key, list, "a list"):
            return []
        items: list[object] = self.value[key]  # type: ignore[assignment]
        if not items and not empty:
            self.fault(key, FaultCode.MISSING_KEY, f'"{key}" is an empty list: add one entry at least.')
        if len(items) > most:
            message = f'"{key}" lists {len(items)}: use at most {most}.'
            self.fault(key, FaultCode.TOO_MANY, message)
            return []
        return items

    def distinct(self, key: str, most: int, *, empty: bool = False) -> Iterator[tuple[int, object]]:
        """The items of a list by their places; one that stands there already is a finding."""
        seen: set[str] = set()
        for index, item in enumerate(self.items(key, most, empty=empty)):
            if isinstance(item, str) and item in seen:
                message = f'{quoted(item)} stands in "{key}" already: keep one.'
                self.findings.add(self.path(key, index), FaultCode.DUPLICATE_ITEM, message)
                continue
            if isinstance(item, str):
                seen.add(item)
            yield index, item

    def objects(self, key: str, known: Collection[str], most: int, *, empty: bool = False) -> Iterator["Fields"]:
        """The objects of a list; whatever else stands in it is a finding."""
        for index, item in enumerate(self.items(key, most, empty=empty)):
            if isinstance(item, Mapping):
                yield Fields(item, (*self.steps, key, index), self.findings, known)
            else:
                message = f"An object must stand here, not {type_name(item)}."
                self.fault((key, index), FaultCode.WRONG_TYPE, message)
