"""What does an HTML part say as plain text?

For the text part of a message whose plan gives HTML alone. Links become `text (url)`, list items get a dash or a number, quotations `>`; what a reader
does not see (scripts, styles, comments, hidden elements) is left out. Rules:

- Any text is accepted, however malformed, in time linear in its length: tokens are found by one pass that never looks back. The standard library's
  `html.parser` is quadratic there in some of the Python versions that dripiq runs on (see docs/decisions/0011-templates.md).
- A tree is not built: for text, the order of tags is enough.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Final, NamedTuple

_BLOCKS: Final = frozenset(
    ["address", "article", "aside", "body", "center", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "footer", "form", "header",
     "html", "li", "main", "nav", "option", "section", "summary", "tbody", "tfoot", "thead", "tr"]
)  # fmt: skip
_PARAGRAPHS: Final = frozenset(
    ["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"]
)
_UNSEEN: Final = frozenset(["iframe", "noscript", "script", "style", "svg", "template", "title"])
_VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)

_CELLS: Final = (frozenset(["td", "th", "tr", "tbody", "tfoot"]), frozenset(["tr", "tbody", "thead", "tfoot", "table"]))
_ENDED_BY: Final = {
    "p": (_BLOCKS | _PARAGRAPHS, _BLOCKS | _PARAGRAPHS - {"p"}),
    "li": (frozenset(["li"]), frozenset(["ul", "ol"])),
    "dt": (frozenset(["dt", "dd"]), frozenset(["dl"])),
    "dd": (frozenset(["dt", "dd"]), frozenset(["dl"])),
    "option": (frozenset(["option"]), frozenset(["select"])),
    "tr": (frozenset(["tr", "tbody", "tfoot"]), frozenset(["tbody", "thead", "tfoot", "table"])),
    "td": _CELLS,
    "th": _CELLS,
}
"""Elements whose end tag may be left out, and the tags, opening and closing, that end them then."""

_TAG_STOP: Final = re.compile(r"[>\"']")
_SIMPLE: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)([^<>\"']*)>")
"""Most tags: nothing in them has to be looked at to know where they end."""
_NAME: Final = re.compile(r"/?[A-Za-z][A-Za-z0-9]*")
_ATTRIBUTE: Final = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
_HIDING: Final = re.compile(r"\bhidden\b|display\s*:\s*none", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[ \t\n\r\f]+")
_MANY_BREAKS: Final = re.compile(r"\n{3,}")  # a paragraph of a hard space alone is a blank line, and no more
_ENDS: Final = {name: re.compile(rf"</{name}(?![A-Za-z0-9])", re.IGNORECASE) for name in _UNSEEN}


class _Tag(NamedTuple):
    name: str
    closes: bool
    attributes: str


def text_of_html(html: str) -> str:
    """The text of an HTML document or fragment, lines separated by line feeds and ending with one; empty where there is nothing to read."""
    page = _Page()
    hidden, depth = "", 0
    for token in _tokens(html):
        if hidden and isinstance(token, _Tag) and _left_open(hidden, token):
            hidden = ""
        if hidden:
            if isinstance(token, _Tag) and token.name == hidden:
                depth += -1 if token.closes else 1
                hidden = hidden if depth else ""
        elif not isinstance(token, _Tag):
            page.write(unescape(token) if "&" in token else token)
        elif token.closes:
            page.close(token.name)
        elif token.name not in _VOID and token.attributes and _is_hidden(token.attributes):
            hidden, depth = token.name, 1
        else:
            page.open(token.name, token.attributes)
    return page.text()


def _left_open(name: str, tag: _Tag) -> bool:
    """Whether an element whose end tag may be left out ends where this tag stands (HTML, section 13.1.2.4)."""
    openings, closings = _ENDED_BY.get(name, (frozenset(), frozenset()))
    return tag.name in (closings if tag.closes else openings)


def _tokens(html: str) -> Iterator[str | _Tag]:
    """Text and tags, in their order; without comments, and what stands inside of elements that are not seen."""
    position, quoted = 0, True
    unclosed: set[str] = set()
    while (start := html.find("<", position)) >= 0:
        if start > position:
            yield html[position:start]
        simple = _SIMPLE.match(html, start)
        if simple is not None:
            tag, position = _Tag(simple[2].lower(), bool(simple[1]), simple[3]), simple.end()
        else:
            name = _NAME.match(html, start + 1)
            if name is None and html[start + 1 : start + 2] not in ("!", "?", "/"):
                yield "<"
                position = start + 1
                continue
            end = _end_of(html, start, name, quoted)
            if end < 0 and name is not None and quoted:  # a quote that is never closed: from here on they mean nothing
                quoted, end = False, html.find(">", name.end())
            if end < 0:  # nothing closes it: browsers drop the rest too
                return
            position = end + 1
            if name is None:
                continue
            tag = _Tag(name[0].lstrip("/").lower(), name[0][0] == "/", html[name.end() : end])
        if tag.name in _UNSEEN and not tag.closes and tag.name not in unclosed:
            found = _ENDS[tag.name].search(html, position)
            if found is not None:
                position = found.start()
            unclosed |= {tag.name} if found is None else set()
        yield tag
    if position < len(html):
        yield html[position:]


def _end_of(html: str, start: int, name: re.Match[str] | None, quoted: bool) -> int:
    """Where the tag, comment or declaration that starts there has its last character, -1 where nothing ends it."""
    if html.startswith("<!--", start):
        end = html.find("-->", start + 4)
        return end + 2 if end >= 0 else -1
    return _tag_end(html, name.end()) if name is not None and quoted else html.find(">", start)


def _tag_end(html: str, position: int) -> int:
    """Where the tag's `>` stands that is not inside of quotes, -1 where none does."""
    while (stop := _TAG_STOP.search(html, position)) is not None:
        if stop[0] == ">":
            return stop.start()
        position = html.find(stop[0], stop.end()) + 1
        if not position:
            return -1
    return -1


