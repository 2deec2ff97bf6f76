"""Whatever bytes come as a mail, they are read, in bounded time; a person's reply is told from a machine's answer, a bounce and a complaint."""

import time
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dripiq.channels.inbound_message import Inbound, parse
from dripiq.channels.inbound_report import verdict_of
from dripiq.domain.events import EventType
from dripiq.domain.states import InboundClass
from dripiq.schema.ids import new_id

OURS = "abcdefghijklmnopqrstuvwx@acme.test"


def mail(body: str = "Sounds good, call me.", **headers: str) -> bytes:
    """A reply to our mail, with these headers beside (underscores stand for hyphens)."""
    given_headers = {
        "From": "Ann Example <Ann@Example.com>",
        "To": "sender@acme.test",
        "Subject": "Re: Hello",
        "Message-ID": "<answer@example.com>",
        "In-Reply-To": f"<{OURS}>",
        "Date": "Wed, 04 Mar 2026 13:00:00 +0100",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in given_headers.items() if value]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}\r\n").encode()


def dsn(action: str, status: str, diagnostic: str = "", original: str = "message/rfc822", **headers: str) -> bytes:
    """A delivery status notification of our mail."""
    said = f"Diagnostic-Code: smtp; {diagnostic}\r\n" if diagnostic else ""
    body = (
        "--B\r\nContent-Type: text/plain\r\n\r\nYour mail could not be delivered.\r\n"
        "--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
        f"Final-Recipient: rfc822; gone@example.com\r\nAction: {action}\r\nStatus: {status}\r\n{said}\r\n"
        f"--B\r\nContent-Type: {original}\r\n\r\nFrom: sender@acme.test\r\nSubject: Hello\r\nMessage-ID: <{OURS}>\r\n\r\nHi\r\n--B--"
    )
    return mail(
        body,
        **{
            "From": "MAILER-DAEMON@mx.example.com",
            "In_Reply_To": "",
            "Content_Type": 'multipart/report; report-type=delivery-status; boundary="B"',
            **headers,
        },
    )


def arf(kind: str) -> bytes:
    body = (
        "--B\r\nContent-Type: text/plain\r\n\r\nThis is an abuse report.\r\n"
        f"--B\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: Loop/1\r\nVersion: 1\r\n"
        "Original-Rcpt-To: ann@example.com\r\n\r\n"
        f"--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: sender@acme.test\r\nMessage-ID: <{OURS}>\r\n\r\nHi\r\n--B--"
    )
    return mail(
        body,
        In_Reply_To="",
        Content_Type='multipart/report; report-type=feedback-report; boundary="B"',
        Subject="FW: Hi",
    )


def test_a_reply_is_read_as_it_was_written() -> None:
    read = parse(mail(), ("inbound@acme.test",))
    assert (read.id, read.from_address, read.recipients) == (
        "answer@example.com", "ann@example.com", ("inbound@acme.test", "sender@acme.test"),
    )  # fmt: skip
    assert (read.subject, read.text, read.html) == ("Re: Hello", "Sounds good, call me.\r\n", None)
    assert read.in_reply_to == OURS
    assert read.sent_at is not None
    assert read.sent_at.isoformat() == "2026-03-04T12:00:00+00:00"
    assert read.classification is InboundClass.REPLY
    assert read.report is None
    assert read.headers["from"] == ["Ann Example <Ann@Example.com>"]


def test_parts_are_texts_or_are_listed() -> None:
    message = EmailMessage()
    message["From"] = "ann@example.com"
    message.set_content("Grüße")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    message.add_attachment(b"%PDF" * 10, maintype="application", subtype="pdf", filename="Prüfung.pdf")
    inner = EmailMessage()
    inner.set_content("The text of a mail that is attached is not the mail's own.")
    message.add_attachment(inner)
    read = parse(message.as_bytes())
    assert (read.text, read.html) == ("Grüße\n", "<p>Grüße</p>\n")
    assert [(a.name, a.type) for a in read.attachments] == [
        ("Prüfung.pdf", "application/pdf"),
        (None, "message/rfc822"),
    ]
    assert read.attachments[0].size == 40


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("iso-2022-jp", "返信".encode("iso-2022-jp"), "返信"),
        ("gb18030", "回复".encode("gb18030"), "回复"),
        ("no-such-charset", "Grüße".encode(), "Grüße"),
        ("us-ascii", "Grüße".encode("cp1252"), "Grüße"),
        ("utf-8", b"Stra\xdfe", "Straße"),
        ("idna", "Grüße".encode(), "Grüße"),
        ("zip", b"plain", "plain"),
        ("\xff", b"plain", "plain"),
    ],
)
def test_a_text_is_read_whatever_charset_is_claimed(charset: str, data: bytes, text: str) -> None:
    raw = b"Content-Type: text/plain; charset=" + charset.encode("latin-1") + b"\r\n\r\n" + data
    assert parse(raw).text == text


