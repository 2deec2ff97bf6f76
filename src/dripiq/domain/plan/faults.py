"""What can be wrong with a plan, and where?

One `Fault` per finding: a JSON path (RFC 9535 notation), a stable code, and a sentence that says what to do. Findings are collected, not
raised one by one, so that a plan's author sees all of them at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from dripiq.domain.errors import PlanError

MAX_FAULTS: Final = 500
"""Findings kept; a document with more is no plan, and its report should stay readable."""

PATIENCE: Final = 1_500_000
"""Pairs of letters that the hints of one report compare, some 100 ms."""

_LEAST_LIKE: Final = 0.65
"""From how much likeness on a word may have been meant."""

_BEGINNING: Final = 4
"""Letters at the beginning that count for more."""


class FaultCode(StrEnum):
    """Every code a fault can carry."""

    # The document
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    INVALID_TEXT = "invalid_text"
    # The shape
    WRONG_TYPE = "wrong_type"
    MISSING_KEY = "missing_key"
    UNKNOWN_KEY = "unknown_key"
    MISPLACED_KEY = "misplaced_key"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_WORD = "unknown_word"
    INVALID_ID = "invalid_id"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_ITEM = "duplicate_item"
    INVALID_DURATION = "invalid_duration"
    INVALID_TIME = "invalid_time"
    INVALID_DATE = "invalid_date"
    OUT_OF_RANGE = "out_of_range"
    TOO_MANY = "too_many"
    # The meaning
    DANGLING_TARGET = "dangling_target"
    UNREACHABLE_NODE = "unreachable_node"
    MISSING_CONTENT = "missing_content"
    MIXED_CHANNELS = "mixed_channels"
    NOTHING_TO_ANSWER = "nothing_to_answer"
    AMBIGUOUS_TRANSITION = "ambiguous_transition"
    NEVER_TAKEN = "never_taken"
    WINDOW_OUTLIVES_TIMER = "window_outlives_timer"
    ENDLESS_LOOP = "endless_loop"
    ENDLESS_WAIT = "endless_wait"
    NEVER_OPEN = "never_open"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    TEMPLATE_SYNTAX = "template_syntax"
    TEMPLATE_ROOT = "template_root"
    SINGLE_BRACES = "single_braces"
    # The contacts
    UNKNOWN_VARIABLE = "unknown_variable"
    MISSING_VARIABLE = "missing_variable"
    TEMPLATE_FAILED = "template_failed"


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding: where (`$.nodes[2].transitions[0].to`), which kind, and what to do."""

    path: str
    code: FaultCode
    message: str


MORE_FAULTS: Final = Fault("$", FaultCode.TOO_MANY, f"There are more than {MAX_FAULTS} faults: mend these first.")
"""What ends a report that is full."""


class UnreadablePlan(PlanError):  # noqa: N818  (says what the plan is, as its parent says what it has)
    """The source is no JSON object within the bounds, so nothing can be said about the plan in it."""

    code = "plan_unreadable"
    exit_code = 2
    http_status = 400


class ReportFull(Exception):  # noqa: N818  (no error: whoever collects the findings stops)
    """There are more faults than a report shows."""


class Hints:
    """Looks for the word that was meant, with a bound on the work for one report: comparing two texts takes the product of their lengths."""

    def __init__(self) -> None:
        self.patience = PATIENCE

    def near(self, word: str, known: Iterable[str]) -> str:
        """` (did you mean "…"?)` with the nearest known word, or nothing where none is near, or patience is used up.

        Of words as like, the one that begins alike is nearer (as Winkler's measure has it): "reply" means "replied", not "no_reply".
        """
        if self.patience <= 0:
            return ""
        word = word[:64].lower()
        matcher = SequenceMatcher(b=word, autojunk=False)
        best, nearest = _LEAST_LIKE, ""
        for candidate in known:
            lower = candidate.lower()
            if lower == word:
                return f' (did you mean "{candidate}"?)'
            matcher.set_seq1(lower[:64])
            self.patience -= 20
            same = _same_beginning(lower, word)
            if _likeness(matcher.real_quick_ratio(), same) < best:
                continue
            self.patience -= 10 * len(word)
            if _likeness(matcher.quick_ratio(), same) >= best:
                self.patience -= min(len(lower), 64) * len(word)
                likeness = _likeness(matcher.ratio(), same)
                if likeness > best or (likeness == best and not nearest):
                    best, nearest = likeness, candidate
            if self.patience <= 0:
                break
        return f' (did you mean "{nearest}"?)' if nearest else ""


def _same_beginning(one: str, other: str) -> int:
    length = 0
    while length < min(_BEGINNING, len(one), len(other)) and one[length] == other[length]:
        length += 1
    return length


def _likeness(ratio: float, same: int) -> float:
    """How like two words are, 0 to 1; below `_LEAST_LIKE` no beginning helps."""
    return ratio if ratio < _LEAST_LIKE else ratio + same * 0.1 * (1 - ratio)


@dataclass(slots=True)
class Findings:
    """Collects faults, `MAX_FAULTS` of them at most."""

    faults: list[Fault] = field(default_factory=list)
    hints: Hints = field(default_factory=Hints)
    full: bool = False

    def add(self, path: str, code: FaultCode, message: str) -> None:
        """Keep a fault.

        Raises:
            ReportFull: there is no room for it.
        """
        if len(self.faults) == MAX_FAULTS:
            self.full = True
            raise ReportFull
        self.faults.append(Fault(path, code, message))

    def all(self) -> list[Fault]:
        """What was found, in the order of finding, and whether there is more."""
        return [*self.faults, MORE_FAULTS] if self.full else self.faults


def plan_error(faults: Sequence[Fault]) -> PlanError:
    """The error that carries `faults` (one at least) as its facts."""
    unreadable = any(fault.code is FaultCode.UNREADABLE for fault in faults)
    first = faults[0]
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults; the first"
    return (UnreadablePlan if unreadable else PlanError)(
        f"The plan has {count}: {first.path}: {first.message}", facts={"faults": [asdict(fault) for fault in faults]}
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Hints.near` for a single word; who asks for many keeps one `Hints`."""
    return Hints().near(word, known)


def quoted(value: object) -> str:
    """A value as a message shows it: JSON-like and short."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(letter if letter.isprintable() else "�" for letter in text[:80])
    return text if len(text) < 80 else f"{text[:60]}…"
