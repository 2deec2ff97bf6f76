"""Links of ours lead where they led before, and nowhere else; whatever the HTML, nothing but links changes."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.attention import Click, by_company, by_request
from dripiq.domain.errors import SignatureError
from dripiq.domain.events import EventType
from dripiq.domain.states import Channel, Confidence
from dripiq.domain.tracking import Links, Tracked, read_click, read_open, rewrite_links, sign
from dripiq.domain.unsubscribe import Subscription
from dripiq.domain.unsubscribe import sign as sign_unsubscribe

SECRET = "a secret of the test, of forty letters .."
LINKS = Links("https://reach.example.com", SECRET, opens=True, clicks=True)
AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def targets(html: str) -> list[str]:
    """Where the links of a mail lead that tells."""
    return [
        read_click(token, SECRET).url or ""
        for token in re.findall(r'"https://reach\.example\.com/click/([^"]+)"', html)
    ]


@pytest.mark.parametrize(
    ("given_html", "urls"),
    [
        ('<a href="https://a.test/?x=1&amp;y=2">a</a>', ["https://a.test/?x=1&y=2"]),
        ("<A\nclass=x HREF = 'HTTP://a.test/b c'>", []),
        ("<A\nclass=x HREF = 'HTTP://a.test/b' title='>'>", ["HTTP://a.test/b"]),
        ("<a href=http://a.test/>a</a> <area href=http://b.test>", ["http://a.test/", "http://b.test"]),
        ('<a title=" href=http://no.test " href="http://a.test">', ["http://a.test"]),
        ('<a data-href="http://no.test">', []),
        ('<a href="mailto:a@a.test"><a href="tel:+49"><a href="#x"><a href="/x"><a href="javascript:x">', []),
        ('<a href="https://reach.example.com/unsubscribe/abc.def">', []),
        ('<!-- <a href="http://no.test"> --><a href="http://a.test">', ["http://a.test"]),
        ('<abbr href="http://no.test"><img src="http://no.test">', []),
        ('<a href="http://a.test\nLocation: http://evil.test">', []),
        ('<a <a href="http://a.test">', ["http://a.test"]),
        ('<a href="http://a.test', []),
        ("<!-- <a href=http://no.test>", []),
    ],
)
def test_links_and_only_links_are_led_by_way_of_us(given_html: str, urls: list[str]) -> None:
    told = Links(LINKS.base, SECRET, opens=False, clicks=True)("t1", "m1", given_html)
    assert targets(told) == urls
    if not urls:
        assert told == given_html


def test_the_pixel_stands_at_the_end_of_the_body() -> None:
    told = Links(LINKS.base, SECRET, opens=True, clicks=False)("t1", "m1", "<body>Hi</body></html>")
    (token,) = re.findall(r'<body>Hi<img src="https://reach\.example\.com/open/([^"]+)" [^>]*></body></html>', told)
    assert read_open(token, SECRET) == Tracked("t1", "m1")


@given(st.text(st.sampled_from("<>a\"'= !-/hrefhttp:x.&;\n")), st.text(max_size=20))
def test_what_is_no_link_stays_as_it_is_whatever_the_html(rubbish: str, text: str) -> None:
    html = rubbish + text
    assert rewrite_links(html, lambda url: None) == html
    told = rewrite_links(html, lambda url: "https://other.test")
    assert len(told) >= len(html) or "http" in html


@pytest.mark.parametrize("bomb", ['<a "', "<a ", "<!--", '<a href="', "<a x='", "<a href=http://x "])
def test_no_html_takes_long(bomb: str) -> None:
    began = time.process_time()
    rewrite_links(bomb * (200_000 // len(bomb)), lambda url: None)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("letter", "count"), [("x", 3_900), ("x", 4_000), ("я", 1_900), ("я", 3_500)])
def test_every_link_of_ours_can_be_followed(letter: str, count: int) -> None:
    url = "https://a.test/" + letter * count
    html = f'<a href="{url}">here</a>'
    told = LINKS("t1", "m1", html)
    assert targets(told) == [url] or html in told


def test_links_do_not_show_their_secret() -> None:
    assert SECRET not in repr(LINKS)


def test_a_token_is_worth_nothing_for_anything_else() -> None:
    click, opened = sign(Tracked("t1", "m1", "https://a.test"), SECRET), sign(Tracked("t1", "m1"), SECRET)
    unsubscribe = sign_unsubscribe(Subscription("t1", Channel.EMAIL, "a@a.test"), SECRET)
    head, _, mac = click.partition(".")
    other = sign(Tracked("t1", "m1", "https://evil.test"), SECRET).partition(".")[0]
    for token in (opened, unsubscribe, f"{other}.{mac}", head, "", "é", "x" * 20_000, click + "x"):
        with pytest.raises(SignatureError):
            read_click(token, SECRET)
    with pytest.raises(SignatureError):
        read_click(click, "x" * 40)
    for token in (click, unsubscribe):
        with pytest.raises(SignatureError):
            read_open(token, SECRET)


@pytest.mark.parametrize(
    ("agent", "opened", "clicked"),
    [
        (BROWSER, "unknown", "human"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)", "unknown", "human"),
        ("Mozilla/5.0", "machine", "machine"),
        ("", "machine", "machine"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "unknown", "human"),
        ("YahooMailProxy; https://help.yahoo.com/", "unknown", "unknown"),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0)", "unknown", "machine"),
        ("Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Mobile", "unknown", "human"),
        ("python-requests/2.32", "machine", "machine"),
        ("Mozilla/5.0 (compatible; Barracuda Sentinel)", "machine", "machine"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "machine", "machine"),
        ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120 Safari/537.36", "machine", "machine"),
    ],
)  # fmt: skip
def test_a_request_says_who_made_it(agent: str, opened: str, clicked: str) -> None:
    assert by_request(EventType.OPENED, "GET", agent, is_prefetch=False) == opened
    assert by_request(EventType.CLICKED, "GET", agent, is_prefetch=False) == clicked
    assert by_request(EventType.CLICKED, "HEAD", agent, is_prefetch=False) == Confidence.MACHINE
    assert by_request(EventType.OPENED, "GET", agent, is_prefetch=True) == Confidence.MACHINE


@pytest.mark.parametrize(
    ("after", "others", "graded"),
    [
        (60, [], "human"),
        (60, [(60, "a", "human")], "human"),
        (60, [(59, "a", "human"), (61, "a", "unknown")], "human"),
        (60, [(62, "b", "human")], "machine"),
        (60, [(63, "b", "human")], "human"),
        (60, [(58, "a", "machine")], "machine"),
        (9, [], "machine"),
        (None, [], "unknown"),
        (None, [(0, "b", "human")], "machine"),
    ],
)
def test_a_click_is_known_by_its_company(after: int | None, others: list[tuple[int, str, str]], graded: str) -> None:
    click = Click("m1", AT + timedelta(seconds=after or 0), "a", Confidence.HUMAN)
    company = [Click("m1", AT + timedelta(seconds=at), url, Confidence(sure)) for at, url, sure in others]
    assert by_company(click, [click, *company], AT if after is not None else None) == graded
