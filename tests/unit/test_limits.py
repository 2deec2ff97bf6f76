"""No window of a period ever holds more than its limit, whoever books, comes late or gives up; and while there is work, nine tenths of it are used."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.buckets import HORIZON, Booking, Bucket, Ledger, find_slot
from dripiq.domain.errors import InputError
from dripiq.domain.limits import DEFAULTS, Key, Period, Rules, parse_ramp
from dripiq.domain.states import LimitScope

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def most_in_a_window(instants: Sequence[datetime], span: timedelta) -> int:
    """By brute force: a fullest half-open window may begin at one of its instants."""
    ordered = sorted(instants)
    return max((bisect_left(ordered, at + span) - n for n, at in enumerate(ordered)), default=0)


def whenever(at: datetime) -> datetime:
    return at


def stored_and_read(bucket: Bucket, most: int, now: datetime) -> Bucket:
    return Bucket(bucket.key, most, *bucket.stored(now))


SENDER = Key(LimitScope.SENDER, "s", Period.MINUTE)
SENDER_HOUR = Key(LimitScope.SENDER, "s", Period.HOUR)
DOMAIN = Key(LimitScope.DOMAIN, "d", Period.MINUTE)


@dataclass
class Waiting:
    """A send that has a slot."""

    due: datetime
    keys: tuple[Key, ...]
    booking: Booking | None


@given(
    most=st.fixed_dictionaries({key: st.integers(1, 60) for key in (SENDER, SENDER_HOUR, DOMAIN)}),
    steps=st.lists(
        st.tuples(
            st.integers(0, 20_000),  # milliseconds that pass
            st.integers(0, 12),  # new sends
            st.sampled_from([(SENDER, SENDER_HOUR), (SENDER, SENDER_HOUR, DOMAIN), (DOMAIN,)]),
            st.sampled_from(["works", "works", "works", "sleeps", "drops", "forgets"]),
        ),
        max_size=40,
    ),
)
def test_no_window_of_any_bucket_holds_more_than_its_limit(most: dict[Key, int], steps: list[Any]) -> None:
    now, waiting = NOON, list[Waiting]()
    left: dict[Key, list[datetime]] = {key: [] for key in most}
    buckets = {key: Bucket(key, most[key]) for key in most}
    for passed, new, keys, what in steps:
        now += timedelta(milliseconds=passed)
        if what == "sleeps":
            continue
        # As the next transaction reads them.
        buckets = {key: stored_and_read(bucket, most[key], now) for key, bucket in buckets.items()}
        ledger = Ledger(buckets)
        due = [send for send in waiting if send.due <= now]
        waiting = [send for send in waiting if send.due > now]
        due += [Waiting(now, keys, None) for _ in range(new)]
        for send in due:
            ledger.return_booking(send.booking)
        for send in due:
            slot = ledger.decide(send.keys, now, whenever)
            if slot is not None:
                assert slot.at > now
                waiting.append(Waiting(slot.at, send.keys, Booking(slot.at, send.keys) if slot.is_free else None))
            elif what == "drops":
                ledger.undo(send.keys, now)
            else:
                for key in send.keys:
                    left[key].append(now)
        if what == "forgets":
            waiting = waiting[::2]
    for key, instants in left.items():
        assert most_in_a_window(instants, key.period.span) <= most[key]


@given(most=st.integers(1, 400), lag=st.integers(0, 1000))
def test_while_there_is_work_nine_tenths_of_the_limit_leave_and_nobody_waits_twice(most: int, lag: int) -> None:
    bucket = Bucket(SENDER, most)
    work = 5 * most
    slots = [slot for _ in range(work) if (slot := Ledger({SENDER: bucket}).decide([SENDER], NOON, whenever))]
    left = [NOON] * (work - len(slots))
    for slot in slots:
        now = slot.at + timedelta(milliseconds=lag)  # a worker takes a moment, though not a slice
        ledger = Ledger({SENDER: bucket})
        ledger.return_booking(Booking(slot.at, (SENDER,)))
        assert ledger.decide([SENDER], now, whenever) is None
        left.append(now)
    assert most_in_a_window(left, timedelta(minutes=1)) <= most
    assert len(left) / most >= 0.9 * (max(left) - NOON).total_seconds() / 60


def test_a_full_bucket_holds_up_only_who_needs_it() -> None:
    buckets = {SENDER: Bucket(SENDER, 60), DOMAIN: Bucket(DOMAIN, 1)}
    ledger = Ledger(buckets)
    assert ledger.decide([SENDER, DOMAIN], NOON, whenever) is None
    for minutes in range(1, 20):
        slot = ledger.decide([SENDER, DOMAIN], NOON, whenever)
        assert slot is not None
        assert (slot.key, slot.at) == (DOMAIN, NOON + minutes * timedelta(seconds=63))
    assert ledger.decide([SENDER], NOON, whenever) is None


def test_a_slot_is_one_at_which_the_plan_lets_it_leave() -> None:
    bucket = Bucket(SENDER, 1)
    bucket.take(NOON)
    later = NOON + timedelta(hours=3)
    slot = find_slot([bucket], NOON, lambda at: max(at, later))
    assert slot is not None
    assert (slot.at, slot.is_free) == (later, True)
    far = find_slot([bucket], NOON, lambda at: NOON + timedelta(days=3))
    assert far is not None
    assert (far.at, far.is_free, far.key.code) == (NOON + HORIZON, False, "limit_sender_minute")


def test_what_is_booked_for_one_who_never_comes_is_lost_and_no_more() -> None:
    bucket = Bucket(SENDER, 20)
    ledger = Ledger({SENDER: bucket})
    for _ in range(100):
        ledger.decide([SENDER], NOON, whenever)
    slot = ledger.decide([SENDER], NOON, whenever)
    assert slot is not None
    assert NOON + timedelta(minutes=5) < slot.at < NOON + timedelta(minutes=6)


@dataclass
class Row:
    scope: str
    scope_value: str | None = None
    max_per_minute: int | None = None
    max_per_hour: int | None = None
    max_per_day: int | None = None
    ramp: dict[str, Any] | None = None


def test_where_nothing_is_said_the_defaults_hold_for_sender_tenant_and_domain() -> None:
    assert Rules([], NOON).keys("s", "a@example.com") == {
        Key(LimitScope.SENDER, "s", Period.MINUTE): 20,
        Key(LimitScope.SENDER, "s", Period.HOUR): 1000,
        Key(LimitScope.TENANT, "", Period.HOUR): 5000,
        Key(LimitScope.DOMAIN, "example.com", Period.HOUR): 200,
    }
    assert [key.scope for key in Rules([], NOON).keys("s", "+4915112345")] == ["sender", "sender", "tenant"]


def test_a_row_for_one_beats_the_row_for_each_which_beats_the_default_and_an_empty_row_lifts() -> None:
    rows = [Row("sender", max_per_hour=7), Row("sender", "s", max_per_day=3), Row("tenant"), Row("domain", "b.test")]
    rules = Rules(rows, NOON)
    assert rules.keys("s", "a@b.test") == {Key(LimitScope.SENDER, "s", Period.DAY): 3}
    assert rules.keys("t", "a@c.test") == {
        Key(LimitScope.SENDER, "t", Period.HOUR): 7,
        Key(LimitScope.DOMAIN, "c.test", Period.HOUR): DEFAULTS[LimitScope.DOMAIN][Period.HOUR],
    }


def test_a_ramp_doubles_every_few_days_up_to_the_days_limit() -> None:
    ramp = {"start": 50, "double_every_days": 3, "started_at": NOON.isoformat()}
    row = Row("sender", max_per_day=300, ramp=ramp)
    days = {day: Rules([row], NOON + timedelta(days=day)).keys("s", "a@b.test") for day in (-1, 0, 2, 3, 6, 9, 900)}
    key = Key(LimitScope.SENDER, "s", Period.DAY)
    assert [allowed[key] for allowed in days.values()] == [50, 50, 50, 100, 200, 300, 300]


@pytest.mark.parametrize(
    ("ramp", "said"),
    [
        ({"start": 0, "double_every_days": 3, "started_at": NOON.isoformat()}, "'start'"),
        ({"start": True, "double_every_days": 3, "started_at": NOON.isoformat()}, "'start'"),
        ({"start": 5, "started_at": NOON.isoformat()}, "'double_every_days'"),
        ({"start": 5, "double_every_days": 3}, "'started_at'"),
        ({"start": 5, "double_every_days": 3, "started_at": "2026-03-01"}, "'started_at'"),
        ({"start": 5, "double_every_days": 3, "started_at": NOON.isoformat(), "end": 1}, "'end'"),
    ],
)
def test_a_ramp_that_cannot_be_read_says_what_it_needs(ramp: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        parse_ramp(ramp)
    assert raised.value.error_code == "ramp"
