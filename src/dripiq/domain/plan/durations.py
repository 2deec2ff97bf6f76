"""How long is `PT72H`?

Durations are ISO 8601 (section 5.5.2.2) in weeks, days, hours, minutes and seconds. A day is 24 hours, unless the plan asks for days of the
calendar. Months and years are refused: their length is not fixed.
"""

import re
from datetime import timedelta
from typing import Final

from dripiq.domain.plan.model import CalendarSpan
from dripiq.domain.plan.vocabulary import DURATION_PATTERN

MAX_DURATION: Final = timedelta(days=3650)
"""Ten years: more is a slip of the pen."""

_DURATION: Final = re.compile(DURATION_PATTERN)
_CALENDAR: Final = re.compile(r"P[^T]*[YM]")
_DAY: Final = 86_400 * 1_000_000


def parse_duration(text: str, *, calendar: bool = False) -> timedelta:
    """The length of an ISO 8601 duration, exact to the microsecond.

    Args:
        calendar: whole days and weeks are days of the calendar, so a duration that has them is a `CalendarSpan`; hours stay hours.

    Raises:
        ValueError: with a sentence that says what to write instead.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if _CALENDAR.match(text[:40]):
            raise ValueError("months and years have no fixed length: write weeks or days, such as P30D")
        raise ValueError('write an ISO 8601 duration, such as "PT72H" or "P3D"')
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:5])
    whole_days = weeks * 7 + days
    rest = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + int((match[6] or "").ljust(6, "0"))
    if whole_days * _DAY + rest > MAX_DURATION.days * _DAY:
        raise ValueError(f"at most {MAX_DURATION.days} days (ten years) are allowed")
    if not calendar or not whole_days:
        return timedelta(days=whole_days, microseconds=rest)
    if rest >= _DAY:
        raise ValueError(
            "beside days of the calendar stand fewer than 24 hours, as P1DT12H: write more days, or hours alone"
        )
    return CalendarSpan(days=whole_days, microseconds=rest)


def format_duration(length: timedelta) -> str:
    """The shortest ISO 8601 form in days, hours, minutes and seconds; `parse_duration` reads it back."""
    seconds, micros = length.seconds, length.microseconds
    clock = "".join(
        f"{amount}{unit}"
        for amount, unit in (
            (seconds // 3600, "H"),
            (seconds // 60 % 60, "M"),
            (f"{seconds % 60}.{micros:06d}".rstrip("0") if micros else seconds % 60, "S"),
        )
        if amount
    )
    days = f"{length.days}D" if length.days else ""
    return f"P{days}{'T' + clock if clock else ''}" if days or clock else "PT0S"


def spell_duration(length: timedelta) -> str:
    """A length as people say it, to the second: "4 days 21 hours"."""
    parts = ((length.days, "day"), (length.seconds // 3600, "hour"), (length.seconds // 60 % 60, "minute"))
    spelt = [counted(amount, unit) for amount, unit in (*parts, (length.seconds % 60, "second")) if amount]
    return " ".join(spelt) or "0 seconds"


def counted(amount: int, noun: str) -> str:
    """A number with its noun: "1 node", "2 nodes", "1,000 nodes"."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"
