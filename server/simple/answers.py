"""The answers to completions and chats, whole or streamed, in OpenAI's shape."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import GalenError
from galen.service.hang_up import unless_hung_up
from galen.transcript import Opening, Splitter
from server.simple.engine import Engine
from server.simple.sequence import Piece, Sequence


class Answer(Response):
    """Sends what is generated, and ends the generation when the client hangs up.

    `request_id` becomes part of the answer's id. `opening` is what a chat's template opened; None
    for a completion. An error before the first byte is rendered with its own status.
    """

    background = None

    def __init__(
        self,
        engine: Engine,
        name: str,
        sequences: list[Sequence],
        request_id: str,
        opening: Opening | None = None,
    ) -> None:
        self._engine, self._sequences, self._request = engine, sequences, sequences[0].request
        self._splitters = [Splitter(opening) for _ in sequences] if opening else []
        self._begun: set[Sequence] = set()
        id = f"{'chatcmpl' if opening else 'cmpl'}-{request_id}"
        kind = "chat.completion" + ".chunk" * self._request.stream if opening else "text_completion"
        self._identity = {"id": id, "object": kind, "created": int(time.time()), "model": name}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_hung_up(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        kind = b"text/event-stream" if self._request.stream else b"application/json"
        head = {"status": 200, "headers": [(b"content-type", kind)]}
        async with aclosing(self._events() if self._request.stream else self._whole()) as chunks:
            chunk = await anext(chunks)
            await send({"type": "http.response.start", **head})
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _whole(self) -> AsyncGenerator[bytes]:
        pieces: list[list[Piece]] = [[] for _ in self._sequences]
        async with aclosing(self._engine.generate(self._sequences)) as outputs:
            async for sequence, piece in outputs:
                pieces[sequence.index].append(piece)
        choices = [self._choice(*each) for each in zip(self._sequences, pieces, strict=True)]
        yield _json({**self._identity, "choices": choices, "usage": self._usage()})

    async def _events(self) -> AsyncGenerator[bytes]:
        """An error on the way becomes an event, since the status has been sent."""
        try:
            async with aclosing(self._engine.generate(self._sequences)) as outputs:
                async for sequence, piece in outputs:
                    choice = self._choice(sequence, [piece])
                    yield _event({**self._identity, "choices": [choice]})
            if self._request.stream_options.get("include_usage"):
                yield _event({**self._identity, "choices": [], "usage": self._usage()})
        except GalenError as error:
            if not self._begun:
                raise
            yield _event({"error": {**error.body()["error"], "code": error.status}})
        yield b"data: [DONE]\n\n"

    def _usage(self) -> dict[str, int]:
        """Tokens read and written; a prompt counts once, however many answers it has."""
        read = sum(len(each.prompt_ids) for each in self._sequences[:: self._request.n])
        written = sum(len(each.token_ids) for each in self._sequences)
        counts = {"prompt_tokens": read, "completion_tokens": written}
        return {**counts, "total_tokens": read + written}

    def _choice(self, sequence: Sequence, pieces: list[Piece]) -> dict[str, Any]:
        """What these pieces add to an answer: the whole answer if it is not streamed."""
        finish_reason = pieces[-1].finish_reason
        choice: dict[str, Any] = {"index": sequence.index, "finish_reason": finish_reason}
        if self._splitters:
            message = self._message(self._splitters[sequence.index], pieces)
            if sequence not in self._begun:
                message["role"] = "assistant"
            choice["delta" if self._request.stream else "message"] = message
        else:
            choice["text"] = "".join(piece.text for piece in pieces)
        self._begun.add(sequence)
        if sequence.reports_logprobs:
            choice["logprobs"] = {"token_logprobs": [_finite(piece.logprob) for piece in pieces]}
        if self._request.return_token_ids:
            choice["token_ids"] = [piece.token for piece in pieces]
        if sequence.prompt_logprobs is not None:
            pairs = zip(sequence.prompt_ids[1:], sequence.prompt_logprobs, strict=True)
            positions = [{str(token): {"logprob": _finite(value)}} for token, value in pairs]
            choice["prompt_logprobs"] = [None, *positions]
        return choice

    def _message(self, splitter: Splitter, pieces: list[Piece]) -> dict[str, str | None]:
        """What these pieces add to a chat's message; a delta leaves out what is not added to."""
        parts = [splitter.feed(piece.text) for piece in pieces]
        parts += [splitter.finish()] if pieces[-1].finish_reason else []
        reasoning = "".join(part.reasoning for part in parts) or None
        content = "".join(part.answer for part in parts) or None
        message = {"reasoning": reasoning, "content": content}
        return {name: text for name, text in message.items() if text or not self._request.stream}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + _json(body) + b"\n\n"


def _json(body: dict[str, Any]) -> bytes:
    """On one line and without spaces, as the gateway's rewriting requires."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _finite(logprob: float) -> float:
    """JSON has no minus infinity."""
    return max(logprob, -9999.0)
