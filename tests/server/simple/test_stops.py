"""Whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.simple.stops import BROKEN, Detokenizer, StopStrings

texts = st.text(alphabet="ab头痛。\n<>😀", max_size=30)


def decode_bytes(ids: Sequence[int]) -> str:
    """The hardest tokenizer: one token a byte."""
    return bytes(ids).decode("utf-8", "replace")


def sent_by(stops: StopStrings, pieces: Sequence[str]) -> str:
    sent = ""
    for piece in pieces:
        sent += stops.feed(piece)
        if stops.found is not None:
            return sent
    return sent + stops.finish()


def expected(text: str, stops: Sequence[str]) -> str:
    """Up to the stop string that is whole first."""
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    return text[: min(ends)[1]] if ends else text


@given(texts)
def test_no_character_is_ever_split(text: str) -> None:
    """Byte by byte, every piece is whole characters, and together they are the text."""
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.feed(byte) for byte in text.encode()]
    assert detokenizer.finish() == ""
    assert "".join(pieces) == text
    assert not any(BROKEN in piece for piece in pieces)
    # Nothing is held back longer than its character needs.
    assert sum(bool(piece) for piece in pieces) == len(text)


def test_half_a_character_at_the_end_is_told_as_broken() -> None:
    """Cut off by `max_tokens`, its bytes are not lost silently."""
    detokenizer = Detokenizer(decode_bytes)
    assert [detokenizer.feed(byte) for byte in "头".encode()[:2]] == ["", ""]
    assert detokenizer.finish() == BROKEN


@given(texts, st.lists(st.text(alphabet="ab头<>", min_size=1, max_size=4), max_size=3), st.data())
def test_text_ends_before_the_first_stop_string_however_it_is_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    """A stop string that comes in pieces is found, and no part of it is sent before."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert sent_by(StopStrings(stops), pieces) == expected(text, stops)


def test_what_cannot_become_a_stop_string_is_sent_at_once() -> None:
    """Only the characters with which one may begin are held back."""
    stops = StopStrings(["</end>"])
    assert [stops.feed(piece) for piece in ("a", "b</", "e", "x")] == ["a", "b", "", "</ex"]


def test_the_stop_string_is_named_and_kept_if_asked_for() -> None:
    """`include_stop_str_in_output`."""
    stops = StopStrings(["。"], include=True)
    assert stops.feed("好。更多") == "好。"
    assert stops.found == "。"


def test_nothing_stops_before_it_may() -> None:
    """A stop string within the first `min_tokens` tokens counts as text, also in its last part."""
    stops = StopStrings(["ab"])
    assert stops.feed("ab", armed=False) == "ab"
    assert stops.feed("a", armed=False) == ""
    assert stops.feed("b") == ""
    assert stops.found == "ab"
