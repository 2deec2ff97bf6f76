"""Nothing forged gets in, nothing that SendGrid says is lost, and one bad event costs that one."""

import base64
import contextlib
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dripiq.channels.provider_events import EventFault, ProviderEvent
from dripiq.channels.sendgrid_events import split_events, translate, verify_signature
from dripiq.domain.errors import ConfigurationError, InputError, SignatureError
from dripiq.domain.events import EventType
from dripiq.domain.states import Confidence

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = b'[{"event":"open"}]\r\n'
KEY = ec.generate_private_key(ec.SECP256R1())


def shown(key: ec.EllipticCurvePrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def signature(timestamp: str = STAMP, raw: bytes = BODY, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(timestamp.encode() + raw, ec.ECDSA(SHA256()))).decode()


def event(**fields: Any) -> dict[str, Any]:
    return {"event": "delivered", "timestamp": 1777636800, "sg_event_id": "id-1", "email": "ann@example.com", **fields}


def translated(**fields: Any) -> ProviderEvent:
    result = translate(event(**fields), 0)
    assert isinstance(result, ProviderEvent)
    return result


def test_a_signed_request_is_let_in() -> None:
    verify_signature(shown(KEY), signature(), STAMP, BODY, now=NOW)


@pytest.mark.parametrize(
    ("given_signature", "timestamp", "raw"),
    [
        (signature(), STAMP, BODY + b" "),
        (signature(), STAMP, BODY.strip()),
        (signature(), str(int(STAMP) + 1), BODY),
        (signature(key=ec.generate_private_key(ec.SECP256R1())), STAMP, BODY),
        (signature()[:-8], STAMP, BODY),
        ("not base64!", STAMP, BODY),
        ("é", STAMP, BODY),
        (signature(), "\ud800", BODY),
    ],
    ids=[
        "body",
        "trailing newline",
        "timestamp",
        "another key",
        "cut off",
        "no base64",
        "no ascii",
        "no utf-8",
    ],  # signatures are random
)
def test_whatever_was_not_signed_is_kept_out(given_signature: str, timestamp: str, raw: bytes) -> None:
    with pytest.raises(SignatureError) as refused:
        verify_signature(shown(KEY), given_signature, timestamp, raw, now=NOW)
    assert refused.value.error_code == "bad_signature"


@pytest.mark.parametrize(
    ("given_signature", "timestamp"), [(None, STAMP), ("", STAMP), ("MEUCIQ==", None), ("MEUCIQ==", "")]
)
def test_a_request_without_signature_says_so(given_signature: str | None, timestamp: str | None) -> None:
    with pytest.raises(SignatureError) as refused:
        verify_signature(shown(KEY), given_signature, timestamp, BODY, now=NOW)
    assert refused.value.error_code == "missing_signature"


@pytest.mark.parametrize(
    "timestamp", ["0", str(int(STAMP) - 601), str(int(STAMP) + 601), "soon", "9" * 5000, "-1", "²"]
)
def test_a_signature_from_another_time_is_stale(timestamp: str) -> None:
    with pytest.raises(SignatureError) as refused:
        verify_signature(shown(KEY), signature(timestamp), timestamp, BODY, now=NOW, tolerance=timedelta(minutes=10))
    assert refused.value.error_code == "stale_timestamp"


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", shown(ec.derive_private_key(7, ec.SECP384R1()))])
def test_a_verification_key_that_is_none_is_our_fault_not_the_senders(key: str) -> None:
    with pytest.raises(ConfigurationError):
        verify_signature(key, signature(), STAMP, BODY, now=NOW)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


@given(
    st.lists(st.one_of(st.dictionaries(st.text(), JSON_VALUES), JSON_VALUES)), st.sampled_from([None, 1]), st.booleans()
)
def test_any_array_falls_into_the_very_bytes_of_its_elements(
    values: list[Any], indent: int | None, ascii_only: bool
) -> None:
    body = f" {json.dumps(values, indent=indent, ensure_ascii=ascii_only)}\r\n"
    raw = body.encode()
    if values and all(value is None for value in values):
        with pytest.raises(InputError):
            split_events(raw)
        return
    events = split_events(raw)
    assert [one.index for one in events] == list(range(len(values)))
    assert [json.loads(one.raw) for one in events] == values
    assert all(one.raw in raw and one.raw == one.raw.strip() for one in events)


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ a1', max_size=40).map(str.encode))
def test_no_body_does_worse_than_be_refused(raw: bytes) -> None:
    for body in (raw, b"[" + raw + b"]"):
        with contextlib.suppress(InputError):
            for one in split_events(body):
                translate(one.value, one.index)


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b'"x"', b"\xff\xfe[", b"event=open"])
def test_a_body_that_is_no_array_says_so(raw: bytes) -> None:
    with pytest.raises(InputError) as refused:
        split_events(raw)
    assert refused.value.error_code == "not_an_array"


