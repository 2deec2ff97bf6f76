"""What is wrong with the settings is said by the names that the user wrote, and never with their values."""

import pytest

from dripiq.cli.running import warn_of_port
from dripiq.config.environment import load_settings
from dripiq.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PUBLIC_URL": "http://localhost"}, "DRIPIQ_PUBLIC_URL needs DRIPIQ_SECRET beside it, 32 characters or more of your own that sign the links."),
        ({"PORT": "x", "SMTP_PORT": "70000"}, "DRIPIQ_SMTP_PORT must be 65535 at most; DRIPIQ_PORT must be a whole number."),
        ({"EMAIL_CHANNEL": "fax"}, "DRIPIQ_EMAIL_CHANNEL must be 'smtp', 'sendgrid' or 'folder'."),
        ({"EMAIL_CHANNEL": "sendgrid"}, "DRIPIQ_EMAIL_CHANNEL=sendgrid needs DRIPIQ_SENDGRID_KEY: env:NAME or file:PATH, where the API key lies."),
        ({"POOLED": "maybe"}, "DRIPIQ_POOLED must be true or false."),
        ({"LEASE": "soon"}, "DRIPIQ_LEASE must be a number of seconds, more than 0 and 2592000 (30 days) at most."),
        ({"POLL": "0"}, "DRIPIQ_POLL must be a number of seconds, more than 0 and 2592000 (30 days) at most."),
        ({"API_TIMEOUT": "0"}, "DRIPIQ_API_TIMEOUT must be more than 0."),
        ({"IMAP_FOLDER": '"'}, "DRIPIQ_IMAP_FOLDER is not of the form that it must have."),
        (
            {"SMTP_PASSWORD": "geheim"},
            "DRIPIQ_SMTP_PASSWORD is not right. A secret is named, not given: write env:NAME for a variable, or file:PATH for a file.",
        ),
    ],
)  # fmt: skip
def test_settings_that_are_not_right_are_named_as_the_user_wrote_them(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"DRIPIQ_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.message == f"The settings are not right: {said}"


@pytest.mark.parametrize(
    ("url", "port", "warned"),
    [
        ("http://localhost:8025", 8025, False),
        ("http://localhost:8025/", 40123, True),
        ("https://127.0.0.1", 443, False),
        ("http://[::1]", 8025, True),
        ("https://mail.example.com", 8025, False),
        ("http://localhost:x", 8025, True),
        (None, 8025, False),
    ],
)
def test_links_that_lead_past_the_api_are_said(
    url: str | None, port: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_port(url, port)
    assert ("lead nowhere" in capsys.readouterr().err) is warned
