"""When it may be sent: the classic cases, each by its name. `test_timing_properties` holds the rules to all others."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.moves import Contact
from dripiq.domain.plan.model import (
    CONTACT_ZONE,
    CalendarSpan,
    Holidays,
    Node,
    NodeAction,
    Plan,
    QuietHours,
    SendWindow,
)
from dripiq.domain.states import Channel
from dripiq.domain.timing import (
    MAX_ATTEMPTS,
    closed_by,
    is_allowed,
    later,
    longest_closed,
    never_open,
    next_allowed,
    retry_at,
    send_at,
    zone_of,
)

WORKDAYS = frozenset(range(1, 6))


def plan_with(timezone: str, start: str | None, end: str | None = None) -> Plan:
    quiet = QuietHours(time.fromisoformat(start), time.fromisoformat(end)) if start and end else None
    return Plan("1.0", timezone, "a", {}, "", quiet)


def window_of(
    timezone: str, start: str = "00:00", end: str = "00:00", days: frozenset[int] = WORKDAYS, *closed: str
) -> Plan:
    """A plan with a send window; `closed` are dates and regions of holidays."""
    window = SendWindow(days, time.fromisoformat(start), time.fromisoformat(end))
    return replace(holidays_of(timezone, *closed), send_window=window)


def holidays_of(timezone: str, *closed: str) -> Plan:
    dates = frozenset(date.fromisoformat(text) for text in closed if text[0].isdigit())
    regions = tuple(text for text in closed if not text[0].isdigit())
    return replace(plan_with(timezone, None), holidays=Holidays(regions, dates))


def node_after(delay: timedelta, name: str = "a") -> Node:
    return Node(name, Channel.EMAIL, NodeAction.SEND, delay=delay)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "start", "end", "at", "expected"),
    [
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T12:00", "2026-03-01T12:00", id="open by day"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T21:00", "2026-03-02T07:30", id="quiet from the start"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T20:59:59.999999", "2026-03-01T20:59:59.999999", id="open before"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-02T07:30", "2026-03-02T07:30", id="open at the end"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-02T03:00:30", "2026-03-02T07:30", id="over midnight"),
        pytest.param("UTC", "00:00", "08:00", "2026-03-02T00:00", "2026-03-02T08:00", id="from midnight"),
        pytest.param("UTC", "12:00", "00:00", "2026-03-02T13:00", "2026-03-03T00:00", id="to midnight"),
        pytest.param("America/Los_Angeles", "21:00", "07:30", "2026-06-01T10:00", "2026-06-01T14:30", id="summer time"),
        pytest.param("America/Los_Angeles", "21:00", "07:30", "2026-01-01T10:00", "2026-01-01T15:30", id="winter time"),
        pytest.param("America/New_York", "21:00", "07:30", "2026-03-08T05:00", "2026-03-08T11:30", id="short night"),
        pytest.param("America/New_York", "21:00", "07:30", "2026-11-01T03:00", "2026-11-01T12:30", id="long night"),
        # 02:00 to 03:00 does not exist: the quiet hours end at the jump, at 03:00 summer time.
        pytest.param("America/New_York", "21:00", "02:30", "2026-03-08T05:00", "2026-03-08T07:00", id="end in the gap"),
        pytest.param("America/New_York", "02:15", "02:45", "2026-03-08T06:59", "2026-03-08T06:59", id="all in the gap"),
        # 01:00 to 02:00 comes twice: 01:30 ends the span, and again after the clock was set back into it.
        pytest.param("America/New_York", "21:00", "01:30", "2026-11-01T04:00", "2026-11-01T05:30", id="end, first time"),
        pytest.param("America/New_York", "21:00", "01:30", "2026-11-01T06:10", "2026-11-01T06:30", id="end, second time"),
        # Quiet from 01:30, but the clock goes back to 01:00 and opens half an hour.
        pytest.param("America/New_York", "01:30", "05:00", "2026-11-01T05:40", "2026-11-01T06:00", id="set back to before"),
        pytest.param("Australia/Lord_Howe", "21:00", "02:15", "2026-10-03T14:00", "2026-10-03T15:30", id="half-hour gap"),
        pytest.param("Australia/Lord_Howe", "21:00", "07:30", "2026-04-04T12:00", "2026-04-04T21:00", id="half-hour overlap"),
        # Samoa went from the 29th to the 31st of December 2011.
        pytest.param("Pacific/Apia", "21:00", "07:30", "2011-12-30T08:00", "2011-12-30T17:30", id="day skipped"),
        pytest.param("Asia/Kathmandu", "21:00", "07:30", "2026-01-01T16:00", "2026-01-02T01:45", id="quarter-hour zone"),
    ],
)  # fmt: skip
def test_the_next_allowed_instant(timezone: str, start: str, end: str, at: str, expected: str) -> None:
    assert next_allowed(plan_with(timezone, start, end), utc(at)) == utc(expected)


def test_without_quiet_hours_every_instant_is_allowed() -> None:
    at = utc("2026-03-01T03:00")
    assert is_allowed(plan_with("UTC", None), at)
    assert next_allowed(plan_with("UTC", None), at) == at


def test_an_instant_of_any_zone_comes_back_in_utc() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert next_allowed(plan_with("UTC", "21:00", "07:30"), at) == utc("2026-03-01T07:30")
    assert next_allowed(plan_with("UTC", None), at).tzinfo is UTC


def test_quiet_hours_of_the_whole_day_are_refused_instead_of_searched_for_ever() -> None:
    with pytest.raises(PlanError, match="make quiet hours and send window leave some time") as caught:
        next_allowed(plan_with("UTC", "09:00", "09:00"), utc("2026-03-01T12:00"))
    assert caught.value.error_code == "never_open"


@pytest.mark.parametrize(
    ("plan", "at", "expected", "rule"),
    [
        # 6 March 2026 is a Friday.
        pytest.param(window_of("UTC", "09:00", "17:00"), "2026-03-06T16:59:59", "2026-03-06T16:59:59", None, id="Friday, just open"),
        pytest.param(window_of("UTC", "09:00", "17:00"), "2026-03-06T17:00", "2026-03-09T09:00", "send_window", id="over the weekend"),
        pytest.param(window_of("UTC", "09:00", "17:00"), "2026-03-06T08:59:59", "2026-03-06T09:00", "send_window", id="in the morning"),
        pytest.param(window_of("UTC"), "2026-03-07T12:00", "2026-03-09T00:00", "send_window", id="whole days"),
        pytest.param(window_of("UTC", "22:00", "02:00"), "2026-03-07T01:59", "2026-03-07T01:59", None, id="Friday's window, Saturday's clock"),
        pytest.param(window_of("UTC", "22:00", "02:00"), "2026-03-07T02:00", "2026-03-09T22:00", "send_window", id="Friday's window is over"),
        pytest.param(window_of("UTC", "22:00", "02:00"), "2026-03-09T01:00", "2026-03-09T22:00", "send_window", id="Sunday has no window"),
        pytest.param(window_of("UTC", "09:00", "09:00", frozenset({5})),
                     "2026-03-06T08:00", "2026-03-06T09:00", "send_window", id="a day from nine, before"),
        pytest.param(window_of("UTC", "09:00", "09:00", frozenset({5})), "2026-03-07T08:00", "2026-03-07T08:00", None, id="a day from nine, to nine"),
        pytest.param(holidays_of("UTC", "2026-03-06"),
                     "2026-03-06T00:00", "2026-03-07T00:00", "holiday", id="a given day, from its midnight to the next"),
        pytest.param(holidays_of("Europe/Berlin", "DE"), "2026-12-24T23:00", "2026-12-26T23:00", "holiday", id="Christmas in Germany"),
        pytest.param(holidays_of("Europe/Berlin", "DE"), "2026-01-06T12:00", "2026-01-06T12:00", None, id="Epiphany in Germany"),
        pytest.param(holidays_of("Europe/Berlin", "DE-BY"), "2026-01-06T12:00", "2026-01-06T23:00", "holiday", id="Epiphany in Bavaria"),
        pytest.param(holidays_of("America/New_York", "US"), "2026-07-03T16:00", "2026-07-05T04:00", "holiday", id="a holiday made up for"),
        pytest.param(window_of("Europe/Berlin", "09:00", "17:00", WORKDAYS, "DE"),
                     "2026-04-02T16:00", "2026-04-07T07:00", "send_window", id="Easter"),
        pytest.param(window_of("UTC", "22:00", "02:00", WORKDAYS, "2026-03-06"),
                     "2026-03-06T00:30", "2026-03-09T22:00", "holiday", id="a holiday ends the night before it at midnight"),
        pytest.param(window_of("UTC", "22:00", "02:00", WORKDAYS, "2026-03-06"),
                     "2026-03-07T00:30", "2026-03-09T22:00", "holiday", id="no window starts on a holiday"),
        pytest.param(replace(window_of("UTC", "09:00", "17:00"), quiet_hours=QuietHours(time(12), time(13))),
                     "2026-03-06T12:30", "2026-03-06T13:00", "quiet_hours", id="lunch"),
        pytest.param(replace(window_of("UTC", "09:00", "17:00", WORKDAYS, "2026-03-07"), quiet_hours=QuietHours(time(21), time(7))),
                     "2026-03-07T22:00", "2026-03-09T09:00", "quiet_hours", id="quiet hours are named first"),
        pytest.param(window_of("UTC", "09:00", "17:00", WORKDAYS, "2026-03-07"),
                     "2026-03-07T12:00", "2026-03-09T09:00", "send_window", id="the window before the holiday"),
        # 02:15 to 02:45 does not exist that Sunday.
        pytest.param(window_of("America/New_York", "02:15", "02:45", frozenset({7})),
                     "2026-03-08T06:59", "2026-03-15T06:15", "send_window", id="a window in the gap"),
        pytest.param(window_of("America/New_York", "02:15", "03:45", frozenset({7})),
                     "2026-03-08T06:59", "2026-03-08T07:00", "send_window", id="a window that starts in the gap"),
        pytest.param(window_of("America/New_York", "01:00", "01:30", frozenset({7})),
                     "2026-11-01T05:30", "2026-11-01T06:00", "send_window", id="a window comes twice"),
        # Samoa had no 30 December 2011, a Friday.
        pytest.param(window_of("Pacific/Apia", "09:00", "17:00", frozenset({5})),
                     "2011-12-30T09:00", "2012-01-05T19:00", "send_window", id="no Friday that week"),
        pytest.param(holidays_of("Pacific/Apia", "2011-12-30", "2011-12-31"),
                     "2011-12-30T10:00", "2011-12-31T10:00", "holiday", id="the holiday after the missing day"),
        # Kwajalein had two 30 September 1969; its clocks were set back by 23 hours.
        pytest.param(holidays_of("Pacific/Kwajalein", "1969-09-30"), "1969-09-29T13:00", "1969-10-01T12:00", "holiday", id="a holiday twice"),
    ],
)  # fmt: skip
def test_the_next_opening_and_the_rule_that_closes_until_then(
    plan: Plan, at: str, expected: str, rule: str | None
) -> None:
    assert closed_by(plan, utc(at)) == rule
    assert is_allowed(plan, utc(at)) is (rule is None)
    assert next_allowed(plan, utc(at)) == utc(expected)


def test_holidays_of_an_unknown_country_are_a_named_error() -> None:
    with pytest.raises(PlanError, match='No holidays are known for "XX"') as caught:
        next_allowed(holidays_of("UTC", "XX"), utc("2026-03-06T00:00"))
    assert caught.value.error_code == "unknown_region"


def test_a_contact_goes_by_its_own_clock_and_one_without_by_the_plans() -> None:
    plan = replace(plan_with(CONTACT_ZONE, "21:00", "07:30"), fallback_timezone="Europe/Berlin")
    at = utc("2026-06-01T04:00")
    opens = {
        zone: next_allowed(plan, at, Contact("c", zone))
        for zone in ("Asia/Tokyo", "America/Los_Angeles", None, "Nowhere")
    }
    assert opens == {
        "Asia/Tokyo": at,
        "America/Los_Angeles": utc("2026-06-01T14:30"),
        None: utc("2026-06-01T05:30"),
        "Nowhere": utc("2026-06-01T05:30"),
    }  # fmt: skip


def test_a_zone_of_the_plan_that_nobody_knows_is_a_named_error() -> None:
    for plan in (plan_with("Nowhere", None), replace(plan_with(CONTACT_ZONE, None), fallback_timezone="Nowhere")):
        with pytest.raises(PlanError, match='There is no time zone "Nowhere"'):
            zone_of(plan, Contact("c", None))


@pytest.mark.parametrize(
    ("timezone", "at", "span", "expected"),
    [
        pytest.param("Europe/Berlin", "2026-03-28T09:00", CalendarSpan(days=1), "2026-03-29T08:00", id="a day of 23 hours"),
        pytest.param("Europe/Berlin", "2026-03-28T09:00", timedelta(days=1), "2026-03-29T09:00", id="24 hours"),
        pytest.param("Europe/Berlin", "2026-10-24T09:00", CalendarSpan(days=1), "2026-10-25T10:00", id="a day of 25 hours"),
        pytest.param("Europe/Berlin", "2026-03-28T09:00", CalendarSpan(days=1, hours=2), "2026-03-29T10:00", id="and its hours"),
        pytest.param("Europe/Berlin", "2026-03-28T01:30", CalendarSpan(days=1), "2026-03-29T01:00", id="into the gap"),
        pytest.param("Europe/Berlin", "2026-10-24T00:30", CalendarSpan(days=1), "2026-10-25T00:30", id="the first of two"),
        pytest.param("Europe/Berlin", "2026-10-25T01:30", CalendarSpan(hours=1), "2026-10-25T02:30", id="hours alone are hours"),
        pytest.param("Australia/Lord_Howe", "2026-10-02T15:40", CalendarSpan(days=1), "2026-10-03T15:30", id="into a gap of half an hour"),
        pytest.param("Pacific/Apia", "2011-12-29T22:00", CalendarSpan(days=1), "2011-12-30T10:00", id="into a day that was not"),
    ],
)  # fmt: skip
def test_days_of_the_calendar_keep_the_time_on_the_wall(timezone: str, at: str, span: timedelta, expected: str) -> None:
    assert later(plan_with(timezone, None), utc(at), span) == utc(expected)


def test_days_of_the_calendar_are_the_contacts_own() -> None:
    plan, day = plan_with(CONTACT_ZONE, None), CalendarSpan(days=1)
    assert later(plan, utc("2026-03-28T09:00"), day, Contact("c", "Europe/Berlin")) == utc("2026-03-29T08:00")
    assert later(plan, utc("2026-03-28T09:00"), day, Contact("c", None)) == utc("2026-03-29T09:00")


def test_a_send_leaves_after_its_delay_in_the_next_opening() -> None:
    plan = window_of("UTC", "09:00", "17:00")
    assert send_at(plan, node_after(timedelta(days=1)), utc("2026-03-06T10:00")) == utc("2026-03-09T09:00")


def test_jitter_spreads_those_who_wait_for_the_same_opening() -> None:
    plan = replace(window_of("UTC", "09:00", "17:00"), jitter=timedelta(hours=2))
    contacts = [Contact(f"c{number}", None) for number in range(200)]
    moments = [send_at(plan, node_after(timedelta(0)), utc("2026-03-07T12:00"), contact) for contact in contacts]
    opens = utc("2026-03-09T09:00")
    quarters = {(moment - opens) // timedelta(minutes=15) for moment in moments}
    assert quarters == set(range(8))
    assert len(set(moments)) == 200


def test_jitter_that_leaves_the_window_goes_on_in_the_next() -> None:
    plan = replace(window_of("UTC", "09:00", "17:00"), jitter=timedelta(hours=2))
    contacts = [Contact(f"c{number}", None) for number in range(50)]
    moments = {send_at(plan, node_after(timedelta(0)), utc("2026-03-06T16:00"), contact) for contact in contacts}
    assert utc("2026-03-09T09:00") in moments
    assert all(is_allowed(plan, moment) for moment in moments)


def test_the_share_of_the_jitter_is_the_contacts_and_the_nodes_for_ever() -> None:
    plan = replace(plan_with("UTC", None), jitter=timedelta(days=1))
    at = utc("2026-03-06T00:00")
    shares = [
        (send_at(plan, node_after(timedelta(0), node), at, Contact(contact, None)) - at).total_seconds() // 60
        for contact, node in (("c1", "a"), ("c1", "b"), ("c2", "a"))
    ]
    assert shares == [1228, 1399, 573]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(plan_with("UTC", None), False, id="no rules"),
        pytest.param(plan_with("UTC", "09:00", "09:00"), True, id="quiet all day"),
        pytest.param(plan_with("UTC", "21:00", "20:59"), False, id="a minute a day"),
        pytest.param(replace(window_of("UTC", "22:00", "06:00"), quiet_hours=QuietHours(time(21), time(7))), True, id="quiet all window"),
        pytest.param(replace(window_of("UTC", "22:00", "07:01"), quiet_hours=QuietHours(time(21), time(7))), False, id="quiet but for a minute"),
        pytest.param(replace(window_of("UTC"), quiet_hours=QuietHours(time(0, 1), time(0))), False, id="the first minute of a workday"),
        pytest.param(window_of("UTC", "09:00", "17:00", frozenset()), True, id="a window of no day"),
        pytest.param(holidays_of("UTC", "DE", "2026-03-06"), False, id="holidays alone"),
    ],
)  # fmt: skip
def test_a_plan_that_is_never_open_is_known(plan: Plan, expected: bool) -> None:
    assert never_open(plan) is expected
    if expected:
        for ask in (lambda: next_allowed(plan, utc("2026-03-06T12:30")), lambda: longest_closed(plan)):
            with pytest.raises(PlanError) as caught:
                ask()
            assert caught.value.error_code == "never_open"


def test_ten_years_of_given_fridays_are_waited_for() -> None:
    fridays = [str(date(2026, 3, 6) + timedelta(weeks=week)) for week in range(520)]
    plan = window_of("UTC", "09:00", "17:00", frozenset({5}), *fridays)
    assert next_allowed(plan, utc("2026-03-01T00:00")) == utc("2036-02-22T09:00")
    assert longest_closed(plan) == timedelta(weeks=521) - timedelta(hours=8)


@pytest.mark.parametrize(
    ("plan", "hours"),
    [
        pytest.param(plan_with("UTC", None), 0, id="no rules"),
        pytest.param(plan_with("UTC", "21:00", "07:30"), 10.5, id="a night"),
        pytest.param(plan_with("Europe/Berlin", "21:00", "07:30"), 11.5, id="a night on which the clocks change"),
        pytest.param(plan_with(CONTACT_ZONE, "21:00", "07:30"), 12.5, id="anybody's night"),
        pytest.param(window_of("UTC", "09:00", "17:00"), 64, id="a weekend"),
        pytest.param(window_of("Europe/Berlin", "09:00", "17:00", WORKDAYS, "DE"), 113, id="Easter"),
        pytest.param(window_of("UTC", "22:00", "02:00", WORKDAYS, "2026-03-06"), 94, id="a long weekend of nights"),
        pytest.param(holidays_of("UTC", "2026-03-06", "2026-03-07", "2030-01-01"), 48, id="two given days"),
        pytest.param(replace(plan_with("UTC", None), jitter=timedelta(hours=3)), 3, id="jitter alone"),
        pytest.param(replace(window_of("UTC", "09:00", "17:00"), jitter=timedelta(hours=2)), 66, id="a weekend and the jitter"),
        pytest.param(replace(window_of("UTC", "09:00", "17:00"), jitter=timedelta(hours=9)), 137, id="jitter into the next weekend"),
        # A clock set forward can jump over the whole window, and then it is the next day's that ends the wait.
        pytest.param(window_of("America/New_York", "02:15", "02:45", frozenset(range(1, 8))), 2 * 23.5 + 1, id="a window in the gap"),
    ],
)  # fmt: skip
def test_how_long_a_send_can_wait(plan: Plan, hours: float) -> None:
    assert longest_closed(plan) == timedelta(hours=hours)


def test_importing_the_rules_of_time_imports_no_holidays() -> None:
    asks = "import dripiq.domain.timing, sys; print('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_refused_message_is_tried_again_after_twenty_minutes_six_times_in_all() -> None:
    now = utc("2026-03-01T12:00")
    assert [retry_at(now, attempts) for attempts in (1, 5)] == [now + timedelta(minutes=20)] * 2
    assert retry_at(now, MAX_ATTEMPTS) is None
    assert MAX_ATTEMPTS == 6
