"""How long is `PT72H`?

Durations are ISO 8601 (section 5.5.2.2) in weeks, days, hours, minutes and seconds. A day is 24 hours. Months and years are refused: their
length is not fixed.
"""

import re
from datetime import timedelta
from typing import Final

MAX_DURATION: Final = timedelta(days=3650)
"""Ten years: more is a slip of the pen."""

_DURATION: Final = re.compile(
    r"P(?=[0-9T])(?:(?P<weeks>[0-9]{1,9})W)?(?:(?P<days>[0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,9})H)?(?:(?P<minutes>[0-9]{1,9})M)?(?:(?P<seconds>[0-9]{1,9}(?:[.,][0-9]{1,6})?)S)?)?"
)
_SECONDS: Final = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_CALENDAR: Final = re.compile(r"P[^T]*[YM]")


def parse_duration(text: str) -> timedelta:
    """The length of an ISO 8601 duration.

    Raises:
        ValueError: with a sentence that says what to write instead.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if _CALENDAR.match(text[:40]):
            raise ValueError("months and years have no fixed length: write weeks or days, such as P30D")
        raise ValueError('write an ISO 8601 duration, such as "PT72H" or "P3D"')
    seconds = sum(
        float(part.replace(",", ".")) * _SECONDS[unit] for unit, part in match.groupdict().items() if part is not None
    )
    if seconds > MAX_DURATION.total_seconds():
        raise ValueError(f"at most {MAX_DURATION.days} days (ten years) are allowed")
    return timedelta(seconds=seconds)


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
