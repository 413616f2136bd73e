"""What is changed in a request on its way in, beside its model and priority.

- Nothing that an engine would have to keep is asked of it: answers are not kept.
- `reasoning_content`, by which older clients send reasoning back, becomes `reasoning`.
- A call that a client forces fits the tool's schema, unless the client says `strict: false`.
"""

from __future__ import annotations

from typing import Any

from galen.errors import InvalidInput, NotFound
from server.paths import CHAT, RESPONSES, TOKENIZE

NO_PARAMETERS = {"type": "object", "properties": {}}
_REFER_TO_KEPT = ("previous_response_id", "conversation")
_ASK_TO_KEEP = ("store", "background")


def adapted(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body as an engine takes it; `InvalidInput` for what needs kept answers."""
    if path == RESPONSES:
        body = _unkept(body)
    elif path in (CHAT, TOKENIZE) and isinstance(body.get("messages"), list):
        body = {**body, "messages": [_with_reasoning(message) for message in body["messages"]]}
    if isinstance(body.get("tools"), list) and _forces_a_call(body.get("tool_choice")):
        body = {**body, "tools": [_strict(tool) for tool in body["tools"]]}
    return body


def answers_are_not_kept() -> NotFound:
    """What whoever asks for an earlier response is told."""
    return NotFound("no such response: answers are not kept", param="response_id")


def _unkept(body: dict[str, Any]) -> dict[str, Any]:
    """A request for a response, with `store` off: an engine would keep answers without end."""
    for field in _REFER_TO_KEPT:
        if body.get(field) is not None:
            message = f"{field}: answers are not kept; send the whole conversation as 'input'"
            raise InvalidInput(message, param=field)
    for field in _ASK_TO_KEEP:
        if body.get(field):
            message = f"{field}: answers are not kept; leave it out and take the answer as it comes"
            raise InvalidInput(message, param=field)
    return {**body, "store": False}


def _with_reasoning(message: Any) -> Any:
    """A message whose reasoning has the name under which the engine reads it."""
    if not isinstance(message, dict) or message.get("reasoning") is not None:
        return message
    older = message.get("reasoning_content")
    return message if older is None else {**message, "reasoning": older}


def _forces_a_call(choice: Any) -> bool:
    """Whether a `tool_choice` of OpenAI's or Anthropic's API leaves no choice but to call."""
    kind = choice.get("type") if isinstance(choice, dict) else choice
    return kind in ("required", "function", "any", "tool")


def _strict(tool: Any) -> Any:
    """A tool that holds the engine to its schema: without it, vLLM lets any JSON pass."""
    if not isinstance(tool, dict):
        return tool
    if isinstance(tool.get("function"), dict):  # as in chat completions
        return {**tool, "function": _strict_function(tool["function"])}
    if tool.get("type") == "function":  # as in responses
        return _strict_function(tool)
    loose = "input_schema" in tool and tool.get("strict") is None  # as in messages
    return {**tool, "strict": True} if loose else tool


def _strict_function(function: dict[str, Any]) -> dict[str, Any]:
    if function.get("strict") is not None:
        return function
    parameters = function.get("parameters") or NO_PARAMETERS
    return {**function, "parameters": parameters, "strict": True}
