"""When may a plan send, as it is written: where, at which hours, on which days?

Reads the plan's keys of place and time into the values that `timing` works with. Whether any moment is left open is `verify`'s question.
"""

import re
from datetime import date
from typing import Final

from dripiq.domain.holidays import regions
from dripiq.domain.plan.faults import FaultCode, quoted
from dripiq.domain.plan.fields import Fields
from dripiq.domain.plan.model import CONTACT_ZONE, Holidays, QuietHours, SendWindow
from dripiq.domain.plan.vocabulary import (
    DATE_PATTERN,
    MAX_HOLIDAYS,
    MAX_REGIONS,
    NEED_ZONE,
    QUIET_KEYS,
    WINDOW_KEYS,
    WORKDAYS,
    DayLength,
    Weekday,
)

_DATE: Final = re.compile(DATE_PATTERN)


def read_zones(fields: Fields, defaults: Fields | None, days: DayLength) -> tuple[str, str]:
    """The plan's zone, and the one for contacts without one; UTC where they are not written."""
    zone = fields.text("timezone")
    users = [key for key in NEED_ZONE if key in fields.value]
    if days is DayLength.CALENDAR:
        users.append("defaults.days")
    if "timezone" not in fields.value and users:
        message = f'"timezone" is missing: add it, such as "Europe/Berlin"; "{users[0]}" is meant in some place.'
        fields.fault("timezone", FaultCode.MISSING_KEY, message)
    if defaults is None:
        return zone or "UTC", "UTC"
    fallback = defaults.text("timezone")
    if zone != CONTACT_ZONE:
        why = f'the plan\'s zone is not each contact\'s own. Remove it, or write "timezone": "{CONTACT_ZONE}" in the plan.'
        defaults.misplaced("timezone", why)
        return zone or "UTC", "UTC"
    return zone or "UTC", fallback or "UTC"


def read_quiet_hours(fields: Fields) -> QuietHours | None:
    quiet = fields.nested("quietHours", QUIET_KEYS)
    if quiet is None:
        return None
    start, end = quiet.clock("start", required=True), quiet.clock("end", required=True)
    fields.failed |= quiet.failed
    return None if start is None or end is None else QuietHours(start, end)


def read_send_window(fields: Fields) -> SendWindow | None:
    window = fields.nested("sendWindow", WINDOW_KEYS)
    if window is None:
        return None
    days = window.words("days", Weekday, [*Weekday]) if "days" in window.value else WORKDAYS
    start, end = window.clock("start"), window.clock("end")
    if "end" not in window.value:
        window.misplaced("start", 'a window that opens also closes. Add "end", or remove it.')
    if "start" not in window.value:
        window.misplaced("end", 'a window that closes also opens. Add "start", or remove it.')
    fields.failed |= window.failed
    if window.failed:
        return None
    weekdays = frozenset(day.iso for day in days)
    return SendWindow(weekdays) if start is None or end is None else SendWindow(weekdays, start, end)


def read_holidays(fields: Fields) -> Holidays:
    """A region, or a list of regions and dates."""
    if not isinstance(fields.value.get("holidays"), list):
        region = fields.value.get("holidays")
        if isinstance(region, str):
            return Holidays(tuple(_region(fields, "holidays", region)))
        if fields.has("holidays"):
            message = '"holidays" must be text or a list: write a country, such as "DE", or a list of such and dates.'
            fields.fault("holidays", FaultCode.WRONG_TYPE, message)
        return Holidays()
    found: list[str] = []
    dates: set[date] = set()
    for index, item in fields.distinct("holidays", MAX_HOLIDAYS):
        if not isinstance(item, str):
            message = 'Text must stand here: a country, such as "DE", or a date, such as "2026-12-24".'
            fields.fault(("holidays", index), FaultCode.WRONG_TYPE, message)
        elif item[:1].isdigit():
            dates.update(_date(fields, index, item))
        else:
            found.extend(_region(fields, ("holidays", index), item))
    if len(found) > MAX_REGIONS:
        message = f'"holidays" names {len(found)} countries and parts of such: use at most {MAX_REGIONS}, and dates.'
        fields.fault("holidays", FaultCode.TOO_MANY, message)
        return Holidays()
    return Holidays(tuple(found), frozenset(dates))


def _region(fields: Fields, step: object, code: str) -> list[str]:
    known = regions()
    if code in known:
        return [code]
    country = code[:2].upper()
    parts = sorted(region for region in known if region.startswith(country)) if country in known else sorted(known)
    message = (
        f"No holidays are known for {quoted(code)}{fields.near(code, parts)}: "
        'write a country, such as "DE", a part of one, such as "DE-BY", or (in a list) dates.'
    )
    fields.fault(step, FaultCode.UNKNOWN_WORD, message)
    return []


def _date(fields: Fields, index: int, text: str) -> list[date]:
    try:
        if _DATE.fullmatch(text):
            return [date.fromisoformat(text)]
    except ValueError:
        pass
    message = f'{quoted(text)} is no date of the calendar: write year, month and day, such as "2026-12-24".'
    fields.fault(("holidays", index), FaultCode.INVALID_DATE, message)
    return []
