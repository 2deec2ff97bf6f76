"""A click by a person or a mailbox provider gets the address out; a link that a scanner follows changes nothing."""

import re
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy import text as sql

from dripiq.config.settings import Settings
from dripiq.domain.states import Channel
from dripiq.domain.unsubscribe import Subscription, sign
from dripiq.repositories.sending_lock import lock_shared
from dripiq.wiring import unsubscribe_links
from tests.api.conftest import PATIENCE, SECRET, Api, Serve

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
UNREACHABLE = "postgresql://nobody:hidden@127.0.0.1:1/none"


def link(tenant_id: str, address: str = "ann@example.com", channel: Channel = Channel.EMAIL) -> str:
    return f"/unsubscribe/{sign(Subscription(tenant_id, channel, address), SECRET)}"


def page_of(response: httpx.Response) -> str:
    """The page that a response holds, which loads nothing and is neither indexed, framed nor kept."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert "noindex" in response.headers["x-robots-tag"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"src=|href=|https?:|<script", response.text)
    assert response.text.startswith("<!doctype html>")
    return response.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_following_the_link_changes_nothing_however_often(api: Api, method: str) -> None:
    path = link(api.tenant())
    for _ in range(3):
        response = api.client.request(method, path, headers=ONE_CLICK)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
    assert api.suppressions() == []


def test_a_head_has_the_headers_of_the_page_and_no_body(api: Api) -> None:
    path = link(api.tenant())
    shown, head = api.client.get(path), api.client.head(path)
    assert head.content == b""
    assert dict(head.headers) | {"date": ""} == dict(shown.headers) | {"date": ""}


def test_the_page_asks_with_a_button_and_does_not_need_the_database(serve_api: Serve) -> None:
    page = page_of(serve_api(UNREACHABLE).client.get(link("t1")))
    assert '<form method="post">' in page
    assert 'name="List-Unsubscribe" value="One-Click"' in page
    assert "ann@example.com" in page


def test_the_pages_style_is_the_one_that_its_policy_allows(api: Api) -> None:
    response = api.client.get(link("t1"))
    (style,) = re.findall(r"<style>(.*)</style>", response.text)
    assert (
        f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in response.headers["content-security-policy"]
    )


def test_an_address_cannot_put_anything_into_the_page(api: Api) -> None:
    tenant = api.tenant()
    path = link(tenant, "<script>alert(1)</script>@example.com")
    assert "&lt;script&gt;" in page_of(api.client.get(path))
    assert "&lt;script&gt;" in page_of(api.client.post(path, data=ONE_CLICK))


@pytest.mark.parametrize("multipart", [False, True], ids=["form", "multipart"])
def test_one_click_suppresses_the_address_for_its_tenant_alone(api: Api, multipart: bool) -> None:
    tenant, _other = api.tenant(), api.tenant()
    body: dict[str, Any] = {"files": {"List-Unsubscribe": (None, "One-Click")}} if multipart else {"data": ONE_CLICK}
    response = api.client.post(link(tenant), **body)
    assert response.status_code == 200
    assert "You are unsubscribed" in page_of(response)
    (row,) = api.suppressions()
    assert (row.tenant_id, row.channel, row.value, row.scope, row.type, row.source, row.expires_at) == (
        tenant, "email", "ann@example.com", "address", "unsubscribe", "link", None,
    )  # fmt: skip


def test_the_links_that_go_out_with_messages_work(api: Api) -> None:
    tenant = api.tenant()
    make = unsubscribe_links(Settings(public_url=f"http://127.0.0.1:{api.port}/", secret=SECRET))
    assert make is not None
    assert httpx.post(make(tenant, Channel.EMAIL, "ann@example.com"), data=ONE_CLICK).status_code == 200
    assert [row.value for row in api.suppressions()] == ["ann@example.com"]


def test_a_second_click_is_as_good_as_the_first_and_stores_nothing_more(api: Api) -> None:
    path = link(api.tenant())
    pages = [page_of(api.client.post(path, data=ONE_CLICK)) for _ in range(2)]
    assert pages[0] == pages[1]
    assert len(api.suppressions()) == 1


def test_clicks_at_the_same_time_store_one_suppression(api: Api) -> None:
    path = link(api.tenant())
    barrier = threading.Barrier(4, timeout=PATIENCE)

    def click() -> int:
        with httpx.Client(base_url=api.client.base_url, timeout=PATIENCE) as client:
            client.get("/healthz")
            barrier.wait()
            return client.post(path, data=ONE_CLICK).status_code

    with ThreadPoolExecutor(4) as pool:
        assert {future.result(PATIENCE) for future in [pool.submit(click) for _ in range(4)]} == {200}
    assert len(api.suppressions()) == 1


def test_the_sending_lock_is_the_first_thing_that_its_transaction_takes(api: Api) -> None:
    path = link(api.tenant())
    said: list[str] = []
    event.listen(api.engine, "begin", lambda connection: said.append("BEGIN"))
    event.listen(api.engine, "before_cursor_execute", lambda c, cursor, statement, *rest: said.append(statement))
    event.listen(api.engine, "commit", lambda connection: said.append("COMMIT"))
    api.client.post(path, data=ONE_CLICK)
    begun = max(at for at, statement in enumerate(said) if statement == "BEGIN")
    transaction = said[begun + 1 :]
    lock, *_, write = (statement for statement in transaction if "advisory" in statement or "dripiq_app" in statement)
    assert "pg_advisory_xact_lock(" in lock  # before it, the transaction has only taken the tenant's role
    assert "communication_suppressions" in write
    assert transaction[-1] == "COMMIT"


def test_a_click_waits_for_the_mail_in_hand_and_is_answered_after_its_commit(api: Api) -> None:
    tenant = api.tenant()
    with ThreadPoolExecutor(1) as pool, api.engine.connect() as sending:
        lock_shared(sending, tenant, Channel.EMAIL)
        click = pool.submit(api.client.post, link(tenant), data=ONE_CLICK)
        deadline = time.monotonic() + PATIENCE
        while not api.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert time.monotonic() < deadline
        assert not click.done()
        sending.rollback()
        assert click.result(PATIENCE).status_code == 200
    assert len(api.suppressions()) == 1


@pytest.mark.parametrize("content", [b"", b"List-Unsubscribe=", b"hello=1", b"\xff\x00"], ids=repr)
def test_a_post_that_is_not_a_click_asks_for_one_and_changes_nothing(api: Api, content: bytes) -> None:
    response = api.client.post(link(api.tenant()), content=content)
    assert response.status_code == 400
    assert '<form method="post">' in page_of(response)
    assert api.suppressions() == []


def test_a_post_of_a_megabyte_is_refused(api: Api) -> None:
    response = api.client.post(link(api.tenant()), content=b"List-Unsubscribe=One-Click" + b"&" * 1_000_000)
    assert response.status_code == 413
    page_of(response)


def other_secret(tenant_id: str) -> str:
    return sign(Subscription(tenant_id, Channel.EMAIL, "ann@example.com"), "x" * 32)


@pytest.mark.parametrize(
    "token", ["x", "a.b", "%00", "%ff%fe.%ff", "é.é", "x" * 5_000, other_secret("t1")], ids=lambda t: t[:12]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_we_did_not_make_gets_404_and_a_page_that_says_so(api: Api, method: str, token: str) -> None:
    response = api.client.request(method, f"/unsubscribe/{token}", data=ONE_CLICK if method == "POST" else None)
    assert response.status_code == 404
    assert "This link does not work" in page_of(response)
    assert "www-authenticate" not in response.headers
    assert api.suppressions() == []


def test_no_change_to_a_token_makes_it_somebody_elses(api: Api) -> None:
    tenant = api.tenant()
    own, others = link(tenant).partition(".")[0], link(tenant, "bob@example.com").partition(".")[2]
    assert api.client.post(f"{own}.{others}", data=ONE_CLICK).status_code == 404
    assert api.suppressions() == []


def test_a_link_of_a_tenant_that_is_gone_is_answered_as_kindly_as_any(api: Api) -> None:
    tenant = api.tenant()
    path = link(tenant)
    before = api.client.post(path, data=ONE_CLICK)
    with api.engine.begin() as connection:
        connection.execute(sql("DELETE FROM dripiq_app.tenants WHERE id = :id"), {"id": tenant})
    after = api.client.post(path, data=ONE_CLICK)
    assert (after.status_code, after.text) == (200, before.text)
    assert api.suppressions() == []


def test_while_the_database_is_down_the_page_asks_to_try_again_and_claims_nothing(serve_api: Serve) -> None:
    response = serve_api(UNREACHABLE).client.post(link("t1"), data=ONE_CLICK)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    page = page_of(response)
    assert "not unsubscribed yet" in page
    assert "127.0.0.1" not in page


def test_a_database_that_fails_midway_never_makes_a_page_that_says_done(api: Api) -> None:
    path = link(api.tenant())
    with api.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dripiq_app.communication_suppressions ADD CHECK (value = '')")
    response = api.client.post(path, data=ONE_CLICK)
    assert response.status_code == 503
    assert "You are unsubscribed" not in page_of(response)


def test_without_a_secret_links_are_closed_and_the_log_says_which_setting_opens_them(
    serve_api: Serve, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = serve_api(database, secret=None).client.post(link("t1"), data=ONE_CLICK)
    assert response.status_code == 503
    page_of(response)
    assert "DRIPIQ_SECRET" in caplog.text
