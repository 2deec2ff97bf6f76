"""SendGrid is answered 2xx only for what is committed, whatever it sends; nothing forged gets in, and nothing is stored twice."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dripiq.engine.clock import DatabaseClock
from dripiq.engine.normalise import normalise
from tests.api.conftest import PATIENCE, Api, Serve, body_of, event, problem_of, signed

UNREACHABLE = "postgresql://nobody:hidden@127.0.0.1:1/none"


def test_a_signed_request_is_committed_before_it_is_answered(api: Api) -> None:
    tenant = api.tenant()
    raw = body_of(event(dripiq_tenant=tenant), event(dripiq_tenant=tenant, event="open"))
    response = api.post(raw)
    assert response.status_code == 202
    assert response.json() == {"stored": 1, "known": 0, "quarantined": 0}
    (delivery,) = api.deliveries()
    assert bytes(delivery.raw) == raw
    assert (delivery.tenant_id, delivery.status, delivery.signature_valid) == (tenant, "received", True)
    assert delivery.payload_hash == hashlib.sha256(raw).hexdigest()
    assert delivery.payload == json.loads(raw)


def test_the_same_body_again_is_answered_200_and_changes_nothing(api: Api) -> None:
    raw = body_of(event(dripiq_tenant=api.tenant()), event(dripiq_tenant="nobody"))
    assert api.post(raw).status_code == 202
    before = api.deliveries(), api.quarantined()
    again = api.post(raw, age=60)
    assert again.status_code == 200
    assert again.json() == {"stored": 0, "known": 1, "quarantined": 1}
    assert (api.deliveries(), api.quarantined()) == before


def test_the_same_body_twice_at_once_is_stored_once(api: Api) -> None:
    raw = body_of(event(dripiq_tenant=api.tenant()))
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def post() -> int:
        with httpx.Client(base_url=api.client.base_url, timeout=PATIENCE) as client:
            headers = signed(raw)

            def last_bytes_together() -> Iterator[bytes]:
                yield raw[:-1]
                barrier.wait()
                yield raw[-1:]

            return client.post("/webhooks/sendgrid", content=last_bytes_together(), headers=headers).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(future.result(PATIENCE) for future in [pool.submit(post) for _ in range(2)])
    assert statuses == [200, 202]
    assert len(api.deliveries()) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"raw": b"[]"}, "bad_signature"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "bad_signature"),
        ({"without": "X-Twilio-Email-Event-Webhook-Signature"}, "missing_signature"),
        ({"without": "X-Twilio-Email-Event-Webhook-Timestamp"}, "missing_signature"),
        ({"age": 26 * 3600}, "stale_timestamp"),
        ({"age": -26 * 3600}, "stale_timestamp"),
        ({"timestamp": "soon"}, "stale_timestamp"),
    ],
    ids=["another body", "another key", "no signature", "no timestamp", "stale", "from the future", "no number"],
)
def test_what_sendgrid_did_not_sign_just_now_gets_401_and_is_not_kept(
    api: Api, change: dict[str, Any], code: str
) -> None:
    raw = body_of(event(dripiq_tenant=api.tenant()))
    signing = {key: value for key, value in change.items() if key in ("key", "age", "timestamp")}
    headers = signed(raw, **signing)
    headers.pop(change.get("without", ""), None)
    response = api.client.post("/webhooks/sendgrid", content=change.get("raw", raw), headers=headers)
    assert response.status_code == 401
    assert problem_of(response)["code"] == code
    assert api.deliveries() == api.quarantined() == []


def test_a_forged_request_does_not_even_reach_the_database(serve_api: Serve) -> None:
    api = serve_api(UNREACHABLE)
    assert api.post(b"[]", key=ec.generate_private_key(ec.SECP256R1())).status_code == 401


def chunks_of(raw: bytes) -> Iterator[bytes]:
    for at in range(0, len(raw), 65_536):
        yield raw[at : at + 65_536]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
def test_a_body_of_five_megabytes_gets_413_and_the_server_goes_on(api: Api, announced: bool) -> None:
    tenant = api.tenant()
    raw = body_of(event(dripiq_tenant=tenant, padding="x" * 5_000_000))
    response = api.client.post("/webhooks/sendgrid", content=raw if announced else chunks_of(raw), headers=signed(raw))
    assert response.status_code == 413
    said = problem_of(response)
    assert (said["code"], said["facts"]) == ("too_large", {"max_bytes": 4_000_000})
    assert api.deliveries() == []
    assert api.post(body_of(event(dripiq_tenant=tenant))).status_code == 202


def test_a_body_of_just_the_size_that_is_allowed_is_taken(serve_api: Serve, database: str) -> None:
    api = serve_api(database, webhook_max_bytes=2_000)
    raw = body_of(event(dripiq_tenant=api.tenant()))
    raw += b" " * (2_000 - len(raw))
    assert api.post(raw).status_code == 202
    assert api.post(raw + b" ").status_code == 413


@pytest.mark.parametrize(
    "raw",
    [b"", b"hello", b"{}", b'"text"', b"[", b"[{]", b"\xff\xfe", b"[nonsense]", b"[] []", b'[{"event":"open"'],
    ids=repr,
)
def test_a_signed_body_that_is_no_array_of_json_gets_400(api: Api, raw: bytes) -> None:
    response = api.post(raw)
    assert response.status_code == 400
    assert problem_of(response)["code"] in {"not_json", "not_an_array"}
    assert api.deliveries() == api.quarantined() == []


def test_an_empty_array_is_fine_and_nothing_new(api: Api) -> None:
    assert api.post(b"[]").status_code == 200


def test_a_batch_of_several_tenants_is_kept_as_a_slice_for_each_of_the_very_bytes(api: Api) -> None:
    tenants = sorted(api.tenant() for _ in range(3))
    events = [event(dripiq_tenant=tenants[n % 3], note="é\\" * n) for n in range(9)]
    lines = [json.dumps(e, ensure_ascii=n % 2 == 0).encode() for n, e in enumerate(events)]
    response = api.post(b"[ " + b" ,\r\n ".join(lines) + b"]\r\n")
    assert response.json() == {"stored": 3, "known": 0, "quarantined": 0}
    slices = {delivery.tenant_id: bytes(delivery.raw) for delivery in api.deliveries()}
    assert slices == {tenant: b"[" + b",".join(lines[n::3]) + b"]" for n, tenant in enumerate(tenants)}


def test_what_belongs_to_no_tenant_is_quarantined_and_never_dropped(api: Api) -> None:
    tenant = api.tenant()
    known, unknown, nameless = event(dripiq_tenant=tenant), event(dripiq_tenant="nobody"), event()
    response = api.post(body_of(unknown, known, nameless, "no object"))
    assert response.status_code == 202
    assert response.json() == {"stored": 1, "known": 0, "quarantined": 3}
    (stray,) = api.quarantined()
    assert json.loads(bytes(stray.raw)) == [unknown, nameless, "no object"]
    assert stray.reason == "unknown_tenant"
    (delivery,) = api.deliveries()
    assert json.loads(bytes(delivery.raw)) == [known]


def test_one_bad_event_costs_that_one(api: Api) -> None:
    tenant = api.tenant()
    good = [event(dripiq_tenant=tenant, event=name) for name in ("processed", "delivered", "open")]
    bad = [event(dripiq_tenant=tenant, event="levitated"), event(dripiq_tenant=tenant, timestamp="soon")]
    assert api.post(body_of(good[0], bad[0], good[1], bad[1], good[2])).status_code == 202
    assert normalise(api.engine, DatabaseClock(), tenant) == 1
    stored = api.rows("SELECT provider_event_id FROM dripiq_app.message_events")
    assert {row.provider_event_id for row in stored} == {e["sg_event_id"] for e in good}
    (delivery,) = api.deliveries()
    assert (delivery.status, delivery.error) == ("processed", "event 1: unknown_event; event 3: bad_timestamp")


@pytest.mark.parametrize(
    "element",
    [
        b"{broken}",
        b"NaN",
        b'{"a": NaN, "dripiq_tenant": "TENANT"}',
        b'{"a": "\\ud800", "dripiq_tenant": "TENANT"}',
        b'{"a": "\\u0000", "dripiq_tenant": "TENANT"}',
        b'{"a": "\xff", "dripiq_tenant": "TENANT"}',
        b'{"a": "\t", "dripiq_tenant": "TENANT"}',
        b'{"a": 1e400, "dripiq_tenant": "TENANT"}',
        b'{"a": 1e200000, "dripiq_tenant": "TENANT"}',
        b'{"a": 1e-20000, "dripiq_tenant": "TENANT"}',
        b'{"a": 0.' + b"1" * 20_000 + b', "dripiq_tenant": "TENANT"}',
        b'{"a": ' + b"1" * 200_000 + b', "dripiq_tenant": "TENANT"}',
        b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b', "dripiq_tenant": "TENANT"}',
        b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b', "dripiq_tenant": "TENANT"}',
    ],
    ids=lambda element: element[:14].decode("latin-1"),
)
def test_an_element_that_jsonb_cannot_hold_is_kept_and_its_neighbours_become_events(api: Api, element: bytes) -> None:
    tenant = api.tenant()
    neighbour = event(dripiq_tenant=tenant)
    raw = b"[" + json.dumps(neighbour).encode() + b"," + element.replace(b"TENANT", tenant.encode()) + b"]"
    assert api.post(raw).status_code == 202
    normalise(api.engine, DatabaseClock(), tenant)
    (stored,) = api.rows("SELECT provider_event_id FROM dripiq_app.message_events")
    assert stored.provider_event_id == neighbour["sg_event_id"]
    slices = api.rows(
        "SELECT raw FROM dripiq_app.webhook_deliveries UNION SELECT raw FROM dripiq_app.webhook_quarantine"
    )
    kept = b"".join(bytes(row.raw) for row in slices)
    assert element.replace(b"TENANT", tenant.encode()) in kept


def test_what_looks_like_a_long_number_inside_a_text_does_not_cost_the_payload(api: Api) -> None:
    raw = body_of(event(dripiq_tenant=api.tenant(), ref="3e-1234", note='a "quoted" 1e-99999'))
    assert api.post(raw).status_code == 202
    (delivery,) = api.deliveries()
    assert delivery.payload == json.loads(raw)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["event", "timestamp", "sg_event_id", "sg_message_id", "smtp-id", "email", "url", "ip", "dripiq_message", "type"]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(st.dictionaries(FIELDS, JSON, max_size=6), max_size=4),
    junk=st.binary(max_size=40),
    cut=st.booleans(),
)
def test_no_body_whatever_breaks_the_server(api: Api, events: list[dict[str, Any]], junk: bytes, cut: bool) -> None:
    rows = api.rows("SELECT id FROM dripiq_app.tenants LIMIT 1")
    tenant = rows[0].id if rows else api.tenant()
    bodies = [body_of(*(event(**{"dripiq_tenant": tenant, **fields}) for fields in events)), junk, b"[" + junk + b"]"]
    for raw in bodies:
        assert api.post(raw[: len(raw) // 2] if cut else raw).status_code in {200, 202, 400}
    normalise(api.engine, DatabaseClock(), tenant)
    assert api.rows("SELECT id FROM dripiq_app.webhook_deliveries WHERE status = 'received'") == []


def test_a_database_that_is_down_gets_503_so_that_the_provider_comes_again(serve_api: Serve) -> None:
    response = serve_api(UNREACHABLE).post(body_of(event()))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert problem_of(response)["code"] == "database_unreachable"
    assert "hidden" not in response.text


def test_what_fails_within_the_database_gets_503_without_saying_what_was_stored(api: Api) -> None:
    with api.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dripiq_app.webhook_deliveries ADD CHECK (raw IS NULL)")
    response = api.post(body_of(event(dripiq_tenant=api.tenant(), email="secret@example.com")))
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert problem_of(response)["code"] == "database_failed"
    assert "secret@example.com" not in response.text
    assert api.deliveries() == []


def test_after_an_outage_the_same_process_stores_what_is_sent_again(
    api: Api, postgres_server: Any, template_database: str
) -> None:
    raw = body_of(event(dripiq_tenant="nobody"))
    assert api.post(raw).status_code == 202
    name = str(api.engine.url.database)
    postgres_server.drop(name)
    assert api.post(raw).status_code == 503
    postgres_server.create(name, template_database)
    assert api.post(raw).status_code == 202
    assert len(api.quarantined()) == 1


def test_without_a_verification_key_the_webhook_is_closed_and_says_which_setting_opens_it(
    serve_api: Serve, database: str
) -> None:
    response = serve_api(database, sendgrid_webhook_key=None).post(body_of(event()))
    assert response.status_code == 503
    assert "DRIPIQ_SENDGRID_WEBHOOK_KEY" in problem_of(response)["detail"]


def test_a_verification_key_that_is_none_is_our_fault(serve_api: Serve, database: str) -> None:
    response = serve_api(database, sendgrid_webhook_key="AAAA").post(body_of(event()))
    assert response.status_code == 500
    assert problem_of(response)["code"] == "verification_key"
