"""Which days are holidays: what the package knows, and that asking for it stays cheap and quiet."""

from datetime import date, timedelta

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.holidays import YEARS, all_days, is_holiday, public_holidays, regions
from dripiq.domain.plan.model import Holidays, Plan, SendWindow
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.timing import never_open


@pytest.mark.parametrize(
    ("region", "day"),
    [("DE", "2026-10-03"), ("DE-BY", "2026-06-04"), ("US", "2026-07-03"), ("US", "2027-12-31"), ("JP", "2026-05-06"), ("GB-SCT", "2026-11-30")],
)  # fmt: skip
def test_public_holidays_are_known_with_those_that_are_made_up_for(region: str, day: str) -> None:
    assert is_holiday(Holidays((region,)), date.fromisoformat(day))


def test_a_holiday_of_a_part_is_none_of_the_whole() -> None:
    corpus_christi = date(2026, 6, 4)
    assert not is_holiday(Holidays(("DE",)), corpus_christi)
    assert is_holiday(Holidays(("DE", "DE-BY")), corpus_christi)
    assert is_holiday(Holidays((), frozenset({corpus_christi})), corpus_christi)


@pytest.mark.parametrize("region", ["XX", "DE-XX", "de", "DEU", "DE-Augsburg", ""])
def test_a_region_without_known_holidays_is_a_named_error(region: str) -> None:
    assert region not in regions()
    with pytest.raises(PlanError, match="No holidays are known for") as caught:
        public_holidays(region, 2026)
    assert caught.value.error_code == "unknown_region"


def test_a_year_that_the_calendar_does_not_know_has_no_holidays_and_nothing_is_said_of_it() -> None:
    assert public_holidays("DE", 2200) == frozenset()
    assert public_holidays("IN", 2050)


def test_the_days_of_all_years_are_those_of_each() -> None:
    given = frozenset({date(2030, 8, 1), date(2199, 1, 1)})
    days = all_days(Holidays(("DE-BY", "JP"), given))
    each = {day for year in YEARS for region in ("DE-BY", "JP") for day in public_holidays(region, year)}
    assert days == sorted(each | {date(2030, 8, 1)})


def test_a_window_whose_every_day_is_a_given_holiday_opens_after_the_last_of_them() -> None:
    sundays = frozenset(date(2026, 1, 4) + timedelta(weeks=week) for week in range(100))
    assert not never_open(Plan("1.1", "UTC", "a", {}, "", None, SendWindow(frozenset({7})), Holidays((), sundays)))


@pytest.mark.parametrize("day", [6, 7])
def test_holidays_that_take_every_day_of_the_window_leave_a_plan_never_open(day: int) -> None:
    """In Sweden every Sunday is a public holiday (Lag 1989:253), which the package counts by default in some of its versions."""
    plan = Plan("1.1", "UTC", "a", {}, "", None, SendWindow(frozenset({day})), Holidays(("SE",)))
    weeks = [date(2025, 12, 21 + day) + timedelta(weeks=week) for week in range(1, 100)]
    assert {one.isoweekday() for one in weeks} == {day}
    assert never_open(plan) is all(is_holiday(plan.holidays, one) for one in weeks)


def test_more_regions_than_can_be_worked_out_at_once_are_a_fault() -> None:
    many = sorted(regions())[:21]
    node = {"id": "a", "channel": "email", "action": "send", "subject": "Hello", "body": "Hello"}
    plan = {"version": "1.1", "timezone": "UTC", "startNodeId": "a", "nodes": [node], "holidays": many}
    with pytest.raises(PlanError, match='"holidays" names 21 countries') as caught:
        parse_plan(plan)
    assert caught.value.error_code == "plan_faults"
    assert parse_plan({**plan, "holidays": [*many[:20], "2026-12-24"]}).holidays.regions == tuple(many[:20])
