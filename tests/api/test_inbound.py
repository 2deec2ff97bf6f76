"""A mail that Inbound Parse brings is archived before it is answered, raw or in parts; without the secret nothing gets in."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dripiq.channels.inbound_form import read_form, read_inbound
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.receive import receive
from dripiq.schema.ids import new_ids
from tests.api.conftest import Api, Serve, problem_of
from tests.unit.test_inbound_message import OURS, dsn, mail

SECRET = "a secret in the URL"
URL = "/webhooks/sendgrid/inbound"


def form(boundary: str = "xYzZY", **fields: Any) -> bytes:
    """A form as SendGrid posts it; a pair is a file's type and content."""
    parts = []
    for name, value in fields.items():
        kind, content = value if isinstance(value, tuple) else (None, value)
        more = f'; filename="{name}.bin"\r\nContent-Type: {kind}' if kind else ""
        data = content if isinstance(content, bytes) else content.encode()
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
        )
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


IN_PARTS: dict[str, Any] = {
    "headers": "From: Ann <ann@example.com>\nTo: sender@acme.test\nSubject: Grüße\nMessage-ID: <one@mua.test>\n"
    f"In-Reply-To: <{OURS}>\nContent-Type: multipart/mixed;\n boundary=gone\nMIME-Version: 1.0\n",
    "charsets": '{"to":"UTF-8","text":"iso-8859-1"}',
    "text": "Gerne, schöne Grüße".encode("latin-1"),
    "html": "<p>Gerne</p>",
    "envelope": '{"to":["reply@acme.test"],"from":"ann@example.com"}',
    "attachment1": ("application/pdf", b"%PDF\r\n--no boundary\r\n"),
}


@pytest.fixture
def inbound(serve_api: Serve, database: str, tmp_path: Path) -> Api:
    """The API with Inbound Parse open."""
    (tmp_path / "secret").write_text(SECRET)
    return serve_api(database, inbound_secret=f"file:{tmp_path / 'secret'}", inbound_max_bytes=20_000)


def post(api: Api, raw: bytes, **options: Any) -> Any:
    return api.client.post(
        URL,
        content=raw,
        headers={"Content-Type": "multipart/form-data; boundary=xYzZY"},
        params={"secret": SECRET},
        **options,
    )


def settle(api: Api) -> str:
    """A tenant that sends as sender@acme.test."""
    tenant, (user, sender) = api.tenant(), new_ids(2)
    with api.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO dripiq_app.users (id, email, name) VALUES (:user, 'u@acme.test', 'U')"), {"user": user}
        )
        connection.execute(
            text(
                "INSERT INTO dripiq_app.email_sender_identities (id, tenant_id, user_id, from_email, from_name, domain)"
                " VALUES (:sender, :tenant, :user, 'sender@acme.test', 'S', 'acme.test')"
            ),
            {"sender": sender, "tenant": tenant, "user": user},
        )
    return tenant


@pytest.mark.parametrize("fields", [{"email": mail()}, IN_PARTS], ids=["raw", "in parts"])
def test_a_mail_is_archived_as_it_came_and_read_by_a_worker(inbound: Api, fields: dict[str, Any]) -> None:
    tenant, raw = settle(inbound), form(**fields)
    assert post(inbound, raw).status_code == 202
    (delivery,) = inbound.deliveries()
    assert (delivery.tenant_id, delivery.provider, bytes(delivery.raw)) == (tenant, "sendgrid_inbound", raw)
    assert post(inbound, raw).status_code == 200
    assert receive(inbound.engine, DatabaseClock(), tenant) == 1
    (row,) = inbound.rows("SELECT * FROM dripiq_app.inbound_messages")
    assert (row.from_address, row.classification, row.in_reply_to) == ("ann@example.com", "reply", OURS)
    (delivery,) = inbound.deliveries()
    assert delivery.status == "processed"


def test_a_mail_in_parts_says_what_it_said_whole() -> None:
    read = read_inbound(form(**IN_PARTS))
    assert (read.id, read.subject, read.text, read.html) == (
        "one@mua.test",
        "Grüße",
        "Gerne, schöne Grüße",
        "<p>Gerne</p>",
    )
    assert read.recipients == ("reply@acme.test", "sender@acme.test")
    assert [(a.name, a.type, a.size) for a in read.attachments] == [("attachment1.bin", "application/pdf", 21)]


def test_a_delivery_report_in_parts_is_one() -> None:
    status = (
        b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; gone@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    )
    fields: dict[str, Any] = {
        "headers": "From: MAILER-DAEMON@example.com\nTo: sender@acme.test\nMessage-ID: <r@x.test>\n",
        "text": "Undelivered",
        "attachment1": ("message/delivery-status", status),
        "attachment2": ("message/rfc822", f"Message-ID: <{OURS}>\r\n\r\nHi".encode()),
    }
    report = read_inbound(form(**fields)).report
    assert report is not None
    assert (report.event, report.original_ids) == (EventType.BOUNCED, (OURS,))
    whole = read_inbound(form(email=dsn("failed", "5.1.1"))).report
    assert whole is not None
    assert (whole.event, whole.original_ids) == (report.event, report.original_ids)


def test_a_form_keeps_every_byte_of_its_files() -> None:
    value = bytes(range(256)) + b"\r\n\r\n--xYzZ\r\n--"
    assert read_form(form(file=("application/octet-stream", value)))["file"].value == value


@pytest.mark.parametrize("raw", [b"", b"{}", b"--\r\n", b"--x", b"--x\r\n\r\n--x--", form(subject="x")])
def test_what_is_no_mail_is_refused(raw: bytes, inbound: Api) -> None:
    with pytest.raises(InputError):
        read_inbound(raw)
    assert post(inbound, raw).status_code == 400
    assert inbound.deliveries() == inbound.quarantined() == []


def test_mail_of_nobody_is_quarantined(inbound: Api) -> None:
    assert post(inbound, form(email=mail())).status_code == 202
    assert [(row.provider, row.reason) for row in inbound.quarantined()] == [("sendgrid_inbound", "unknown_tenant")]


@pytest.mark.parametrize("secret", ["", "wrong", "ä"])
def test_without_the_secret_nothing_gets_in(inbound: Api, secret: str) -> None:
    response = inbound.client.post(URL, content=form(email=mail()), params={"secret": secret} if secret else {})
    assert response.status_code == 401
    assert problem_of(response)["code"] == "bad_secret"
    assert inbound.quarantined() == []


def test_the_secret_may_be_a_password(inbound: Api) -> None:
    basic = b64encode(f"any:{SECRET}".encode()).decode()
    raw = form(email=mail())
    assert inbound.client.post(URL, content=raw, headers={"Authorization": f"Basic {basic}"}).status_code == 202
    assert inbound.client.post(URL, content=raw, headers={"Authorization": "Basic ?"}).status_code == 401


def test_a_mail_that_is_too_large_is_refused_unread(inbound: Api) -> None:
    assert post(inbound, form(email=b"x" * 30_000)).status_code == 413


def test_it_is_closed_until_a_secret_is_named(api: Api) -> None:
    response = post(api, form(email=mail()))
    assert response.status_code == 503
    assert "DRIPIQ_INBOUND_SECRET" in problem_of(response)["detail"]