def test_what_the_database_cannot_hold_is_taken_out() -> None:
    read = parse(b"Subject: a\0b =?utf-8?q?=00c?=\r\nFrom: a\0@example.com\r\n\r\nx\0y")
    assert "\0" not in repr(read.headers)
    assert read.text == "xy"
    assert "\0" not in f"{read.subject}{read.from_address}"


def test_a_mail_without_a_message_id_is_known_by_its_bytes() -> None:
    assert parse(b"Subject: x\r\n\r\nhi").id == parse(b"Subject: x\r\n\r\nhi").id != parse(b"Subject: x\r\n\r\nho").id


def test_the_thread_is_read_from_the_nearest_to_the_farthest_with_or_without_brackets() -> None:
    read = parse(
        mail(In_Reply_To="two@acme.test", References="<one@acme.test>\r\n <two@acme.test> junk <three@x.test>")
    )
    assert read.answers == ("two@acme.test", "three@x.test", "one@acme.test")


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated (vacation)"},
        {"X_Autoreply": "yes"},
        {"X_Autorespond": "Away"},
        {"Precedence": "auto_reply"},
        {"X_POST_MessageClass": "9; Auto Response"[:1]},
        {"Subject": "Automatic reply: Hello", "X_Auto_Response_Suppress": "All"},
        {"Subject": "Abwesenheitsnotiz: Hello", "Precedence": "bulk"},
        {"Subject": "Réponse automatique : Hello", "Return_Path": "<>"},
        {"Subject": "=?utf-8?q?Respuesta_autom=C3=A1tica?=: Hello", "From": "noreply@example.com"},
    ],
)
def test_an_automatic_answer_is_no_reply(headers: dict[str, str]) -> None:
    assert parse(mail(**headers)).classification is InboundClass.AUTO_REPLY


def test_an_out_of_office_by_subject_and_text_is_no_reply() -> None:
    raw = mail("I am out of the office until Monday.", Subject="Out of Office: Hello")
    assert parse(raw).classification is InboundClass.AUTO_REPLY


@pytest.mark.parametrize(
    "headers",
    [
        {"Subject": "Out of office: shall we talk when I am back?"},
        {"Precedence": "bulk", "List_Id": "<team.example.com>"},
        {"X_Auto_Response_Suppress": "DR, OOF, AutoReply"},
        {"Auto_Submitted": "no", "Subject": "Automatic reply: x", "Precedence": "bulk"},
        {"X_Autoreply": "no"},
        {"Subject": "Re: Absence of prices on your page"},
    ],
)
def test_one_sign_that_people_show_too_makes_no_machine(headers: dict[str, str]) -> None:
    assert parse(mail(**headers)).classification is InboundClass.REPLY


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "event"),
    [
        ("failed", "5.1.1", "550 5.1.1 no such user", EventType.BOUNCED),
        ("failed", "5.0.0", "550 5.1.1 no such user", EventType.BOUNCED),
        ("failed", "5.0.0", "552 5.2.2 mailbox full", EventType.BLOCKED),
        ("failed", "5.2.2", "", EventType.BLOCKED),
        ("failed", "5.7.1", "554 5.7.1 spam", EventType.BLOCKED),
        ("failed", "4.4.7", "", EventType.BLOCKED),
        ("delayed", "4.4.1", "", EventType.DEFERRED),
        ("failed (for good)", "", "550 no such user", EventType.BOUNCED),
        ("delivered", "2.0.0", "", EventType.DELIVERED),
    ],
)
def test_a_delivery_report_says_what_became_of_which_mail(
    action: str, status: str, diagnostic: str, event: EventType
) -> None:
    read = parse(dsn(action, status, diagnostic))
    assert read.report is not None
    assert (read.report.event, read.report.recipient, read.report.original_ids) == (event, "gone@example.com", (OURS,))
    expected = InboundClass.AUTO_REPLY if event is EventType.DELIVERED else InboundClass.BOUNCE
    assert read.classification is expected


def test_a_report_that_returns_the_headers_alone_names_its_mail_too() -> None:
    report = parse(dsn("failed", "5.1.1", original="text/rfc822-headers")).report
    assert report is not None
    assert report.original_ids == (OURS,)


def test_a_bounce_of_no_standard_form_is_read() -> None:
    body = (
        "Hi. This is the qmail-send program at mx.example.com.\r\nI'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n"
        "<gone@example.com>:\r\n192.0.2.1 does not like recipient.\r\nRemote host said: 550 5.1.1 no such user\r\n\r\n"
        f"--- Below this line is a copy of the message.\r\n\r\nSubject: Hello\r\nMessage-ID: <{OURS}>\r\n\r\nHi"
    )
    read = parse(
        mail(body, From="MAILER-DAEMON@mx.example.com", Return_Path="<>", In_Reply_To="", Subject="failure notice")
    )
    assert read.classification is InboundClass.BOUNCE
    assert read.report is not None
    assert (read.report.event, read.report.recipient, read.report.original_ids) == (
        EventType.BOUNCED, "gone@example.com", (OURS,),
    )  # fmt: skip


