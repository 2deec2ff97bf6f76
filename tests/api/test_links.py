"""A person who follows a link gets there and counts; a scanner that follows every link of a mail unsubscribes nobody and counts as no person."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dripiq.channels.folder import FolderSender
from dripiq.config.settings import Settings
from dripiq.domain.states import Channel
from dripiq.domain.tracking import Tracked, sign
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.wiring import telling_links, unsubscribe_links
from tests.api.conftest import SECRET, Api, Serve
from tests.engine.conftest import HandClock, World, email_plan, settle_tenant

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
PAGES = ["https://shop.example.com/?a=1&b=2", "https://shop.example.com/other", "http://news.example.com/"]
HTML = (
    "<html><body><p>Hi {{ contact.name }}, "
    + " ".join(f'<a href="{page.replace("&", "&amp;")}">here</a>' for page in PAGES)
    + ' or <a href="{{ unsubscribe_url }}">leave</a></p></body></html>'
)
BY_PEOPLE = email_plan(
    {
        "id": "intro",
        "html": HTML,
        "transitions": [
            {"on": "clicked", "to": "stop", "minConfidence": "human"},
            {"on": "no_click", "to": "bump", "after": "PT72H"},
        ],
    },
    {"id": "bump"},
)


del BY_PEOPLE["nodes"][0]["body"]


@pytest.fixture
def told(serve_api: Serve, database: str, tmp_path: Path) -> tuple[Api, World]:
    """A contact who was sent a mail with links of ours a minute ago."""
    api = serve_api(database)
    settings = Settings(public_url=f"http://127.0.0.1:{api.port}/", secret=SECRET, track_opens=True, track_clicks=True)
    world = World(api.engine, tmp_path, clock=HandClock(datetime.now(UTC) - timedelta(minutes=1)))
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(api.engine, 1)
    world.enroll(BY_PEOPLE)
    senders: Any = {Channel.EMAIL: FolderSender(world.folder)}
    outbox = Outbox(api.engine, world.clock, senders, unsubscribe_links(settings), telling_links(settings))
    world.work(Worker(outbox, Pace()))
    world.clock.pass_(minutes=1, seconds=30)
    return api, world


def mail_of(world: World) -> Any:
    (path,) = world.mails()
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def links_of(world: World) -> list[str]:
    """Every address in the mail, whether it is seen or not."""
    message = mail_of(world)
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    found = re.findall(r"https?://[^\s\"<>)]+", " ".join([*parts, message["List-Unsubscribe"]]))
    return list(dict.fromkeys(link.replace("&amp;", "&") for link in found))


def events(world: World) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in world.rows(
            "SELECT event_type, confidence FROM dripiq_app.message_events ORDER BY event_type, confidence"
        )
    ]


@pytest.mark.parametrize("agent", [BROWSER, {"User-Agent": "Barracuda"}], ids=["as a browser", "by its name"])
def test_a_scanner_that_follows_every_link_unsubscribes_nobody_and_counts_as_no_person(
    told: tuple[Api, World], agent: dict[str, str]
) -> None:
    api, world = told
    ours = [link for link in links_of(world) if f"127.0.0.1:{api.port}" in link]
    assert {link.split("/")[3] for link in ours} == {"click", "open", "unsubscribe"}
    with httpx.Client(headers=agent) as scanner:
        for method in ("HEAD", "GET"):
            for link in ours:
                assert scanner.request(method, link).status_code in (200, 302)
    world.work()
    assert api.suppressions() == []
    assert [kind for kind, sure in events(world) if sure == "human"] == []
    assert ("clicked", "machine") in events(world)
    assert {sure for kind, sure in events(world) if kind == "clicked"} == {"machine"}
    assert world.campaign().status == "active"
    # Somebody reads the mail later, and clicks on one link.
    world.execute("UPDATE dripiq_app.message_events SET event_at = event_at - interval '1 minute'")
    httpx.get(
        next(link for link in ours if "/click/" in link), headers={"User-Agent": BROWSER["User-Agent"] + " at home"}
    )
    world.clock.pass_(seconds=30)
    world.work()
    assert world.campaign().status == "completed"


def test_a_click_leads_where_the_link_led_and_an_open_gets_its_pixel(told: tuple[Api, World]) -> None:
    _, world = told
    clicks = [link for link in links_of(world) if "/click/" in link]
    led = [httpx.get(link, headers=BROWSER) for link in clicks]
    assert [(answer.status_code, answer.headers["location"]) for answer in led] == [(302, page) for page in PAGES]
    assert led[0].headers["cache-control"] == "no-store, private"
    (pixel,) = (link for link in links_of(world) if "/open/" in link)
    image = httpx.get(pixel, headers=BROWSER)
    assert (image.headers["content-type"], len(image.content)) == ("image/gif", 42)
    assert world.rows("SELECT DISTINCT provider, status FROM dripiq_app.webhook_deliveries") == [("dripiq", "received")]


def test_what_is_stored_and_the_text_part_have_the_links_as_they_were_written(told: tuple[Api, World]) -> None:
    _, world = told
    text = mail_of(world).get_body(("plain",)).get_content()
    assert all(page in text for page in PAGES)
    assert "/click/" not in text
    assert "/click/" not in world.value("SELECT rendered_html FROM dripiq_app.outbound_messages")


def test_a_click_that_came_alone_and_late_is_a_persons(told: tuple[Api, World]) -> None:
    _, world = told
    link = next(link for link in links_of(world) if "/click/" in link)
    for _ in range(3):
        httpx.get(link, headers=BROWSER)
    world.work()
    assert world.campaign().status == "completed"
    assert {pair for pair in events(world) if pair[0] == "clicked"} == {("clicked", "human")}
    stored = world.value("SELECT url FROM dripiq_app.message_events WHERE event_type = 'clicked' LIMIT 1")
    assert stored == PAGES[0]


def test_what_our_links_told_ripens_before_it_is_read(told: tuple[Api, World]) -> None:
    _, world = told
    world.clock.time = datetime.now(UTC)
    httpx.get(next(link for link in links_of(world) if "/click/" in link), headers=BROWSER)
    world.work()
    assert events(world) == []
    world.clock.pass_(seconds=10)
    world.work()
    assert len(events(world)) == 1


def test_no_link_that_we_did_not_sign_leads_anywhere(api: Api) -> None:
    foreign = sign(Tracked("t1", "m1", "https://evil.test"), "x" * 40)
    opened = sign(Tracked("t1", "m1"), SECRET)
    for path in (f"/click/{foreign}", f"/click/{opened}", "/click/https://evil.test", "/click/x", f"/open/{foreign}"):
        answer = api.client.get(path, headers=BROWSER)
        assert (answer.status_code, "location" in answer.headers) == (404, False)
    assert api.deliveries() == []


def test_who_clicks_gets_there_when_the_database_is_down_or_the_tenant_gone(serve_api: Serve, api: Api) -> None:
    path = f"/click/{sign(Tracked('gone', 'm1', 'https://a.test/'), SECRET)}"
    down = serve_api("postgresql://nobody:hidden@127.0.0.1:1/none")
    for served in (api, down):
        answer = served.client.get(path, headers=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (302, "https://a.test/")