@pytest.mark.parametrize(
    "raw", [b"[", b"[{", b'[{"a":1}', b'["a]', b"[1]]", b"[1] x", b"[}]", b"[abc]", b"[,]", b'[{"a":}]']
)
def test_a_body_that_is_no_json_says_so(raw: bytes) -> None:
    with pytest.raises(InputError) as refused:
        split_events(raw)
    assert refused.value.error_code == "not_json"


def test_an_empty_array_holds_no_events() -> None:
    assert split_events(b" [ ] \r\n") == []


@pytest.mark.parametrize(
    "bad",
    [
        b'{"event":}',
        b"17",
        b"null",
        b"oops",
        b"",
        b"[" * 3000 + b"]" * 3000,
        b'{"event":"open","timestamp":' + b"9" * 5000 + b"}",
    ],
)
def test_a_bad_element_costs_itself_alone(bad: bytes) -> None:
    good = json.dumps(event()).encode()
    events = split_events(b"[" + good + b"," + bad + b" ,\n" + good + b"]")
    assert [one.raw for one in events] == [good, bad, good]
    results = [translate(one.value, one.index) for one in events]
    assert [type(result) for result in results] == [ProviderEvent, EventFault, ProviderEvent]
    assert [result.index for result in results] == [0, 1, 2]


@pytest.mark.parametrize(
    "hostile", [rb'"a\u0000b"', rb'"a\ud800b"', b'"a\xffb"', b'"a\x00b"', b"NaN", b"-Infinity", b"1e999", b"9" * 40]
)
def test_what_jsonb_refuses_survives_as_bytes_and_is_cleaned_in_the_payload(hostile: bytes) -> None:
    raw = b'{"event":"open","timestamp":1777636800,"email":' + hostile + b',"deep":[{' + b'"x":' + hostile + b"}]}"
    (one,) = split_events(b"[" + raw + b"]")
    assert one.raw == raw
    result = translate(one.value, 0)
    assert isinstance(result, ProviderEvent)
    written = orjson.dumps(result.payload)
    assert b"\\u0000" not in written
    json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} in a payload"))


@given(
    JSON_VALUES,
    st.dictionaries(
        st.sampled_from(list(event(ip="", url="", useragent="", reason="", status="", type=""))), JSON_VALUES
    ),
)
def test_no_field_of_an_event_can_break_its_translation(value: Any, fields: dict[str, Any]) -> None:
    for candidate in (
        value,
        fields,
        event(**fields),
        event(timestamp=1777636800, **{"sg_message_id": value, "smtp-id": value}),
    ):
        result = translate(candidate, 3)
        assert result.index == 3
        if isinstance(result, ProviderEvent):
            assert 0 < len(result.provider_event_id) <= 255
            assert result.event_at.utcoffset() == timedelta(0)
            orjson.dumps(result.payload)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("processed", EventType.PROCESSED),
        ("delivered", EventType.DELIVERED),
        ("deferred", EventType.DEFERRED),
        ("open", EventType.OPENED),
        ("click", EventType.CLICKED),
        ("bounce", EventType.BOUNCED),
        ("dropped", EventType.DROPPED),
        ("spamreport", EventType.SPAMREPORT),
        ("unsubscribe", EventType.UNSUBSCRIBED),
        ("group_unsubscribe", EventType.UNSUBSCRIBED),
        ("group_resubscribe", EventType.RESUBSCRIBED),
    ],
)
def test_each_of_sendgrids_words_has_ours(theirs: str, ours: EventType) -> None:
    assert translated(event=theirs).event_type is ours


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"type": "blocked", "status": "5.1.1"}, EventType.BLOCKED),
        ({"type": "bounce", "status": "5.1.1"}, EventType.BOUNCED),
        ({"type": "bounce", "status": "5.0.0"}, EventType.BOUNCED),
        ({"type": "bounce", "status": "5.2.1"}, EventType.BOUNCED),
        ({"type": "bounce", "status": "5.2.2"}, EventType.BLOCKED),
        ({"type": "bounce", "status": "5.7.1"}, EventType.BLOCKED),
        ({"type": "bounce", "status": "4.2.2"}, EventType.BLOCKED),
        ({"type": "bounce", "reason": "452 4.2.2 the mailbox is full"}, EventType.BLOCKED),
        ({"type": "bounce", "reason": "550 5.1.1 unknown, said 192.0.2.4"}, EventType.BOUNCED),
        ({"type": "bounce", "reason": "refused by 4.3.2.1"}, EventType.BOUNCED),
        ({"type": "bounce", "status": "5.4.1", "bounce_classification": "Invalid Address"}, EventType.BOUNCED),
        ({"type": "bounce", "status": "5.0.0", "bounce_classification": "Reputation"}, EventType.BLOCKED),
        ({"type": "bounce", "status": "5.1.1", "bounce_classification": "Unclassified"}, EventType.BOUNCED),
        ({}, EventType.BOUNCED),
    ],
)
def test_only_a_fault_of_the_address_is_a_hard_bounce(fields: dict[str, str], ours: EventType) -> None:
    result = translated(event="bounce", **fields)
    assert result.event_type is ours
    assert {key: result.payload[key] for key in fields} == fields


