"""`/v1/chat/completions`: plans to a message, whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from server.simple import answers
from server.simple.answers import Identity
from server.simple.engine import SimpleEngine
from server.simple.generate import Piece, Plan
from server.simple.protocol import ChatRequest, NamedTool
from server.simple.reasoning import ReasoningSplitter
from server.simple.sequences import Whole, pieces, wholes
from server.simple.tools import ToolCall, ToolCallParser


class MessageParts:
    """A message's parts as its text comes: reasoning, content, calls.

    `take` gives what a piece of text adds to the message, as a delta has it.
    """

    def __init__(self, request: ChatRequest, *, thinking: bool) -> None:
        choice = request.tool_choice
        self._required = choice == "required"
        self._named = choice.function.name if isinstance(choice, NamedTool) else None
        parses_calls = bool(request.tools) and choice in (None, "auto")
        self._thought = ReasoningSplitter(thinking=thinking, tools=parses_calls)
        self._calls = ToolCallParser() if parses_calls else None
        self._bound = ""
        """What was said under a schema of calls; read as calls when it is whole."""
        self._shows_reasoning = request.include_reasoning
        self._one_call = request.parallel_tool_calls is False
        self.called = 0
        self.reasoning_tokens = 0

    def take(self, text: str, *, finished: bool = False, tokens: int = 0) -> dict[str, Any]:
        if self._thought.is_thinking:
            self.reasoning_tokens += tokens
        told = self._thought.feed(text)
        reasoning, content = told.reasoning, told.content
        if finished:
            reasoning += self._thought.finish().reasoning
        content, calls = self._parse(content, finished=finished)
        delta: dict[str, Any] = {}
        if reasoning and self._shows_reasoning:
            delta["reasoning"] = reasoning
        if content:
            delta["content"] = content
        if tool_calls := list(self._numbered(calls)):
            delta["tool_calls"] = tool_calls
        return delta

    def _parse(self, content: str, *, finished: bool) -> tuple[str, list[ToolCall]]:
        if self._required or self._named:
            self._bound += content
            return ("", bound_calls(self._bound, self._named)) if finished else ("", [])
        if self._calls is None:
            return content, []
        said = self._calls.feed(content)
        content, calls = said.content, list(said.calls)
        if finished:
            last = self._calls.finish()
            content, calls = content + last.content, [*calls, *last.calls]
        return content, calls

    def _numbered(self, calls: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
        for call in calls:
            if not (self._one_call and self.called):
                yield {**call.body(), "index": self.called}
                self.called += 1

    def finish_reason(self, reason: str | None) -> str | None:
        """OpenAI's: `tool_calls` when a call ended it, except one that was asked for by name."""
        return "tool_calls" if reason == "stop" and self.called and not self._named else reason


def bound_calls(text: str, named: str | None) -> list[ToolCall]:
    """The calls in an answer that was bound to hold them; none if it was cut off."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if named:
        return [ToolCall(named, text)]
    return [
        ToolCall(call["name"], json.dumps(call["parameters"], ensure_ascii=False)) for call in said
    ]


class Chat:
    """One request and its answer."""

    def __init__(self, engine: SimpleEngine, request: ChatRequest, plans: Sequence[Plan]) -> None:
        self._engine = engine
        self._request = request
        self._plans = plans
        self._parts = [MessageParts(request, thinking=plan.thinking) for plan in plans]
        self._model = request.model or engine.options.served_model_name

    async def whole(self) -> dict[str, Any]:
        said = await wholes(self._engine, self._plans)
        choices = [self._choice(index, answer) for index, answer in enumerate(said)]
        told = answers.prompt_logprobs(self._engine.tokenizer, said[0].prompt_logprobs)
        more: dict[str, Any] = {
            "usage": self._usage(sum(len(answer.token_ids) for answer in said)),
            "prompt_logprobs": told,
            "prompt_token_ids": None,
        }
        if self._request.return_token_ids:
            more["prompt_token_ids"] = list(self._plans[0].prompt_ids)
        return Identity("chatcmpl", "chat.completion", self._model).body(choices, **more)

    async def stream(self) -> AsyncGenerator[bytes]:
        """Server-sent events, one for each chunk."""
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                yield answers.event(chunk)
        yield answers.DONE

    async def chunks(self) -> AsyncGenerator[dict[str, Any]]:
        """Who speaks, then what each token adds to a message, and at last the usage if asked."""
        identity = Identity("chatcmpl", "chat.completion.chunk", self._model)
        options, written, has_begun = self._request.stream_options, 0, False
        async with aclosing(pieces(self._engine, self._plans)) as said:
            async for piece in said:
                if not has_begun:
                    has_begun = True
                    for body in self._openings(identity):
                        yield body
                written += len(piece.token_ids)
                if (choice := self._chunk(piece)) is None:
                    continue
                body = identity.body([choice])
                if options and options.continuous_usage_stats:
                    body["usage"] = self._usage(written)
                yield body
        if options and options.include_usage:
            yield identity.body([], usage=self._usage(written))

    def _openings(self, identity: Identity) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        if self._request.return_token_ids:
            more["prompt_token_ids"] = list(self._plans[0].prompt_ids)
        for index in range(len(self._plans)):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield identity.body([choice], **more)

    def _usage(self, written: int) -> dict[str, Any]:
        reasoning = sum(parts.reasoning_tokens for parts in self._parts)
        return answers.usage(
            self._plans,
            len(self._plans),
            written,
            completion_tokens_details={"reasoning_tokens": reasoning},
        )

    def _choice(self, index: int, answer: Whole) -> dict[str, Any]:
        parts = self._parts[index]
        message: dict[str, Any] = {"role": "assistant", "content": None, "reasoning": None}
        # Text by text, so that reasoning is counted as it is in a stream.
        for text in answer.texts:
            _join(message, parts.take(text, tokens=1))
        _join(message, parts.take("", finished=True))
        for call in message.get("tool_calls", ()):
            del call["index"]
        if parts.called and message["content"] is not None:
            message["content"] = message["content"].strip() or None
        choice: dict[str, Any] = {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(answer),
            "finish_reason": parts.finish_reason(answer.finish_reason),
            "stop_reason": answer.stop_reason,
            "token_ids": answer.token_ids if self._request.return_token_ids else None,
        }
        return choice

    def _chunk(self, piece: Piece) -> dict[str, Any] | None:
        """None when a token adds nothing that could be told yet."""
        parts, finished = self._parts[piece.index], piece.finish_reason is not None
        delta = parts.take(piece.text, finished=finished, tokens=len(piece.token_ids))
        returns_ids = self._request.return_token_ids
        if not (delta or finished or self._request.logprobs or returns_ids):
            return None
        choice: dict[str, Any] = {
            "index": piece.index,
            "delta": delta,
            "logprobs": self._logprobs(piece),
            "finish_reason": parts.finish_reason(piece.finish_reason),
        }
        if finished:
            choice["stop_reason"] = piece.stop_reason
        if returns_ids:
            choice["token_ids"] = list(piece.token_ids)
        return choice

    def _logprobs(self, said: Whole | Piece) -> dict[str, Any] | None:
        if not self._request.logprobs:
            return None
        return answers.chat_logprobs(
            self._engine.tokenizer,
            said.token_ids,
            said.logprobs,
            self._request.top_logprobs or 0,
            bool(self._request.return_tokens_as_token_ids),
        )


def _join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        message[name] = (message.get(name) or type(value)()) + value
