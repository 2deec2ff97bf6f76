"""Which variant a contact gets never changes, on no machine, and follows the weights."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.plan.model import Content, Node, NodeAction
from dripiq.domain.states import Channel
from dripiq.domain.variants import content_of, share


def node(*weights: int, id: str = "intro") -> Node:
    names = [chr(ord("A") + number) for number in range(len(weights))]
    contents = tuple(Content("s", "b", None, name, weight) for name, weight in zip(names, weights, strict=True))
    return Node(id, Channel.EMAIL, NodeAction.SEND, contents)


CONTACTS = [f"contact-{number}" for number in range(10_000)]
ids = st.text(min_size=1, max_size=30)
weights = st.lists(st.integers(1, 1000), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("contact_id", "node_id", "weights", "variant"),
    [
        ("tz4a98xxat96iws9zmbrgj3a", "intro", (1, 1), "B"),
        ("tz4a98xxat96iws9zmbrgj3a", "bump", (1, 1), "A"),
        ("pfh0haxfpzowht3oi213cqos", "intro", (1, 1), "B"),
        ("pfh0haxfpzowht3oi213cqos", "intro", (1, 9), "B"),
        ("nc6bzmkmd014706rfda898to", "intro", (1, 1), "A"),
        ("nc6bzmkmd014706rfda898to", "intro", (90, 9, 1), "A"),
        ("c1", "intro", (1, 1, 1), "B"),
        ("c2", "intro", (1, 1, 1), "B"),
        ("c3", "intro", (1, 1, 1), "C"),
        ("ü", "ä.b-c_d", (3, 4), "B"),
        ("c4", "intro", (1,), "A"),
    ],
)
def test_these_contacts_get_these_variants_for_ever(
    contact_id: str, node_id: str, weights: tuple[int, ...], variant: str
) -> None:
    assert content_of(node(*weights, id=node_id), contact_id).variant == variant


def test_a_share_is_the_same_on_every_machine() -> None:
    assert share("variant", "c1", "intro") == 0.4214479614319966


@given(ids, weights)
def test_every_contact_gets_one_of_them(contact_id: str, given_weights: list[int]) -> None:
    made = node(*given_weights)
    assert content_of(made, contact_id) in made.contents


@given(ids, weights, st.integers(2, 9))
def test_only_the_proportions_of_the_weights_count(contact_id: str, given_weights: list[int], times: int) -> None:
    more = [weight * times for weight in given_weights]
    assert content_of(node(*given_weights), contact_id).variant == content_of(node(*more), contact_id).variant


@pytest.mark.parametrize("given_weights", [(1, 1), (1, 3), (1, 1, 1), (90, 9, 1), (1, 1000)])
def test_variants_are_spread_by_their_weights(given_weights: tuple[int, ...]) -> None:
    made = node(*given_weights)
    count = Counter(content_of(made, contact).variant for contact in CONTACTS)
    for content in made.contents:
        expected = len(CONTACTS) * content.weight / sum(given_weights)
        # Five standard deviations: these ids are always the same, and so is the outcome.
        assert abs(count[content.variant] - expected) <= 5 * expected**0.5 + 1


def test_the_nodes_of_a_plan_divide_their_contacts_each_in_its_own_way() -> None:
    first, second = node(1, 1, id="first"), node(1, 1, id="second")
    both = Counter((content_of(first, c).variant, content_of(second, c).variant) for c in CONTACTS)
    assert all(abs(both[pair] - 2_500) < 250 for pair in [("A", "A"), ("A", "B"), ("B", "A"), ("B", "B")])