def test_an_event_names_its_message_in_every_way_that_it_was_given() -> None:
    result = translated(
        **{"sg_message_id": "aBc-1.recvd-5f54-1.0", "smtp-id": "<m1@example.org>", "email": "Ann@Example.COM"},
        dripiq_tenant="t1",
        dripiq_message="m1",
        url="https://example.com/?q=1",
        ip="2001:DB8::1",
        useragent="Mozilla/5.0",
        reason="why",
    )
    assert (result.tenant_id, result.message_id) == ("t1", "m1")
    assert (result.provider_message_id, result.smtp_id, result.recipient) == (
        "aBc-1",
        "m1@example.org",
        "ann@example.com",
    )
    assert (result.url, result.ip, result.user_agent) == ("https://example.com/?q=1", "2001:db8::1", "Mozilla/5.0")
    assert result.event_at == datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    assert result.payload["reason"] == "why"
    assert "dripiq_message" not in result.payload


def test_our_ids_are_found_in_unique_args_too() -> None:
    result = translated(unique_args={"dripiq_tenant": "t1", "dripiq_message": "m1"})
    assert (result.tenant_id, result.message_id) == ("t1", "m1")


@pytest.mark.parametrize("machine", [True, False, None, "true"])
def test_only_an_open_that_sendgrid_knows_to_be_a_machines_is_one(machine: object) -> None:
    expected = Confidence.MACHINE if machine is True else Confidence.UNKNOWN
    assert translated(event="open", sg_machine_open=machine).confidence is expected
    assert translated(event="click").confidence is Confidence.UNKNOWN


@pytest.mark.parametrize("timestamp", [1777636800, "1777636800", 1777636800.0, "1777636800.0"])
def test_a_timestamp_may_be_written_in_any_of_the_usual_ways(timestamp: object) -> None:
    assert translated(timestamp=timestamp).event_at == NOW


@pytest.mark.parametrize(
    "timestamp",
    [None, "", "now", True, -1, 1777636800000, 10**400, 1e300, float("nan"), "NaN", "1_777_636_800", [], {}],
)
def test_an_event_without_a_believable_time_is_a_fault(timestamp: object) -> None:
    result = translate(event(timestamp=timestamp), 7)
    assert isinstance(result, EventFault)
    assert (result.index, result.code) == (7, "bad_timestamp")


@pytest.mark.parametrize("name", [None, "", "account_status_change", "OPEN", 5, ["open"], {"open": 1}])
def test_an_event_of_no_known_kind_is_a_fault(name: object) -> None:
    result = translate(event(event=name), 0)
    assert isinstance(result, EventFault)
    assert result.code == "unknown_event"


@pytest.mark.parametrize("missing", [{"sg_event_id": None}, {"sg_event_id": ""}, {"sg_event_id": "x" * 3000}])
def test_an_event_without_a_usable_id_is_named_by_what_it_says(missing: dict[str, Any]) -> None:
    click = {"event": "click", "sg_message_id": "m.1", "url": "https://example.com/a", **missing}
    first, again = translated(**click), translated(**click)
    assert first.provider_event_id == again.provider_event_id
    assert len(first.provider_event_id) == 64
    if not missing["sg_event_id"]:
        for change in (
            {"url": "https://example.com/b"},
            {"timestamp": 1777636801},
            {"sg_message_id": "m.2"},
            {"event": "open"},
        ):
            assert translated(**{**click, **change}).provider_event_id != first.provider_event_id


@given(
    st.one_of(
        st.ip_addresses().map(str), st.text(max_size=20), st.sampled_from(["fe80::1%eth0", "192.0.2.1, 192.0.2.2", ""])
    )
)
def test_only_a_real_address_stands_as_ip_and_any_other_stays_in_the_payload(ip: str) -> None:
    result = translated(ip=ip)
    if result.ip is None:
        assert "ip" in result.payload
    else:
        assert ipaddress.ip_address(result.ip) == ipaddress.ip_address(ip.strip())
