"""Whatever a contact or a template holds, a standard parser must read back what was meant, and no more headers than that."""

import email
import email.policy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.channels.base import OutgoingMessage
from dripiq.channels.mime import build
from dripiq.domain.errors import InputError
from dripiq.domain.states import Channel

AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
MESSAGE = OutgoingMessage(
    id="m" * 24,
    tenant_id="t" * 24,
    channel=Channel.EMAIL,
    to_address="ann@example.com",
    to_name="Ann Smith",
    from_address="bob@example.org",
    from_name="Bob",
    reply_to="replies@example.org",
    subject="Hello",
    body="Hello Ann,\n\nhow are you?\n",
    message_id="id-1@example.org",
    at=AT,
    unsubscribe_url="https://example.org/u/1",
)
HEADERS = [
    *("Date", "From", "To", "Reply-To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"),
    *("X-SMTPAPI", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]
ANY_TEXT = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=st.characters(codec="ascii"), max_size=300),
    st.text(alphabet=' ab"\\=?_.,<>\r\n\té😀', max_size=300),
    st.text(alphabet="ab ", min_size=60, max_size=400),
)


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def harmless(text: str) -> str:
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def is_well_formed(raw: bytes) -> bool:
    """ASCII, CRLF and nothing else, at most 998 octets a line, and at most 78 in the headers that hold free text."""
    return (
        raw.isascii()
        and b"\0" not in raw
        and re.sub(rb"\r\n", b"", raw).find(b"\r") == -1
        and re.sub(rb"\r\n", b"", raw).find(b"\n") == -1
        and all(len(line) <= 998 for line in raw.split(b"\r\n"))
        and raw.endswith(b"\r\n")
    )


@given(ANY_TEXT)
def test_any_subject_is_read_back(subject: str) -> None:
    raw = build(replace(MESSAGE, subject=subject))
    assert is_well_formed(raw)
    assert parsed(raw)["Subject"] == harmless(subject).strip(" ")


@given(ANY_TEXT)
def test_any_name_is_read_back(name: str) -> None:
    raw = build(replace(MESSAGE, to_name=name, from_name=name))
    assert is_well_formed(raw)
    # The older parser: Python 3.11's newer one puts a space between adjacent encoded words of a name, against RFC 2047, section 6.2.
    headers = email.message_from_bytes(raw)
    for field, address in (("To", "ann@example.com"), ("From", "bob@example.org")):
        phrase, read = parseaddr(headers[field])
        assert read == address
        assert str(make_header(decode_header(phrase))) == " ".join(harmless(name).split())


@given(st.text(max_size=9))
def test_a_short_name_is_read_back_by_the_newer_parser_too(name: str) -> None:
    (mailbox,) = parsed(build(replace(MESSAGE, to_name=name)))["To"].addresses
    assert (mailbox.display_name, mailbox.addr_spec) == (" ".join(harmless(name).split()), "ann@example.com")


@given(ANY_TEXT)
def test_any_body_is_read_back(body: str) -> None:
    raw = build(replace(MESSAGE, body=body))
    assert is_well_formed(raw)
    expected = re.sub("\r\n|\r", "\n", body)
    if expected and not expected.endswith("\n"):
        expected += "\n"
    assert re.sub("\r\n", "\n", parsed(raw).get_content()) == expected


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_and_html_are_read_back_as_alternatives(body: str, html: str) -> None:
    raw = build(replace(MESSAGE, body=body, html=html))
    assert is_well_formed(raw)
    message = parsed(raw)
    assert message.get_content_type() == "multipart/alternative"
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in parts] == ["utf-8", "utf-8"]
    for part, given_text in zip(parts, (body, html), strict=True):
        expected = re.sub("\r\n|\r", "\n", given_text)
        if expected and not expected.endswith("\n"):
            expected += "\n"
        assert re.sub("\r\n", "\n", part.get_content()) == expected
    assert not message.defects


@pytest.mark.parametrize(
    "body", ["--=_dripiq\r\n\r\nx", "--=_dripiq--\n", "a\n--=_dripiq\nContent-Type: text/html\n\n<b>"]
)
def test_a_body_that_looks_like_the_boundary_ends_no_part(body: str) -> None:
    message = parsed(build(replace(MESSAGE, body=body, html=f"<p>{body}</p>")))
    text, html = message.iter_parts()
    assert body.replace("\r\n", "\n").strip() in text.get_content().replace("\r\n", "\n")
    assert "<p>--=_dripiq" in html.get_content() or "<p>a" in html.get_content()


