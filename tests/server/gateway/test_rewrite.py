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
from server.paths import CHAT, MESSAGES

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


@given(cuts)
def test_an_error_amid_messages_has_anthropics_name(cuts: list[int]) -> None:
    """The engine's own name for it is none that their API has; a text that says so stays."""
    error = {"type": "error", "error": {"type": "internal_error", "message": "m"}}
    told = b"event: error\ndata: " + compact(error) + b"\n\n"
    text = b"data: " + compact({"delta": {"text": told.decode()}, "input": error}) + b"\n\n"
    expected = text + told.replace(b"internal_error", b"api_error")
    assert rewritten(text + told, cuts, "/v1/messages") == expected


@given(cuts)
def test_a_refusal_amid_a_stream_has_words_for_its_numbers(cuts: list[int]) -> None:
    """vLLM writes it with blanks and a number for a code; what comes around it stays."""
    error = {"message": "no such grammar", "type": "BadRequestError", "param": None, "code": 400}
    told = f"data: {json.dumps({'error': error})}\n\n".encode()
    done = b"data: [DONE]\n\n"
    first, refused, *rest = rewritten(EVENT + told + done, cuts).split(b"\n\n")
    assert (first + b"\n\n", rest) == (RENAMED, [b"data: [DONE]", b""])
    worded = {**error, "type": "invalid_request_error", "code": "invalid_request"}
    assert json.loads(refused.removeprefix(b"data: ")) == {"error": worded}


NO_PIECE = (
    "2 validation errors for ChatCompletionStreamResponse\nmodel\n  Field required [type=missing,"
    " input_value={{'error': {{'message': '{said}...am': None, 'code': {code}}}}}, input_type=dict]"
    "\n    For further information visit https://errors.example/missing\nchoices\n  Field required"
)


def amid_messages(said: str, code: int) -> bytes:
    """What vLLM makes of a refusal in a stream of messages; it keeps two letters of its words."""
    error = {"type": "internal_error", "message": NO_PIECE.format(said=said, code=code)}
    return b"event: error\ndata: " + compact({"type": "error", "error": error}) + b"\n\n"


def messages_error(stream: bytes, cuts: Sequence[int] = (), *, constrained: bool) -> dict[str, Any]:
    rewriter = Rewriter(ENGINE, PUBLIC, MESSAGES, constrained=constrained)
    told = b"".join(rewriter.feed(piece) for piece in pieces_of(stream, cuts)) + rewriter.finish()
    *_, name, data = told.strip().split(b"\n")
    assert name == b"event: error"
    error: dict[str, Any] = json.loads(data.removeprefix(b"data: "))["error"]
    return error


@pytest.mark.parametrize(
    ("said", "code", "constrained", "kind", "words"),
    [
        ("Gr", 400, True, "invalid_request_error", "ask without stream"),
        ("Gr", 400, False, "invalid_request_error", "ask without stream"),
        ("In", 500, True, "invalid_request_error", "could not follow the schema"),
        ("In", 500, False, "api_error", "failed at this request"),
        ("li", 500, True, "api_error", "failed at this request"),
        ("En", 500, True, "overloaded_error", "try again shortly"),
        ("En", 500, False, "overloaded_error", "try again shortly"),
        ("Re", 503, True, "overloaded_error", "failed at this request"),
    ],
)
def test_a_refusal_amid_messages_is_told_in_our_words(
    said: str, code: int, constrained: bool, kind: str, words: str
) -> None:
    """Its kind is by the refusal's code; vLLM's dump, which may hold values, is not told."""
    error = messages_error(EVENT + amid_messages(said, code), constrained=constrained)
    assert error["type"] == kind
    assert words in error["message"] and "validation" not in error["message"]


def test_no_dump_of_values_is_shown_amid_messages() -> None:
    """Whatever else vLLM fails to read tells that it failed, and not what was in it."""
    dump = "1 validation error for X\na\n  Bad [type=bad, input_value='my secret', input_type=str]"
    error = {"type": "error", "error": {"type": "internal_error", "message": dump}}
    told = messages_error(b"event: error\ndata: " + compact(error) + b"\n\n", constrained=True)
    assert told["type"] == "api_error"
    assert "secret" not in told["message"]


@given(cuts)
def test_a_refusal_amid_messages_is_found_however_it_is_cut(cuts: list[int]) -> None:
    """Its lines may come in any pieces."""
    stream = EVENT + amid_messages("Gr", 400)
    assert messages_error(stream, cuts, constrained=False) == messages_error(
        stream, constrained=False
    )


def gave_up() -> bytes:
    error = {"message": "Internal server error", "type": "InternalServerError", "param": None}
    return f"data: {json.dumps({'error': {**error, 'code': 500}})}\n\n".encode()


@pytest.mark.parametrize(
    ("constrained", "kind", "code"),
    [(True, "invalid_request_error", "invalid_request"), (False, "server_error", "engine_error")],
)
def test_a_schema_that_cannot_be_followed_is_the_callers(
    constrained: bool, kind: str, code: str
) -> None:
    """vLLM gives up such a request as it does for its own faults; without a schema it is one."""
    rewriter = Rewriter(ENGINE, PUBLIC, CHAT, constrained=constrained)
    error = json.loads(rewriter.feed(gave_up()).removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == (kind, code)
    assert ("schema or grammar" in error["message"]) is constrained


def test_a_refusal_is_reworded_beside_reasoning_too() -> None:
    """They may come in one piece; each is changed as if it came alone."""
    thought = event({"reasoning": "hm"})
    assert rewritten(thought + gave_up()) == rewritten(thought) + rewritten(gave_up())


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
