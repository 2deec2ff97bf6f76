"""What simulated recipients do follows from seed, address, node and visit, at the rates and delays that were asked for."""

from dataclasses import fields
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.errors import InputError
from dripiq.simulate.audience import contact_id, made_people
from dripiq.simulate.behaviour import REPLY, Behaviour, deeds, read_behaviour

MAILS = 4_000
rates = st.floats(0, 1)
behaviours = st.builds(
    Behaviour,
    **{field.name: rates for field in fields(Behaviour) if field.type in (float, "float")},
)


def share(behaviour: Behaviour, word: str) -> float:
    """Of mails delivered."""
    days = [{deed.event for deed in deeds(behaviour, 1, f"p{n}@example.com", "intro", 1)} for n in range(MAILS)]
    delivered = sum("delivered" in events for events in days)
    return sum(word in events for events in days) / delivered


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("open", "open"),
        ("click", "click"),
        ("reply", REPLY),
        ("unsubscribe", "unsubscribe"),
        ("complaint", "spamreport"),
    ],
)
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.35])
def test_each_rate_holds_on_average_whatever_the_others_are(name: str, word: str, rate: float) -> None:
    behaviour = read_behaviour({"machine_open": 0, "unsubscribe": 0.02, "complaint": 0.02, name: rate})
    assert share(behaviour, word) == pytest.approx(rate, abs=0.025)


def test_half_of_all_readers_read_within_the_median() -> None:
    behaviour = Behaviour(bounce=0, soft_bounce=0, open=1, machine_open=0, open_after=timedelta(hours=2))
    read = [
        deed.after - first.after
        for number in range(MAILS)
        for first, *later in [deeds(behaviour, 3, f"p{number}@example.com", "intro", 1)]
        for deed in later
        if deed.event == "open"
    ]
    assert sum(delay <= 7200 for delay in read) / len(read) == pytest.approx(0.5, abs=0.03)


@given(behaviours, st.integers(), st.text(min_size=1), st.text(min_size=1), st.integers(1, 9))
def test_deeds_are_the_same_again_in_order_and_fit_together(
    behaviour: Behaviour, seed: int, address: str, node_id: str, visit: int
) -> None:
    done = deeds(behaviour, seed, address, node_id, visit)
    assert done == deeds(behaviour, seed, address, node_id, visit)
    assert [deed.after for deed in done] == sorted(deed.after for deed in done)
    assert all(deed.after >= 1 for deed in done)
    assert done[0].event in ("delivered", "bounce")
    if done[0].event == "bounce":
        assert len(done) == 1


@given(st.integers(0, 50))
def test_a_mailbox_that_is_gone_is_gone_for_every_mail(number: int) -> None:
    behaviour = Behaviour(bounce=0.5, soft_bounce=0)
    first = [deeds(behaviour, 1, f"p{number}@example.com", node, visit)[0].event for node in "abc" for visit in (1, 2)]
    assert len(set(first)) == 1


def test_another_rate_leaves_everybody_else_as_they_are() -> None:
    few, more = Behaviour(click=0.05), Behaviour(click=0.1)
    for number in range(300):
        before = deeds(few, 1, f"p{number}@example.com", "intro", 1)
        after = deeds(more, 1, f"p{number}@example.com", "intro", 1)
        assert [deed for deed in after if deed.event != "click" or deed in before] == before


def test_a_behaviour_is_read_as_it_is_shown() -> None:
    shown = Behaviour(open=0.6, reply_after=timedelta(days=1, minutes=5)).as_json()
    assert read_behaviour(shown).as_json() == shown
    assert read_behaviour({}) == Behaviour()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"opens": 0.5}, 'did you mean "open"'),
        ({"open": 1.5}, "from 0 to 1"),
        ({"open": "half"}, "from 0 to 1"),
        ({"open": True}, "from 0 to 1"),
        ({"open": float("nan")}, "from 0 to 1"),
        ({"open_after": 3}, "a duration"),
        ({"open_after": "3 hours"}, "no duration"),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused_by_name(document: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_behaviour(document)
    assert caught.value.error_code == "behaviour"


def test_made_people_are_always_the_same_and_nobody_twice() -> None:
    people = made_people(500)
    assert people == made_people(500)
    assert people[:100] == made_people(100)
    assert len({row.email for row in people}) == 500
    assert all(row.email.endswith(".example") and row.timezone and row.name for row in people)


@given(st.integers(), st.emails(), st.integers(), st.emails())
def test_ids_have_the_shape_of_ids_and_are_as_distinct_as_seed_and_address(
    seed: int, address: str, other_seed: int, other: str
) -> None:
    made = contact_id(seed, address)
    assert len(made) == 24
    assert made.isalnum()
    assert made.islower()
    assert (made == contact_id(other_seed, other)) == ((seed, address) == (other_seed, other))