def _attributes(text: str) -> dict[str, str]:
    return {
        found[1].lower(): unescape(found[2] or found[3] or found[4] or "")
        for found in reversed([*_ATTRIBUTE.finditer(text)])
    }


def _is_hidden(text: str) -> bool:
    if not _HIDING.search(text):
        return False
    attributes = _attributes(text)
    return "hidden" in attributes or "display:none" in attributes.get("style", "").lower().replace(" ", "")


@dataclass(slots=True)
class _Page:
    """Text as it grows, and what the next word needs before it."""

    pieces: list[str] = field(default_factory=list)
    breaks: int = 0
    blank: bool = False
    lists: list[int] = field(default_factory=list)
    """Of each list around: the number of the last item; -1 where they have none."""
    quotes: int = 0
    item: str = ""
    preformatted: int = 0
    link: tuple[str, int] | None = None
    """Where the open link leads, and the piece with which its text begins."""

    def write(self, text: str) -> None:
        if self.preformatted:
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
                self.breaks = min(self.breaks + 1, 2) if number else self.breaks
                self._put(line)
            return
        words = _BLANKS.sub(" ", text)
        self.blank |= words.startswith(" ")
        self._put(words.strip(" "))
        self.blank |= words.endswith(" ")

    def open(self, name: str, attributes: str) -> None:
        self._break(name)
        if name == "br":
            self.breaks = min(self.breaks + 1, 2)
        elif name == "a":
            self._end_link()
            self.link = (_attributes(attributes).get("href", "").strip(), len(self.pieces))
        elif name == "img":
            self.write(_attributes(attributes).get("alt", ""))
        elif name in ("ul", "ol"):
            self.lists.append(0 if name == "ol" else -1)
        elif name == "li":
            self._item()
        elif name == "blockquote":
            self.quotes += 1
        elif name == "pre":
            self.preformatted += 1
        elif name == "hr":
            self._put("---")
            self.breaks = 2

    def close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in ("ul", "ol") and self.lists:
            self.lists.pop()
        elif name == "blockquote":
            self.quotes = max(self.quotes - 1, 0)
        elif name == "pre":
            self.preformatted = max(self.preformatted - 1, 0)
        elif name in ("td", "th"):
            self.blank = True
        self._break(name)

    def text(self) -> str:
        self._end_link()
        lines = "".join(self.pieces).replace("\xa0", " ").split("\n")
        text = _MANY_BREAKS.sub("\n\n", "\n".join(line.rstrip() for line in lines).strip("\n"))
        return f"{text}\n" if text else ""

    def _break(self, name: str) -> None:
        """A list inside of another begins on its next line, as any block; other paragraphs stand apart."""
        if name in _BLOCKS or (name in ("ul", "ol") and self.lists):
            self.breaks = max(self.breaks, 1)
        elif name in _PARAGRAPHS:
            self.breaks = 2

    def _item(self) -> None:
        if self.lists and self.lists[-1] >= 0:
            self.lists[-1] += 1
            self.item = f"{self.lists[-1]}. "
        else:
            self.item = "- "

    def _put(self, words: str) -> None:
        if not words:
            return
        if self.breaks or not self.pieces:
            margin = "> " * min(self.quotes, 8) + "  " * min(max(len(self.lists) - bool(self.item), 0), 8)
            self.pieces.append("\n" * self.breaks * bool(self.pieces) + margin + self.item)
            self.breaks, self.item = 0, ""
        elif self.blank:
            self.pieces.append(" ")
        self.blank = False
        self.pieces.append(words)

    def _end_link(self) -> None:
        if self.link is None:
            return
        target, start = self.link
        self.link = None
        shown = "".join(self.pieces[start:]).strip()
        scheme, _, rest = target.partition(":")
        if not target or target.startswith("#") or scheme.lower() in ("javascript", "data"):
            return
        address = rest.partition("?")[0] if scheme.lower() in ("mailto", "tel") else target
        if not shown:
            self._put(address)
        elif address.strip("/") not in (shown.strip("/"), f"http://{shown}".strip("/"), f"https://{shown}".strip("/")):
            self.pieces.append(f" ({address})")
