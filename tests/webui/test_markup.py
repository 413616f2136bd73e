"""A model's text as harmless HTML."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from webui.markup import Mark, escape, plain, rendered
from webui.text import Part, storable

HARMLESS = {"div", "br", "mark", "strong"}
anything = st.text(alphabet=st.characters(exclude_categories=()))
PIECES = (
    *("<script>", "</div>", "<img src=x onerror=", '"', "'", "&lt;", "**", "\n", "# ", "- "),
    *("![a](http://x)", "${", "{{", "药"),
)
hostile = st.lists(st.sampled_from(PIECES)).map("".join)
marks = st.lists(
    st.builds(Mark, st.integers(0, 40), st.integers(0, 40), hostile, st.booleans()), max_size=5
)


class Reader(HTMLParser):
    """What a browser would see: tags with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "br":
            self.handle_data("\n")

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.one_of(anything, hostile), marks)
def test_model_text_yields_only_harmless_tags(text: str, given_marks: list[Mark]) -> None:
    """Whatever a model writes, no tag and no attribute comes from it."""
    for tag, attributes in Reader(rendered(Part(text, 3), given_marks)).tags:
        assert tag in HARMLESS
        assert set(attributes) <= {"class", "title"}


@given(st.one_of(anything, hostile))
def test_plain_text_shows_every_character(text: str) -> None:
    """Escaping loses nothing: the browser's text is the text given."""
    expected = storable(text).replace("\r\n", "\n").replace("\r", "\n")
    assert Reader(plain(text)).text == expected


@given(st.text(alphabet="药a1，。<&>\"' "), marks)
def test_marks_change_no_word(text: str, given_marks: list[Mark]) -> None:
    """With or without marks the same text is shown."""
    assert Reader(rendered(Part(text, 3), given_marks)).text == text


@given(st.one_of(anything, hostile))
def test_markup_is_one_line(text: str) -> None:
    """A Markdown renderer leaves one line of HTML alone; a blank line would end it."""
    assert "\n" not in rendered(Part(text, 0)) + plain(text)


def test_span_marks_its_words_wherever_the_part_begins() -> None:
    """Spans count in the whole completion, of which the part is a stretch."""
    html = rendered(Part("请尽快就医。", 10), [Mark(11, 13, "建议就医 +0.15", good=True)])
    assert '请<mark class="hit-good" title="建议就医 +0.15">尽快</mark>就医。' in html


def test_overlapping_marks_are_bad_where_one_is() -> None:
    """A stretch seen by two rules bears both names and the worse colour."""
    html = rendered(Part("abcd", 0), [Mark(0, 3, "good", True), Mark(2, 4, "bad", False)])
    assert html == (
        '<div class="galen-text"><mark class="hit-good" title="good">ab</mark>'
        '<mark class="hit-bad" title="good；bad">c</mark>'
        '<mark class="hit-bad" title="bad">d</mark></div>'
    )


def test_mark_over_everything_points_at_nothing() -> None:
    """A rule that saw the whole reasoning does not paint all of it."""
    assert "<mark" not in rendered(Part("想一想", 8), [Mark(8, 11, "有思考过程", True)])


def test_headings_bold_and_bullets_are_understood() -> None:
    """What answers are full of reads as it was meant."""
    html = rendered(Part("## 建议\n- **多喝水**\n- 休息", 0))
    assert html == (
        '<div class="galen-text"><strong>建议</strong><br>• <strong>多喝水</strong><br>• 休息</div>'
    )


def test_quotes_cannot_end_an_attribute() -> None:
    """A label with a quote in it stays inside its title."""
    html = rendered(Part("ab", 0), [Mark(0, 1, '"><script>', good=False)])
    assert Reader(html).tags[1] == ("mark", {"class": "hit-bad", "title": '"><script>'})


def test_what_no_page_can_hold_is_shown_as_missing() -> None:
    """NUL and lone surrogates become the replacement character."""
    assert escape("a\x00b\ud800") == "a\ufffdb\ufffd"
