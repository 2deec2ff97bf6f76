"""`dripiq senders verify`: a code goes to the address, and whoever has read it verifies the sender."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from dripiq.domain.errors import SignatureError
from dripiq.domain.ownership import GOOD_FOR, check_code, make_code
from tests.cli.conftest import Dripiq, count

SECRET = "s" * 32
SOMEBODY = "kim@acme.example.com"
NOW = datetime(2026, 3, 4, 12, 0, 59, tzinfo=UTC)


@pytest.fixture
def pending(engine: Engine, acme: str) -> str:
    """Acme, whose sender has not been verified."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.email_sender_identities SET validation_status = 'pending'"))
    return acme


def test_a_sender_is_verified_by_the_code_that_was_mailed_to_it(
    dripiq: Dripiq, engine: Engine, pending: str, tmp_path: Path
) -> None:
    asked = dripiq("senders", "verify", SOMEBODY.upper(), "--tenant", "Acme", secret=SECRET)
    (mail,) = (tmp_path / "home" / "mail").rglob("*.eml")
    assert (asked.code, "nothing was mailed" in asked.out, f" is in {mail}." in asked.out) == (0, True, True)
    (code,) = set(re.findall(r"\w{4}(?:-\w{4}){3}", mail.read_text()))
    assert f"To: Kim <{SOMEBODY}>" in mail.read_text()
    wrong = dripiq("senders", "verify", SOMEBODY, "--tenant", "Acme", "--code", "0" * 16, "--json", secret=SECRET)
    assert (wrong.code, wrong.error["code"]) == (1, "bad_code")
    assert count(engine, "email_sender_identities", "validation_status = 'verified'") == 0
    told = dripiq("senders", "verify", SOMEBODY, "--tenant", "Acme", "--code", code.lower(), "--json", secret=SECRET)
    assert told.json == {"sender": SOMEBODY, "status": "verified"}
    assert count(engine, "email_sender_identities", "validation_status = 'verified'") == 1
    again = dripiq("senders", "verify", SOMEBODY, "--tenant", "Acme", "--json", secret=SECRET)
    assert (again.code, again.error["code"]) == (5, "already_verified")


def test_a_mailbox_is_not_filled_by_asking(dripiq: Dripiq, engine: Engine, pending: str, tmp_path: Path) -> None:
    assert dripiq("senders", "verify", SOMEBODY, "--tenant", pending, secret=SECRET).code == 0
    refused = dripiq("senders", "verify", SOMEBODY, "--tenant", pending, "--json", secret=SECRET)
    assert (refused.code, refused.error["code"]) == (5, "asked_just_now")
    assert len(list((tmp_path / "home" / "mail").rglob("*.eml"))) == 1


def test_what_stands_in_the_way_is_said(dripiq: Dripiq, pending: str) -> None:
    arguments = ("senders", "verify", SOMEBODY, "--tenant", "Acme", "--json")
    assert dripiq(*arguments).error["code"] == "no_secret"
    assert dripiq(*arguments, secret="short").error["code"] == "no_secret"
    unknown = dripiq("senders", "verify", "x@example.com", "--tenant", "Acme", "--json", secret=SECRET)
    assert (unknown.code, unknown.error["code"]) == (4, "unknown_sender")
    nowhere = {"email_channel": "smtp", "smtp_host": "127.0.0.1", "smtp_port": "1", "smtp_security": "none"}
    unsent = dripiq(*arguments, secret=SECRET, **nowhere)
    assert (unsent.code, unsent.error["code"]) == (1, "code_not_mailed")


@given(age=st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_a_code_is_good_for_an_hour(age: timedelta) -> None:
    code = make_code("t", "s", SOMEBODY, SECRET, NOW)
    made_at = NOW.replace(second=0)
    if age <= GOOD_FOR:
        check_code(code, "t", "s", SOMEBODY, SECRET, made_at + age)
    else:
        with pytest.raises(SignatureError) as refused:
            check_code(code, "t", "s", SOMEBODY, SECRET, made_at + age)
        assert refused.value.error_code == "code_expired"


@pytest.mark.parametrize("place", range(4))
def test_a_code_is_good_for_its_sender_alone(place: int) -> None:
    named = ("t", "s", SOMEBODY, SECRET)
    code = make_code(*named, NOW)
    tenant, sender, address, secret = (f"{each}x" if at == place else each for at, each in enumerate(named))
    with pytest.raises(SignatureError):
        check_code(code, tenant, sender, address, secret, NOW)


@given(st.text(max_size=30), st.integers(0, 15), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_no_other_text_is_the_code(said: str, place: int, letter: str) -> None:
    code = make_code("t", "s", SOMEBODY, SECRET, NOW).replace("-", "")
    for other in {said, code[:place] + letter + code[place + 1 :]} - {code}:
        with pytest.raises(SignatureError) as refused:
            check_code(other, "t", "s", SOMEBODY, SECRET, NOW)
        assert refused.value.error_code == "bad_code"
    check_code(code.lower().replace("0", "o").replace("1", "l"), "t", "s", SOMEBODY, SECRET, NOW)
