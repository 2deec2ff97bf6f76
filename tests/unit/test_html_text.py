"""What an HTML part reads as, whatever it looks like, and in no more time than its length asks for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.html_text import text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain\n"),
        ("  a \n\t b  ", "a b\n"),
        ("<p>one</p><p>two</p>", "one\n\ntwo\n"),
        ("<div>one<div>two</div></div>three", "one\ntwo\nthree\n"),
        ("one<br>two<br/><br />three", "one\ntwo\n\nthree\n"),
        ("<h1>Title</h1>Text", "Title\n\nText\n"),
        ("a<b>b</b> <i> c</i> d", "ab c d\n"),
        ("Tom &amp; Jerry &lt;3 &#8364; &#x1F600; &nbsp;x &bogus; AT&T", "Tom & Jerry <3 € 😀  x &bogus; AT&T\n"),
        ('see <a href="https://example.com/a?b=1&amp;c=2">our site</a>.', "see our site (https://example.com/a?b=1&c=2).\n"),
        ("<a href=https://example.com>https://example.com/</a>", "https://example.com/\n"),
        ("<a href='https://example.com/x'>example.com/x</a>", "example.com/x\n"),
        ("<a href='mailto:ann@example.com?subject=Hi'>write</a>", "write (ann@example.com)\n"),
        ("<a href='mailto:ann@example.com'>ann@example.com</a>", "ann@example.com\n"),
        ("<a href='#top'>up</a> <a>none</a> <a href='javascript:x()'>js</a>", "up none js\n"),
        ("<a href='https://example.com'><img src=x alt='Our logo'></a>", "Our logo (https://example.com)\n"),
        ("<a href='https://example.com'><img src=x></a>", "https://example.com\n"),
        ("<a href=https://a.test>a<a href=https://b.test>b", "a (https://a.test)b (https://b.test)\n"),
        ("<ul><li>one<li>two<ol><li>a</li><li>b</li></ol></li></ul>end", "- one\n- two\n  1. a\n  2. b\n\nend\n"),
        ("<p>He wrote:</p><blockquote>one<br>two</blockquote>I did.", "He wrote:\n\n> one\n> two\n\nI did.\n"),
        ("<table><tr><td>A</td><td>B</td></tr><tr><td>1</td><td>2</td></tr></table>", "A B\n1 2\n"),
        ("<pre>  a\n   b</pre>", "  a\n   b\n"),
        ("one<hr>two", "one\n\n---\n\ntwo\n"),
        ("a<script>if (a < b) { '</p>' }</script>b<style>p > a {}</style>c", "abc\n"),
        ("<head><title>T</title></head><body>a<!-- <p>no</p> -->b<!DOCTYPE x><?xml ?>c", "abc\n"),
        ("<!--[if mso]><p>Outlook</p><![endif]--><![if !mso]>others<![endif]>", "others\n"),
        ("<div style='color:red; Display : NONE'>preview<div>x</div></div><p hidden>y</p>seen", "seen\n"),
        ("3 < 4 <3 a<", "3 < 4 <3 a<\n"),
        ("a<p", "a\n"),
        ("a<a title='>'>b</a>", "ab\n"),
        ('<p class="x>one</p>two', "one\n\ntwo\n"),
        ("a</nothing></p></ul></blockquote>b", "a\n\nb\n"),
        ("<p>a</p><p>&nbsp;</p><p>b</p>", "a\n\nb\n"),
    ],
)  # fmt: skip
def test_html_reads_as_text(html: str, text: str) -> None:
    assert text_of_html(html) == text


pieces = st.sampled_from(
    ["<", ">", "</", "<!--", "-->", "<p>", "</p>", "<a href=", "'", '"', "<script>", "</script>", "<ul>", "<li>", "<pre>", "\n", " ", "x", "&",
     "&#0;", "&lt;", "<p hidden>", "=", "<title>", "\xa0", "\0", "é"]
)  # fmt: skip


@given(st.lists(pieces, max_size=30).map("".join) | st.text())
def test_whatever_it_is_it_has_a_text(html: str) -> None:
    text = text_of_html(html)
    assert text == "" or (text.endswith("\n") and not text.startswith("\n") and "\n\n\n" not in text)


@given(st.lists(st.sampled_from(["one", "two", "&", "<b>", "é", "3 < 4"]), min_size=1, max_size=6))
def test_every_word_of_a_paragraph_is_kept(words: list[str]) -> None:
    from html import escape

    assert text_of_html(f"<p>{escape(' '.join(words))}</p>") == " ".join(words) + "\n"


HOSTILE = ["<a ", "<!--", "<a href='", '<a ">" ', "<a \"'> ", "<div>", "<ul><li>x", "<table>", "&a", "<a href=x>x", "<title>", "<p hidden>",
           "<blockquote>x", "<", "</", "<p x='", "<pre>\n"]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_length_and_no_faster(piece: str) -> None:
    def spent(length: int) -> float:
        html = piece * (length // len(piece))
        begun = time.process_time()
        text_of_html(html)
        return time.process_time() - begun

    assert spent(400_000) < 2  # what is quadratic takes minutes


@pytest.mark.parametrize(
    "html",
    [
        "<p hidden>Preview<p>Hello",
        "<ul><li hidden>a<li>Hello</ul>",
        "<ul><li hidden>a</ul>Hello",
        "<div><p hidden>a</div>Hello",
        "<table><tr><td hidden>a<td>Hello</table>",
    ],
)
def test_a_hidden_element_whose_end_tag_is_left_out_hides_no_more_than_itself(html: str) -> None:
    assert text_of_html(html).strip("- \n") == "Hello"
