"""`/v1/messages`: Anthropic's API as a translation of chat, whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field

from galen.errors import GalenError
from server.simple import answers, plans
from server.simple.chat import Chat
from server.simple.engine import SimpleEngine
from server.simple.errors import wrong
from server.simple.message_events import Blocks, event, tool_use
from server.simple.protocol import ChatRequest, NotEmpty, Stops, Wire, parse
from server.simple.texts import text_of

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
PASSED_ON = ("model", "temperature", "top_p", "top_k", "stream", "priority")


class TheirTool(Wire):
    name: NotEmpty
    description: str | None = None
    input_schema: dict[str, Any]


class ToolChoice(Wire):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Thinking(Wire):
    type: Literal["enabled", "disabled", "adaptive"]


class CountRequest(Wire):
    """What is read of a request to count its tokens."""

    model: str | None = None
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: list[TheirTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None

    def chat(self) -> dict[str, Any]:
        """The conversation as chat completions have it."""
        body: dict[str, Any] = {"model": self.model, "messages": list(self._turns())}
        if self.tools:
            body["tools"] = [_tool(tool) for tool in self.tools]
        if self.tools and self.tool_choice:
            choice = self.tool_choice
            named = {"type": "function", "function": {"name": choice.name}}
            body["tool_choice"] = TOOL_CHOICES.get(choice.type, named)
            body["parallel_tool_calls"] = not choice.disable_parallel_tool_use
        if self.thinking:
            enabled = self.thinking.type != "disabled"
            body["chat_template_kwargs"] = {"enable_thinking": enabled}
        return body

    def _turns(self) -> Iterator[dict[str, Any]]:
        if self.system:
            yield {"role": "system", "content": text_of("system", self.system)}
        for index, message in enumerate(self.messages):
            role, where = message.get("role"), f"messages.{index}"
            if role not in ("user", "assistant"):
                raise wrong(f"{where}.role", "must be user or assistant")
            yield from _turn(where, role, message.get("content"))


class MessagesRequest(CountRequest):
    max_tokens: int = Field(ge=1)
    stop_sequences: Stops | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    priority: int = 0

    def chat(self) -> dict[str, Any]:
        body = super().chat() | {name: getattr(self, name) for name in PASSED_ON}
        body |= {"max_tokens": self.max_tokens, "stop": self.stop_sequences}
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return body


class Messages:
    """One request and its answer."""

    def __init__(self, engine: SimpleEngine, raw: bytes) -> None:
        self.request = parse(MessagesRequest, raw)
        request = as_chat(self.request)
        planned = plans.of_chat(engine, request)
        self._chat = Chat(engine, request, planned)
        self._read = len(planned[0].prompt_ids)

    async def whole(self) -> dict[str, Any]:
        told = await self._chat.whole()
        (choice,) = told["choices"]
        message = choice["message"]
        content = []
        if message["reasoning"]:
            content.append({"type": "thinking", "thinking": message["reasoning"], "signature": ""})
        if message["content"]:
            content.append({"type": "text", "text": message["content"]})
        for call in message.get("tool_calls", ()):
            block = {**tool_use(call), "input": json.loads(call["function"]["arguments"])}
            content.append(block)
        body = self._message(told, content, told["usage"]["completion_tokens"])
        return body | _end(choice, called="tool_calls" in message)

    async def stream(self) -> AsyncGenerator[bytes]:
        """Their events: the message, each block's beginning, pieces and end, the message's end."""
        try:
            async with aclosing(self._chat.chunks()) as chunks:
                async for told in self._events(chunks):
                    yield told
        except GalenError as error:
            yield event("error", error={"type": "internal_error", "message": error.message})

    async def _events(self, chunks: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
        blocks, has_begun = Blocks(), False
        end: dict[str, Any] = {}
        async for chunk in chunks:
            if not has_begun:
                has_begun = True
                yield event("message_start", message=self._message(chunk, [], 0))
            for choice in chunk["choices"]:
                for told in blocks.add(choice["delta"]):
                    yield told
                if choice["finish_reason"]:
                    end = _end(choice, called=blocks.called)
            if "usage" in chunk:
                for told in blocks.close():
                    yield told
                written = {"output_tokens": chunk["usage"]["completion_tokens"]}
                yield event("message_delta", delta=end, usage=written)
        yield event("message_stop")

    def _message(self, told: dict[str, Any], content: Any, written: int) -> dict[str, Any]:
        return {
            "id": told["id"].replace("chatcmpl-", "msg_"),
            "type": "message",
            "role": "assistant",
            "model": told["model"],
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._read, "output_tokens": written},
        }


def as_chat(request: CountRequest) -> ChatRequest:
    """The chat request that stands for one of theirs."""
    body = {"max_tokens": 1, **request.chat()}
    return parse(ChatRequest, answers.encode(body))


def _turn(where: str, role: str, content: Any) -> Iterator[dict[str, Any]]:
    """One of their messages as one of ours, and one more for each result of a tool."""
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    if not isinstance(content, list):
        raise wrong(f"{where}.content", "must be a string or a list of blocks")
    turn: dict[str, Any] = {"role": role, "content": "", "tool_calls": []}
    for place, block in enumerate(content):
        here = f"{where}.content.{place}"
        match block:
            case {"type": "text", "text": str(text)}:
                turn["content"] += text
            case {"type": "thinking", "thinking": str(thought)}:
                turn["reasoning"] = turn.get("reasoning", "") + thought
            case {"type": "tool_use", "id": str(id_), "name": str(name), "input": dict(given)}:
                function = {"name": name, "arguments": json.dumps(given, ensure_ascii=False)}
                turn["tool_calls"].append({"id": id_, "type": "function", "function": function})
            case {"type": "tool_result", "tool_use_id": str(id_)}:
                said = text_of(here, block.get("content") or "")
                yield {"role": "tool", "tool_call_id": id_, "content": said}
            case _:
                raise wrong(here, "this model reads no block of such a type")
    if turn["content"] or turn["tool_calls"] or "reasoning" in turn:
        yield turn


def _tool(tool: TheirTool) -> dict[str, Any]:
    function = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _end(choice: dict[str, Any], *, called: bool) -> dict[str, Any]:
    """Why the message ended, by their names."""
    reason, stop = choice["finish_reason"], choice.get("stop_reason")
    if isinstance(stop, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    told = "tool_use" if called and reason == "stop" else STOP_REASONS[reason]
    return {"stop_reason": told, "stop_sequence": None}
