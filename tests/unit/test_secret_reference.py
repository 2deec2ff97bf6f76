"""A secret is named, not given: a reference says where it lies, and never what it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.config.environment import load_settings
from dripiq.config.secret_reference import SecretReference
from dripiq.config.settings import Settings
from dripiq.domain.errors import ConfigurationError


def test_a_variable_and_a_file_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "a key"
    of_variable, of_file = SecretReference.parse("env:MAIL_KEY"), SecretReference.parse(f"file:{place}")
    for secret in ("first", "second"):
        monkeypatch.setenv("MAIL_KEY", secret)
        place.write_text(f" {secret}\n")
        assert of_variable.get_secret_value() == of_file.get_secret_value() == secret


@pytest.mark.parametrize("text", ["env:NOT_SET_ANYWHERE", "env:EMPTY", "file:/nowhere/at/all", "file:.", "file:a\0b"])
def test_a_secret_that_is_not_there_is_named_by_its_reference(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", " \n")
    with pytest.raises(ConfigurationError) as refused:
        SecretReference.parse(text).get_secret_value()
    assert refused.value.error_code == "secret_missing"
    assert refused.value.facts == {"reference": text}


def test_a_file_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfesecret")
    with pytest.raises(ConfigurationError) as refused:
        SecretReference.parse(f"file:{tmp_path / 'key'}").get_secret_value()
    assert "secret\\" not in repr(refused.value.__cause__)


@given(st.text(max_size=60))
def test_what_is_no_reference_is_refused_without_being_repeated(text: str) -> None:
    wrong = f"SG.{text}"
    with pytest.raises(ConfigurationError) as refused:
        SecretReference.parse(wrong)
    assert refused.value.error_code == "secret_reference"
    assert wrong not in f"{refused.value.message} {refused.value.facts}"


@given(st.from_regex(r"env:[A-Z_]{1,20}|file:[^\x00]{1,60}", fullmatch=True))
def test_a_reference_is_shown_as_it_was_written(text: str) -> None:
    assert str(SecretReference.parse(text)) == text


@pytest.mark.parametrize("name", ["SMTP_PASSWORD", "SENDGRID_KEY", "TWILIO_PASSWORD"])
def test_a_secret_in_the_place_of_its_name_is_refused_and_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"DRIPIQ_{name}", "SG.hunter2-hunter2")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert f"DRIPIQ_{name}" in refused.value.message
    assert "hunter2" not in f"{refused.value.message} {refused.value.facts}"


def test_settings_show_where_secrets_lie_and_not_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_KEY", "hunter2")
    settings = Settings(email_channel="sendgrid", sendgrid_key="env:MAIL_KEY")
    assert settings.sendgrid_key is not None
    assert settings.sendgrid_key.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings.model_dump()}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"email_channel": "sendgrid"}, "sendgrid_key"),
        ({"twilio_account": "AC1"}, "twilio_password"),
        ({"twilio_account": "AC1", "twilio_password": "env:X"}, "twilio_from"),
        ({"email_channel": "sendgrid", "sendgrid_key": "env:X", "api_timeout": 200}, "lease"),
    ],
)
def test_settings_that_cannot_send_are_refused_at_the_start(given: dict[str, object], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DRIPIQ_{missing.upper()}"):
        load_settings(**given)