def test_a_message_in_a_thread_names_what_it_answers() -> None:
    chain = tuple(f"{n}{'x' * 60}@example.org" for n in range(10))
    message = parsed(build(replace(MESSAGE, in_reply_to=chain[-1], references=chain)))
    assert message["In-Reply-To"] == f"<{chain[-1]}>"
    assert str(message["References"]).split() == [f"<{name}>" for name in chain]


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_no_text_can_add_a_header(name: str, subject: str, body: str) -> None:
    evil = "\r\nBcc: x@example.net\r\n\r\n"
    raw = build(replace(MESSAGE, to_name=name + evil, from_name=evil + name, subject=subject + evil, body=body))
    assert parsed(raw).keys() == HEADERS


@pytest.mark.parametrize(
    "field", ["to_address", "from_address", "reply_to", "message_id", "unsubscribe_url", "tenant_id", "id"]
)
@pytest.mark.parametrize("evil", ["\r\nBcc: x@example.net", "\n", "\r", "\0", " ", "é", "\u2028"])
def test_what_has_a_shape_is_refused_when_it_has_another(field: str, evil: str) -> None:
    good = getattr(MESSAGE, field)
    for value in (good + evil, evil + good, ""):
        changed: dict[str, Any] = {field: value}
        with pytest.raises(InputError) as refused:
            build(replace(MESSAGE, **changed))
        assert refused.value.error_code == "invalid_header"


@pytest.mark.parametrize("evil", ["\r\nBcc: x@example.net", "\n", " ", "é", ">"])
def test_what_a_message_answers_has_a_shape_too(evil: str) -> None:
    for changed in ({"in_reply_to": f"a{evil}@example.org"}, {"references": ("a@example.org", f"b{evil}@example.org")}):
        with pytest.raises(InputError) as refused:
            build(replace(MESSAGE, **changed))
        assert refused.value.error_code == "invalid_header"


def test_the_headers_are_what_the_rfcs_ask_for() -> None:
    message = parsed(build(replace(MESSAGE, to_name="Jörg Müller")))
    assert message.keys() == HEADERS
    assert message["Date"] == "Sun, 29 Mar 2026 01:30:00 +0000"
    assert message["To"] == "Jörg Müller <ann@example.com>"
    assert message["Reply-To"] == "replies@example.org"
    assert message["Message-ID"] == "<id-1@example.org>"
    assert message["List-Unsubscribe"] == "<https://example.org/u/1>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert not message.defects


def test_what_is_not_given_leaves_no_header() -> None:
    bare = replace(MESSAGE, to_name=None, reply_to=None, subject=None, unsubscribe_url=None)
    message = parsed(build(bare))
    absent = {"Reply-To", "Subject", "List-Unsubscribe", "List-Unsubscribe-Post"}
    assert message.keys() == [name for name in HEADERS if name not in absent]
    assert message["To"] == "ann@example.com"


def test_the_date_is_in_utc_wherever_the_caller_is() -> None:
    there = AT.astimezone(timezone(timedelta(hours=-9)))
    assert build(replace(MESSAGE, at=there)) == build(MESSAGE)


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128))
def test_our_ids_travel_as_unique_arguments(tenant_id: str) -> None:
    raw = build(replace(MESSAGE, tenant_id=tenant_id))
    assert is_well_formed(raw)
    arguments = json.loads(parsed(raw)["X-SMTPAPI"])
    assert arguments == {"unique_args": {"dripiq_tenant": tenant_id, "dripiq_message": MESSAGE.id}}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Hello\n", "7bit"),
        ("", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("a\0b", "quoted-printable"),
        ("Grüße aus Köln an euch zusammen\n", "quoted-printable"),
        ("Здравствуйте\n", "base64"),
    ],
)
def test_a_body_is_encoded_only_as_far_as_it_must_be(body: str, encoding: str) -> None:
    raw = build(replace(MESSAGE, body=body))
    assert parsed(raw)["Content-Transfer-Encoding"] == encoding
    assert is_well_formed(raw)


def test_a_lone_surrogate_costs_its_character_and_not_the_message() -> None:
    message = parsed(build(replace(MESSAGE, subject="a\ud800b", to_name="\udfff", body="\ud800\n")))
    assert message["Subject"] == "a?b"
    assert message.get_content() == "?\r\n"
