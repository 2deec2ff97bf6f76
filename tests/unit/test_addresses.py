"""When two addresses are one, and what is no address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.addresses import domain_of, normalise_email
from dripiq.domain.errors import InputError


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann.B+news@Example.COM\n", "ann.b+news@example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_an_address_is_stored_trimmed_in_lower_case_and_with_an_ascii_domain(typed: str, stored: str) -> None:
    assert normalise_email(typed) == stored
    assert normalise_email(stored) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "", "ann", "@example.com", "ann@", "ann@localhost", "ann@example..com", "ann@-example.com", "ann@example.com.", "a b@example.com",
        "ann@exa mple.com", "Ann <ann@example.com>", "ann@b@example.com", "ann@example.com, bob@example.com", "ann\r\nBcc: x@example.com",
        "ann@example.com\r\nBcc: x", '"a b"@example.com', "a" * 65 + "@example.com", "ann@" + "a" * 64 + ".com", "ann@" + "a." * 130 + "com",
        "ann\0@example.com", "ann@[127.0.0.1]", "ann@example.c", "mailto:ann@example.com",
    ],
)  # fmt: skip
def test_what_smtp_cannot_carry_is_no_address(typed: str) -> None:
    with pytest.raises(InputError, match=r"is not an e-mail address\.$") as caught:
        normalise_email(typed)
    assert caught.value.error_code == "invalid_email"
    assert caught.value.facts == {"value": typed.strip()}


@given(text=st.text() | st.from_regex(r"[^@]{1,20}@[^@]{1,20}"))
def test_any_text_is_an_address_whose_form_is_stable_or_none_at_all(text: str) -> None:
    try:
        stored = normalise_email(text)
    except InputError:
        return
    assert normalise_email(stored) == stored
    assert stored == stored.lower()
    assert not any(letter.isspace() or letter in "<>," for letter in stored)
    assert domain_of(stored).isascii()


def test_the_domain_is_what_follows_the_last_at() -> None:
    assert domain_of("ann@mail.example.com") == "mail.example.com"
