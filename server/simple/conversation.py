"""A conversation made ready for the chat template, as vLLM makes it."""

from __future__ import annotations

import json
from typing import Any

from server.simple.engine import SimpleEngine
from server.simple.errors import wrong
from server.simple.protocol import ChatRequest, Conversation


def prompt_ids(engine: SimpleEngine, request: Conversation) -> list[int]:
    """Token ids of the conversation up to where the answer begins."""
    text = render(engine, request)
    most = engine.options.max_model_len if isinstance(request, ChatRequest) else None
    return engine.tokenizer.encode(text, special=request.add_special_tokens, most=most)


def render(engine: SimpleEngine, request: Conversation) -> str:
    add = request.add_generation_prompt and not request.continue_final_message
    with_tools = not (isinstance(request, ChatRequest) and request.tool_choice == "none")
    tools = [tool.body() for tool in request.tools or ()] if with_tools else []
    return engine.tokenizer.render(
        [_message(index, message) for index, message in enumerate(request.messages)],
        tools or None,
        add_generation_prompt=add,
        continue_final_message=request.continue_final_message,
        more=_template_kwargs(request),
    )


def thinks(request: ChatRequest) -> bool:
    """Whether the answer begins with a thought."""
    return bool(_template_kwargs(request).get("enable_thinking", True))


def _template_kwargs(request: Conversation) -> dict[str, Any]:
    more = dict(request.chat_template_kwargs or {})
    if isinstance(request, ChatRequest) and request.reasoning_effort is not None:
        more.setdefault("enable_thinking", request.reasoning_effort != "none")
    return more


def _message(index: int, message: dict[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    if not isinstance(role, str):
        raise wrong(f"messages.{index}.role", "must be a string")
    ready: dict[str, Any] = {"role": role, "content": _text(index, message.get("content"))}
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    if isinstance(reasoning, str):
        # Templates differ in the name.
        ready |= {"reasoning": reasoning, "reasoning_content": reasoning}
    for name in ("name", "tool_call_id"):
        if isinstance(message.get(name), str):
            ready[name] = message[name]
    if calls := message.get("tool_calls"):
        ready["tool_calls"] = _calls(index, calls)
    return ready


def _text(index: int, content: Any) -> str:
    """A message's text; parts stand on lines of their own."""
    if content is None or isinstance(content, str):
        return content or ""
    where = f"messages.{index}.content"
    if not isinstance(content, list):
        raise wrong(where, "must be a string or a list of parts")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise wrong(where, "only parts of text are taken; this model reads nothing else")
        texts.append(text)
    return "\n".join(texts)


def _calls(index: int, calls: Any) -> list[dict[str, Any]]:
    """Earlier calls with their arguments as objects, which is how templates write them."""
    try:
        return [_call(call) for call in calls]
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError):
        where = f"messages.{index}.tool_calls"
        raise wrong(where, "must be calls whose arguments are JSON") from None


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    return {**call, "function": {"name": function["name"], "arguments": parsed}}
