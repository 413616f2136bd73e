"""What of an answer is reasoning and what is content, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from galen.errors import UpstreamFailed
from galen.transcript import Opening
from server.simple.answers import Answer
from server.simple.engine import Engine
from server.simple.protocol import ChatRequest
from server.simple.sequence import Piece, Sequence
from server.simple.tokenizer import Tokenizer


async def sent(text: str, opening: Opening, *, streamed: bool, fails: bool = False) -> list[Any]:
    """The bodies of an answer to a chat, of which each character is a token."""
    request = ChatRequest.model_validate({"messages": [{"role": "user"}], "stream": streamed})
    tokenizer = cast(Tokenizer, SimpleNamespace(most=100, end_ids=(), decode=str))
    its = Sequence(request, [1], tokenizer)

    class Scripted:
        async def generate(self, _: list[Sequence]) -> AsyncIterator[tuple[Sequence, Piece]]:
            for place, character in enumerate(text, 1):
                yield its, Piece(character, 1, 0.0, "stop" if place == len(text) else None)
            if fails:
                raise UpstreamFailed("broken")

    engine = cast(Engine, Scripted())
    answer = Answer(engine, "engine", [its], "7", opening)
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        messages.append(message)

    await answer({"type": "http"}, receive, send)
    text = b"".join(message.get("body", b"") for message in messages).decode()
    if not streamed:
        return [json.loads(text)]
    *lines, done = text.strip().split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


CASES = [
    (Opening.NOTHING, "头痛", None, "头痛"),
    (Opening.NOTHING, "<think>a</think>b", "a", "b"),
    (Opening.THOUGHT, "a</think>b", "a", "b"),
    (Opening.THOUGHT, "a", "a", None),
    (Opening.CLOSED, "b", None, "b"),
    (Opening.NOTHING, "<think>a", "a", None),
]


@pytest.mark.parametrize(("opening", "text", "reasoning", "content"), CASES)
async def test_reasoning_and_content_follow_from_what_the_template_opened(
    opening: Opening, text: str, reasoning: str | None, content: str | None
) -> None:
    """What there is none of is null in a message and left out of deltas."""
    (body,) = await sent(text, opening, streamed=False)
    message = body["choices"][0]["message"]
    assert message == {"role": "assistant", "reasoning": reasoning, "content": content}
    deltas = [body["choices"][0]["delta"] for body in await sent(text, opening, streamed=True)]
    for name, value in (("role", "assistant"), ("reasoning", reasoning), ("content", content)):
        assert "".join(delta.get(name, "") for delta in deltas) == (value or "")


async def test_an_error_amid_a_stream_is_an_event_with_its_status() -> None:
    """The stream's own status has been sent; what comes before the error stays."""
    *chunks, last = await sent("a", Opening.NOTHING, streamed=True, fails=True)
    assert [body["choices"][0]["delta"]["content"] for body in chunks] == ["a"]
    assert (last["error"]["message"], last["error"]["code"]) == ("broken", 502)