def test_a_person_who_quotes_a_bounce_replies() -> None:
    body = f"Look what I got:\r\n> <gone@example.com>: 550 5.1.1 no such user\r\n> Message-ID: <{OURS}>\r\n"
    assert parse(mail(body)).classification is InboundClass.REPLY


@pytest.mark.parametrize(
    ("kind", "classification"),
    [
        ("abuse", InboundClass.COMPLAINT),
        ("opt-out", InboundClass.COMPLAINT),
        ("not-spam", InboundClass.AUTO_REPLY),
        ("auth-failure", InboundClass.AUTO_REPLY),
    ],
)
def test_an_abuse_report_is_a_complaint_where_it_complains(kind: str, classification: InboundClass) -> None:
    read = parse(arf(kind))
    assert read.classification is classification
    assert read.report is not None
    assert (read.report.original_ids, read.report.recipient) == ((OURS,), "ann@example.com")


def test_codes_that_sendgrid_and_a_report_both_say_mean_the_same() -> None:
    from dripiq.channels.provider_events import ProviderEvent
    from dripiq.channels.sendgrid_events import translate

    for status in ("5.1.1", "5.2.2", "5.7.1", "4.2.2", "5.0.0", "5.1.8", "5.2.1", "5.3.4", "2.0.0", ""):
        said = translate({"event": "bounce", "timestamp": 1, "status": status}, 0)
        assert isinstance(said, ProviderEvent)
        assert said.event_type is verdict_of(status)


def is_bounded(read: Inbound) -> bool:
    held = [read.id, read.from_address, read.subject or "", *(name or "" for name in read.answers)]
    return len(read.id) <= 255 and not any("\0" in text for text in (*held, read.text or "", read.html or ""))


@settings(max_examples=150, deadline=5_000)
@given(st.binary(max_size=2_000))
def test_no_bytes_break_it(raw: bytes) -> None:
    assert is_bounded(parse(raw))


PIECES = st.sampled_from(
    [
        b"From: ", b"Subject: =?utf-8?b?", b"?=", b"Content-Type: multipart/report; boundary=B\r\n", b"--B\r\n", b"--B--\r\n", b"\r\n", b"\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: text/plain; charset*0*=x''%ff; name*=utf-8''%ff\r\n", b"Action: failed\r\n", b"Status: 5.1.1\r\n", b"Message-ID: <", b">",
        b"Content-Type: message/feedback-report\r\n\r\n", b"Date: Fri, 99 Foo 0000 25:61 +9999\r\n", b"\xff\xfe", b"@", b"<a@b>,", b'"', b"(", b"\0",
        b"From: MAILER-DAEMON@x.test\r\n", b"Content-Transfer-Encoding: uuencode\r\n", b"begin 666 x\r\n", b"=?x?q?=zz?=", b"Return-Path: <>\r\n",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=5_000)
@given(st.lists(PIECES, max_size=40))
@example(
    [
        b"Content-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: text/plain; charset*0*=x''%ff; name*=utf-8''%ff\r\n",
        b"\xff\xfe",
    ]
)
def test_no_mail_made_of_the_pieces_of_mails_breaks_it(pieces: list[bytes]) -> None:
    assert is_bounded(parse(b"".join(pieces)))


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3_000)),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 50_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
        b"References: " + b"<a@b> " * 100_000 + b"\r\n\r\n",
        b"From: " + b"(" * 100_000 + b"\r\n\r\n",
        b"To: " + b"a@b.test," * 50_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?x?= " * 50_000 + b"\r\n\r\n",
        b"X: y\r\n" * 100_000 + b"\r\n",
        b"From: MAILER-DAEMON@x.test\r\n\r\n" + b"<" * 150_000,
        b"From: MAILER-DAEMON@x.test\r\n\r\n" + b"> \t" * 50_000,
    ],
    ids=[
        "nested",
        "many parts",
        "mails in mails",
        "references",
        "comments",
        "recipients",
        "words",
        "headers",
        "brackets",
        "quotes",
    ],
)
def test_a_mail_made_to_cost_time_costs_little(raw: bytes) -> None:
    began = time.process_time()
    parse(raw)
    assert time.process_time() - began < 5


def test_ids_of_ours_are_found_as_they_are_sent() -> None:
    name = new_id()
    assert parse(mail(In_Reply_To=f"<{name}@acme.test>")).answers == (f"{name}@acme.test",)
