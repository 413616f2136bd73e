"""`/v1/responses`: OpenAI's newer API as a translation of chat. Nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field

from galen.errors import GalenError
from server.simple import answers, plans
from server.simple.chat import Chat
from server.simple.engine import SimpleEngine
from server.simple.errors import wrong
from server.simple.protocol import ChatRequest, NotEmpty, Wire, parse
from server.simple.response_output import Output
from server.simple.texts import text_of

PASSED_ON = (
    *("model", "temperature", "top_p", "top_k", "seed", "priority", "ignore_eos"),
    *("parallel_tool_calls", "chat_template_kwargs"),
)


class FlatTool(Wire):
    type: Literal["function"]
    name: NotEmpty
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def nested(self) -> dict[str, Any]:
        """The tool as chat completions have it."""
        return {"type": "function", "function": self.model_dump(exclude={"type"})}


class ToolChoice(Wire):
    type: Literal["function"]
    name: NotEmpty


class Format(Wire):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


class Text(Wire):
    format: Format = Format()


class Reasoning(Wire):
    effort: str | None = None


class ResponsesRequest(Wire):
    input: NotEmpty | Annotated[list[dict[str, Any]], Field(min_length=1)]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    priority: int = 0
    ignore_eos: bool = False
    stream: bool | None = None
    tools: list[FlatTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    metadata: dict[str, str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def chat(self) -> dict[str, Any]:
        """The request as chat completions have it."""
        body: dict[str, Any] = {name: getattr(self, name) for name in PASSED_ON}
        body |= {"messages": list(self._turns()), "max_completion_tokens": self.max_output_tokens}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.tools:
            named = self.tool_choice
            if isinstance(named, ToolChoice):
                body["tool_choice"] = {"type": "function", "function": {"name": named.name}}
            elif named:
                body["tool_choice"] = named
            body["tools"] = [tool.nested() for tool in self.tools]
        if self.reasoning:
            body["reasoning_effort"] = self.reasoning.effort
        if self.text:
            asked = self.text.format
            schema = {"name": asked.name, "schema": asked.json_schema}
            is_schema = asked.type == "json_schema"
            body["response_format"] = {
                "type": asked.type,
                "json_schema": schema if is_schema else None,
            }
        return body

    def _turns(self) -> Iterator[dict[str, Any]]:
        if self.instructions:
            yield {"role": "system", "content": self.instructions}
        if isinstance(self.input, str):
            yield {"role": "user", "content": self.input}
            return
        reasoning: dict[str, str] = {}
        for index, item in enumerate(self.input):
            if item.get("type") == "reasoning":
                thought = text_of(f"input.{index}.content", item.get("content") or [])
                reasoning = {"reasoning": thought}
                continue
            turn = _turn(index, item)
            if turn["role"] == "assistant":
                turn, reasoning = {**turn, **reasoning}, {}
            yield turn


class Responses:
    """One request and its answer."""

    def __init__(self, engine: SimpleEngine, raw: bytes) -> None:
        self.request = parse(ResponsesRequest, raw)
        request = parse(ChatRequest, answers.encode(self.request.chat()))
        self._model = request.model or engine.options.served_model_name
        self._chat = Chat(engine, request, plans.of_chat(engine, request))
        self._output = Output()
        self._usage: dict[str, Any] | None = None
        self._was_cut = False
        self._identity = answers.Identity("resp", "response", self._model)

    async def whole(self) -> dict[str, Any]:
        async with aclosing(self._items()) as events:
            async for _ in events:
                pass
        return self._body("incomplete" if self._was_cut else "completed")

    async def stream(self) -> AsyncGenerator[bytes]:
        """Their events, numbered: the response, each item's way, and the response again."""
        number = 0
        async with aclosing(self._events()) as events:
            async for kind, told in events:
                body = {"type": kind, "sequence_number": number, **told}
                yield b"event: " + kind.encode() + b"\n" + answers.event(body)
                number += 1

    async def _events(self) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        for kind in ("response.created", "response.in_progress"):
            yield kind, {"response": self._body("in_progress")}
        try:
            async with aclosing(self._items()) as events:
                async for event in events:
                    yield event
        except GalenError as error:
            yield "error", {"code": error.code, "message": error.message, "param": error.param}
            return
        # As vLLM has it, also for one that was cut off; its status says so.
        status = "incomplete" if self._was_cut else "completed"
        yield "response.completed", {"response": self._body(status)}

    async def _items(self) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        async with aclosing(self._chat.chunks()) as chunks:
            async for chunk in chunks:
                self._usage = chunk.get("usage")
                for choice in chunk["choices"]:
                    for event in self._output.add(choice["delta"]):
                        yield event
                    self._was_cut = choice["finish_reason"] == "length"
                    if choice["finish_reason"]:
                        for event in self._output.close():
                            yield event

    def _body(self, status: str) -> dict[str, Any]:
        request = self.request
        return {
            "id": f"resp_{self._identity.id}",
            "object": "response",
            "created_at": self._identity.created,
            "model": self._model,
            "status": status,
            "output": self._output.items,
            "incomplete_details": {"reason": "max_output_tokens"} if self._was_cut else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tool_choice": "auto" if request.tool_choice is None else _plain(request.tool_choice),
            "tools": [tool.model_dump() for tool in request.tools or ()],
            "usage": self._told_usage(),
        }

    def _told_usage(self) -> dict[str, Any] | None:
        if self._usage is None:
            return None
        return {
            "input_tokens": self._usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self._usage["completion_tokens"],
            "output_tokens_details": self._usage["completion_tokens_details"],
            "total_tokens": self._usage["total_tokens"],
        }


def _plain(choice: str | ToolChoice) -> Any:
    return choice if isinstance(choice, str) else choice.model_dump()


def _turn(index: int, item: dict[str, Any]) -> dict[str, Any]:
    """One item of the input as one message."""
    where = f"input.{index}.content"
    match item:
        case {"type": "function_call", "call_id": str(id_), "name": str(name)}:
            function = {"name": name, "arguments": item.get("arguments") or "{}"}
            call = {"id": id_, "type": "function", "function": function}
            return {"role": "assistant", "content": "", "tool_calls": [call]}
        case {"type": "function_call_output", "call_id": str(id_), "output": output}:
            return {"role": "tool", "tool_call_id": id_, "content": text_of(where, output)}
        case {"role": str(role), "content": content} if item.get("type", "message") == "message":
            told = "system" if role == "developer" else role
            return {"role": told, "content": text_of(where, content)}
    raise wrong(f"input.{index}", "this model reads no such item")
