"""How is one JSON object taken apart, so that every slip is found and nothing is ignored?

`Fields` wraps an object of the plan and the keys it may have. Each reader returns the value, or None after a finding; `failed` then tells
whether the object can still be built. A key that nobody knows is a finding, with the nearest key that somebody does.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import time, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from dripiq.domain.plan.document import Steps, json_path, type_name
from dripiq.domain.plan.durations import parse_duration
from dripiq.domain.plan.faults import FaultCode, Findings, did_you_mean, quoted

LATER_KEYS: Final = frozenset({"sendWindow", "holidays", "jitter", "variants", "replyTo", "stopCompanyOnReply"})
"""Keys of version 1.1 that this release does not run yet. Refused: a plan must not seem to ask for what does not happen."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_Word = TypeVar("_Word", bound=StrEnum)


class Fields:
    """One object of the document, its path, and where its faults go."""

    def __init__(self, value: Mapping[str, object], steps: Steps, findings: Findings, known: Collection[str]) -> None:
        self.value = value
        self.steps = steps
        self.findings = findings
        self.failed = False
        for key in value:
            if key in known:
                continue
            if key in LATER_KEYS:
                message = f'"{key}" belongs to version 1.1 and is not supported yet: leave it out.'
                findings.add(self.path(key), FaultCode.UNSUPPORTED_KEY, message)
            else:
                message = (
                    f"There is no key {quoted(key)} here{did_you_mean(key, known)}: remove it or correct its name."
                )
                findings.add(self.path(key), FaultCode.UNKNOWN_KEY, message)

    def path(self, key: object) -> str:
        return json_path((*self.steps, key))

    def fault(self, key: object, code: FaultCode, message: str) -> None:
        """A finding at `key` that keeps the object from being built."""
        self.failed = True
        self.findings.add(self.path(key), code, message)

    def has(self, key: str, *, required: bool = False, hint: str = "") -> bool:
        if key not in self.value and required:
            self.fault(key, FaultCode.MISSING_KEY, f'"{key}" is missing: add it{hint}.')
        return key in self.value

    def misplaced(self, key: str, why: str) -> None:
        """A finding where `key` stands though it means nothing here."""
        if key in self.value:
            self.fault(key, FaultCode.MISPLACED_KEY, f'"{key}" does nothing here: {why}')

    def _typed(self, key: str, kind: type[object], name: str) -> bool:
        value = self.value[key]
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return True
        advice = "leave the key out or give it a value" if value is None else f"write {name}"
        self.fault(key, FaultCode.WRONG_TYPE, f'"{key}" must be {name}, not {type_name(value)}: {advice}.')
        return False

    def text(self, key: str, *, required: bool = False, hint: str = "") -> str | None:
        if not self.has(key, required=required, hint=hint) or not self._typed(key, str, "text"):
            return None
        return str(self.value[key])

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

    def as_word(self, key: object, text: object, words: type[_Word], allowed: Collection[_Word]) -> _Word | None:
        if isinstance(text, str) and text in allowed:
            return words(text)
        near = did_you_mean(text, allowed) if isinstance(text, str) else ""
        known = ", ".join(allowed)
        self.fault(key, FaultCode.UNKNOWN_WORD, f"{quoted(text)} is not known here{near}: write one of {known}.")
        return None

    def duration(self, key: str) -> timedelta | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_duration(text)
        except ValueError as error:
            self.fault(key, FaultCode.INVALID_DURATION, f"{quoted(text)} is not a duration: {error}.")
            return None

    def clock(self, key: str) -> time | None:
        text = self.text(key, required=True, hint=', such as "21:00"')
        if text is None:
            return None
        match = _CLOCK.fullmatch(text)
        if match is None:
            self.fault(
                key,
                FaultCode.INVALID_TIME,
                f'{quoted(text)} is not a time of day: write hours and minutes, "00:00" to "23:59".',
            )
            return None
        return time(int(match[1]), int(match[2]))

    def nested(self, key: str, known: Collection[str]) -> "Fields | None":
        if not self.has(key) or not self._typed(key, Mapping, "an object"):
            return None
        return Fields(self.value[key], (*self.steps, key), self.findings, known)  # type: ignore[arg-type]

    def items(self, key: str) -> list[object]:
        if not self.has(key) or not self._typed(key, list, "a list"):
            return []
        return list(self.value[key])  # type: ignore[call-overload, no-any-return]

    def objects(self, key: str, known: Collection[str]) -> Iterator["Fields"]:
        """The objects of a list; whatever else stands in it is a finding."""
        for index, item in enumerate(self.items(key)):
            if isinstance(item, Mapping):
                yield Fields(item, (*self.steps, key, index), self.findings, known)
            else:
                self.failed = True
                path = json_path((*self.steps, key, index))
                self.findings.add(path, FaultCode.WRONG_TYPE, f"An object must stand here, not {type_name(item)}.")
