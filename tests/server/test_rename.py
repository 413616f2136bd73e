"""The model's name is replaced however the stream is cut, and nothing else is."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from server.rename import ModelRenamer

ENGINE, PUBLIC = "engine-4f2a", "policy@v1"
EVENT = b'data: {"id":"1","model":"engine-4f2a","choices":[]}\n\n'
RENAMED = b'data: {"id":"1","model":"policy@v1","choices":[]}\n\n'


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(st.integers(1, 4), st.lists(st.integers(0, 400)))
def test_every_field_is_renamed_wherever_the_stream_is_cut(events: int, cuts: list[int]) -> None:
    """The joined output is the same whatever the chunk boundaries are."""
    renamer = ModelRenamer(ENGINE, PUBLIC)
    out = b"".join(renamer.feed(piece) for piece in pieces_of(EVENT * events, cuts))
    assert out + renamer.finish() == RENAMED * events


def test_a_whole_event_is_passed_on_at_once() -> None:
    """No byte of an event waits for the next one, or streams would lag."""
    renamer = ModelRenamer(ENGINE, PUBLIC)
    assert renamer.feed(EVENT) == RENAMED


def test_only_what_may_begin_the_field_is_held_back() -> None:
    """A piece that ends inside the field goes out up to where the field begins."""
    renamer = ModelRenamer(ENGINE, PUBLIC)
    assert renamer.feed(b'{"id":"1","mod') == b'{"id":"1",'
    assert renamer.feed(b"e") == b""
    assert renamer.feed(b'ration":1}') == b'"moderation":1}'


@given(st.text())
def test_text_that_a_model_writes_is_never_changed(text: str) -> None:
    """What stands inside a JSON string has its quotes escaped, so it is no field."""
    written = f'{text}"model":"{ENGINE}"{text}'
    raw = json.dumps({"text": written}, separators=(",", ":")).encode()
    renamer = ModelRenamer(ENGINE, PUBLIC)
    assert json.loads(renamer.feed(raw) + renamer.finish()) == {"text": written}
