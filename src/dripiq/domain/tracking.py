"""Which links of a mail tell that it was opened or clicked?

Links of our own, in its HTML: a click's leads by way of us to where it led before, an open's is an image of one pixel. The target is in the signed token, so
that our address leads nowhere but where a mail of ours does: there is no open redirect. Rules:

- Only `http` and `https` links of `<a>` and `<area>` are changed. Unsubscribe links are not: who wants out need not be counted. Nor is the text part.
- Any HTML is accepted, however malformed, in time linear in its length; what cannot be told for sure to be a link stays as it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Final

from dripiq.domain.signed import bad_token, seal, unseal

MAX_TOKEN: Final = 8_000
_LONGEST_URL: Final = 4_000
"""Bytes in UTF-8: in a token they and two ids are no longer than `MAX_TOKEN`."""
_LONGEST_TAG: Final = 10_000

_OPENING: Final = re.compile(r"<!--|<(?:a|area)(?=[\s/])", re.IGNORECASE)
_STOP: Final = re.compile(r"[<>\"']")
_ATTRIBUTE: Final = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))?")
_URL: Final = re.compile(r"https?://[^\s\x00-\x20\x7f\"<>\\^`{|}]+", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a link of ours is about: a message of a tenant, and where a click leads; None for an open."""

    tenant_id: str
    message_id: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Makes a tenant's mails tell. `base` is the API's public address without a slash at its end; what it does not count it leaves alone."""

    base: str
    secret: str = field(repr=False)
    opens: bool
    clicks: bool

    def __call__(self, tenant_id: str, message_id: str, html: str) -> str:
        """The HTML of one message, with links of ours."""
        if self.clicks:
            html = rewrite_links(html, lambda url: self._through_us(Tracked(tenant_id, message_id, url)))
        if self.opens:
            html = _with_pixel(html, f"{self.base}/open/{sign(Tracked(tenant_id, message_id), self.secret)}")
        return html

    def _through_us(self, tracked: Tracked) -> str | None:
        url = tracked.url or ""
        if len(url.encode()) > _LONGEST_URL or url.startswith(f"{self.base}/"):
            return None
        return f"{self.base}/click/{sign(tracked, self.secret)}"


def sign(tracked: Tracked, secret: str) -> str:
    """The token of a link, safe in a URL's path."""
    if tracked.url is None:
        return seal("open", (tracked.tenant_id, tracked.message_id), secret)
    return seal("click", (tracked.tenant_id, tracked.message_id, tracked.url), secret)


def read_click(token: str, secret: str) -> Tracked:
    """What a click's token stands for. Raises SignatureError: `bad_token`."""
    return _of(unseal("click", token, secret, longest=MAX_TOKEN), 3)


def read_open(token: str, secret: str) -> Tracked:
    """What an open's token stands for. Raises SignatureError: `bad_token`."""
    return _of(unseal("open", token, secret, longest=MAX_TOKEN), 2)


def _of(words: list[str], count: int) -> Tracked:
    if len(words) != count:
        raise bad_token()
    return Tracked(*words)


def rewrite_links(html: str, link: Callable[[str], str | None]) -> str:
    """The HTML with other targets: `link` says which for a URL, or None where it stays."""
    written: list[str] = []
    last = 0
    for start, end in _targets(html):
        given = html[start:end]
        url = unescape(given.strip("\"'")).strip()
        other = link(url) if _URL.fullmatch(url) else None
        if other is not None:
            written += [html[last:start], '"', escape(other), '"']
            last = end
    return "".join([*written, html[last:]])


def _targets(html: str) -> Iterator[tuple[int, int]]:
    """Where the values of the links' `href` stand, quotation marks included."""
    at = 0
    while (opening := _OPENING.search(html, at)) is not None:
        if opening[0] == "<!--":
            at = html.find("-->", opening.end())
            if at < 0:
                return
            continue
        end = _end_of_tag(html, opening.end())
        at = max(end, opening.end())
        for attribute in _ATTRIBUTE.finditer(html, opening.end(), at):
            if attribute[1].lower() == "href":
                if attribute[2] is not None:
                    yield attribute.span(2)
                break


def _end_of_tag(html: str, at: int) -> int:
    """Where the `>` stands that ends the tag; -1 where none does within the longest that is looked at."""
    limit = at + _LONGEST_TAG
    while (stop := _STOP.search(html, at, limit)) is not None:
        if stop[0] == ">":
            return stop.start()
        if stop[0] == "<":
            return -1
        at = html.find(stop[0], stop.end(), limit) + 1
        if at == 0:
            return -1
    return -1


def _with_pixel(html: str, url: str) -> str:
    image = f'<img src="{escape(url)}" width="1" height="1" alt="" style="border:0">'
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return f"{html[:at]}{image}{html[at:]}"
