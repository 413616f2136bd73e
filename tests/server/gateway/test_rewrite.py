"""An answer is rewritten alike however it is cut, and nothing that stands in a string changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gateway.rewrite import Rewriter
from server.paths import CHAT

ENGINE, PUBLIC = "engine-4f2a", "policy@v1"
EVENT = b'data: {"id":"1","model":"engine-4f2a","choices":[]}\n\n'
RENAMED = b'data: {"id":"1","model":"policy@v1","choices":[]}\n\n'
NASTY = (
    '"reasoning":',
    '"reasoning":"x"',
    ',"reasoning":null',
    '{"reasoning":"x"}',
    '"reasoning_content":',
    f'"model":"{ENGINE}"',
    f',"model":"{ENGINE}"',
    "\\",
    '\\"',
    '"',
    ",",
    "{",
    "\n",
    "\r",
    "\u2028",
    "data: ",
)
texts = st.lists(st.sampled_from(NASTY) | st.text(max_size=5), max_size=6).map("".join)
cuts = st.lists(st.integers(0, 2000), max_size=12)
plain_deltas = st.fixed_dictionaries({"content": texts})
thinking_deltas = st.fixed_dictionaries(
    {"reasoning": texts | st.none()}, optional={"role": texts, "content": texts | st.none()}
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def compact(value: Any, *, ascii_only: bool = False) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def event(delta: dict[str, Any], *, ascii_only: bool = False) -> bytes:
    chunk = {"id": "1", "model": ENGINE, "choices": [{"index": 0, "delta": delta}]}
    return b"data: " + compact(chunk, ascii_only=ascii_only) + b"\n\n"


def pieces_of(text: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def rewritten(text: bytes, cuts: Sequence[int] = (), path: str = CHAT) -> bytes:
    rewriter = Rewriter(ENGINE, PUBLIC, path)
    return b"".join(rewriter.feed(piece) for piece in pieces_of(text, cuts)) + rewriter.finish()


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, read as a client reads them; only a line break ends a line."""
    lines = stream.decode().split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


@given(st.lists(plain_deltas | thinking_deltas, min_size=1, max_size=4), cuts, st.booleans())
def test_a_stream_is_rewritten_alike_wherever_it_is_cut(
    deltas: list[dict[str, Any]], cuts: list[int], ascii_only: bool
) -> None:
    """Each event names the version and its reasoning twice; the rest is as it was."""
    stream = b"".join(event(delta, ascii_only=ascii_only) for delta in deltas)
    told = rewritten(stream, cuts)
    assert told == rewritten(stream)
    assert [chunk["model"] for chunk in chunks_of(told)] == [PUBLIC] * len(deltas)
    for chunk, delta in zip(chunks_of(told), deltas, strict=True):
        mirrored = {"reasoning_content": delta["reasoning"]} if "reasoning" in delta else {}
        assert chunk["choices"][0]["delta"] == {**delta, **mirrored}


@given(st.lists(thinking_deltas, min_size=1, max_size=4), cuts)
def test_a_whole_answer_is_rewritten_alike_wherever_it_is_cut(
    messages: list[dict[str, Any]], cuts: list[int]
) -> None:
    """The same for a body without line breaks and with several choices."""
    choices = [{"index": n, "message": said} for n, said in enumerate(messages)]
    told = json.loads(rewritten(compact({"model": ENGINE, "choices": choices}), cuts))
    assert told["model"] == PUBLIC
    for choice, said in zip(told["choices"], messages, strict=True):
        assert choice["message"] == {**said, "reasoning_content": said["reasoning"]}


@given(texts, cuts)
def test_what_stands_inside_a_string_is_never_changed(text: str, cuts: list[int]) -> None:
    """Fields written in a text are text, as a value, as a key, and as a piece of a longer one."""
    keys_that_end_so = {f'{text}"reasoning': text, f'{text}"model': ENGINE}
    raw = compact({"a": text, f"k{text}": [text], "b": keys_that_end_so})
    assert rewritten(raw, cuts) == raw


@given(any_json, cuts)
def test_any_json_stays_json_of_the_same_values(value: Any, cuts: list[int]) -> None:
    """Outside chat completions nothing but the name changes; other values come out as they are."""
    raw = compact({"output": value, "model": ENGINE})
    told = json.loads(rewritten(raw, cuts, "/v1/responses"))
    assert told["model"] == PUBLIC
    named_so = f'"model":"{ENGINE}"'.encode()
    if named_so not in compact(value):
        assert told["output"] == value


@given(st.lists(plain_deltas | thinking_deltas, min_size=1, max_size=3))
def test_rewriting_twice_is_rewriting_once(deltas: list[dict[str, Any]]) -> None:
    """An engine that gives both names already keeps one of each."""
    once = rewritten(b"".join(event(delta) for delta in deltas))
    assert rewritten(once) == once


@given(st.lists(thinking_deltas, min_size=1, max_size=2), st.lists(thinking_deltas), cuts)
def test_each_event_is_looked_at_by_itself(
    done: list[dict[str, Any]], left: list[dict[str, Any]], cuts: list[int]
) -> None:
    """One that has both names already says nothing about the next, in the same piece or not."""
    first = rewritten(b"".join(event(delta) for delta in done))
    rest = b"".join(event(delta) for delta in left)
    assert rewritten(first + rest, cuts) == first + rewritten(rest)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages", "/tokenize"])
def test_reasoning_is_mirrored_in_chat_completions_alone(path: str) -> None:
    """Elsewhere the field has another meaning: in a response it says how hard to think."""
    raw = compact({"model": ENGINE, "reasoning": None})
    assert rewritten(raw, path=path) == compact({"model": PUBLIC, "reasoning": None})


def test_names_beyond_ascii_are_found_as_engines_write_them() -> None:
    """Engines write a letter as it is, never as an escape."""
    rewriter = Rewriter("模型", "policy@一", "/v1/completions")
    told = rewriter.feed('data: {"model":"模型"}\n\n'.encode())
    assert told == 'data: {"model":"policy@一"}\n\n'.encode()


def test_a_whole_event_is_passed_on_at_once() -> None:
    """No byte of an event waits for the next one, or streams would lag."""
    rewriter = Rewriter(ENGINE, PUBLIC, CHAT)
    assert rewriter.feed(EVENT) == RENAMED
    assert rewriter.finish() == b""


def test_only_an_unfinished_event_is_held_back() -> None:
    """The events before it go out, and it follows as soon as it is whole."""
    rewriter = Rewriter(ENGINE, PUBLIC, CHAT)
    assert rewriter.feed(EVENT + b'data: {"id":"1","mod') == RENAMED
    assert rewriter.feed(b'el":"engine-4f2a"}\n') == b""
    assert rewriter.feed(b"\n") == b'data: {"id":"1","model":"policy@v1"}\n\n'
    assert rewriter.finish() == b""
