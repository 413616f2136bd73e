"""A caller's request: its JSON read, checked and adapted for an engine.

Three things are changed, besides the model's name and the priority:

- An engine is never asked to keep an answer.
- Older clients send reasoning back as `reasoning_content`; it becomes `reasoning`.
- A tool call that the client forces must fit the tool's schema, unless the client says
  `strict: false`. vLLM alone would accept any JSON.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from galen.errors import InvalidInput, MalformedJson
from galen.keys import Caller
from server.gateway.fields import refuse_dangerous, sequences
from server.paths import CHAT, RESPONSES, TOKENIZE

ROLLOUT_PRIORITY = 10
"""vLLM serves lower numbers first, so people (0) go before rollouts."""
MAX_DEPTH = 100
"""Nested lists and objects in a body, a JSON schema included."""
MAX_PARTS = 200_000
"""Lists, objects and strings in a body. Checking millions of them would block the event loop."""
MAX_VALUES = 400_000
"""Commas in a body: as many token ids take some 30 ms to read."""
_TOO_MANY = (
    f"the body holds more than {MAX_PARTS:,} lists, objects and texts or {MAX_VALUES:,} values; "
    "send less in one request"
)
NO_PARAMETERS = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One request to an engine. `body` is not changed after it has been checked."""

    path: str
    body: dict[str, Any]
    caller: Caller
    model: str
    """As the caller names it: `policy`, `policy@<version>` or `base`."""
    sequences: int
    """Completions that the engine will write."""
    size: int
    """Bytes of the body as it arrived; 0 if it did not come over HTTP."""

    @classmethod
    def read(cls, raw: bytes, path: str, caller: Caller) -> EngineRequest:
        """From the bytes of an HTTP body. Raises `MalformedJson` or `InvalidInput`."""
        return cls.of(parse(raw), path, caller, size=len(raw))

    @classmethod
    def of(cls, body: dict[str, Any], path: str, caller: Caller, *, size: int = 0) -> EngineRequest:
        """From a parsed body. Raises `InvalidInput` that names the field at fault."""
        model = body.get("model", "policy")
        if not isinstance(model, str):
            raise InvalidInput("model must be a string", param="model")
        refuse_dangerous(body)
        return cls(path, adapted(body, path), caller, model, sequences(body), size)

    def for_engine(self, engine_name: str) -> bytes:
        """The body with the engine's own model name and the caller's priority.

        Unknown fields stay: the engine knows which ones it takes. Only an admin may choose a
        priority.
        """
        body = {**self.body, "model": engine_name}
        if self.caller.role == "rollout":
            body["priority"] = ROLLOUT_PRIORITY
        elif self.caller.role == "user":
            body.pop("priority", None)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object from bytes.

    Raises `MalformedJson` for bytes that are not JSON, and `InvalidInput` for text that no
    tokenizer or database accepts: a NUL, or half of a surrogate pair.
    """
    # Counted before anything is parsed, because parsing blocks the event loop.
    if raw.count(b"[") + raw.count(b"{") > MAX_PARTS or raw.count(b",") > MAX_VALUES:
        raise InvalidInput(_TOO_MANY)
    try:
        text = raw.decode("utf-8")
        body = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise MalformedJson(f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"the body is not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise MalformedJson("the body is not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise MalformedJson(f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    # JSON forbids both characters unescaped, so only a body with escapes needs the search.
    has_escapes = b"\\u" in raw
    if has_escapes or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_bad_values(body, check_text=has_escapes)
    return body


def adapted(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body as an engine takes it. Raises `InvalidInput` for what needs stored answers."""
    if body.get("tools") == [] and not _forces_a_call(body.get("tool_choice")):
        # Null counts as absent in every API; vLLM's chats refuse it.
        body = {name: value for name, value in body.items() if name not in ("tools", "tool_choice")}
    if path == RESPONSES:
        body = _without_storage(body)
    elif path in (CHAT, TOKENIZE) and isinstance(body.get("messages"), list):
        body = {**body, "messages": [_chat_message(message) for message in body["messages"]]}
    if isinstance(body.get("tools"), list) and _forces_a_call(body.get("tool_choice")):
        body = {**body, "tools": [_strict(tool) for tool in body["tools"]]}
    return body


def _without_storage(body: dict[str, Any]) -> dict[str, Any]:
    """A request for a response with `store` off: an engine would keep answers for ever."""
    for field in ("previous_response_id", "conversation"):
        if body.get(field) is not None:
            message = f"{field}: answers are not kept; send the whole conversation as 'input'"
            raise InvalidInput(message, param=field)
    for field in ("store", "background"):
        if body.get(field):
            message = f"{field}: answers are not kept; leave it out and take the answer as it comes"
            raise InvalidInput(message, param=field)
    return {**body, "store": False}


def _chat_message(message: Any) -> Any:
    """A message as vLLM reads it.

    SDKs send an earlier answer with nulls for the fields that it lacks, and vLLM refuses those. An
    answer that was cut off within its reasoning has no content at all.
    """
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if value is not None}
    if (older := kept.get("reasoning_content")) is not None:
        kept.setdefault("reasoning", older)
    if kept.get("role") == "assistant" and "content" not in kept and not kept.get("tool_calls"):
        kept = {name: value for name, value in kept.items() if name != "tool_calls"}
        kept["content"] = ""
    return kept


def _forces_a_call(choice: Any) -> bool:
    """Whether a `tool_choice` of OpenAI's or Anthropic's API demands a call."""
    kind = choice.get("type") if isinstance(choice, dict) else choice
    return kind in ("required", "function", "any", "tool")


def _strict(tool: Any) -> Any:
    """A tool whose schema the engine enforces."""
    if not isinstance(tool, dict):
        return tool
    if isinstance(tool.get("function"), dict):  # chat completions
        return {**tool, "function": _strict_function(tool["function"])}
    if tool.get("type") == "function":  # responses
        return _strict_function(tool)
    needs_strict = "input_schema" in tool and tool.get("strict") is None  # messages
    return {**tool, "strict": True} if needs_strict else tool


def _strict_function(function: dict[str, Any]) -> dict[str, Any]:
    if function.get("strict") is not None:
        return function
    parameters = function.get("parameters") or NO_PARAMETERS
    return {**function, "parameters": parameters, "strict": True}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond what a float holds")
    return number


def _refuse_bad_values(body: dict[str, Any], *, check_text: bool) -> None:
    """Refuse a body that is too deep, has too many parts or holds unusable text.

    The check blocks the event loop, so it goes level by level without paths. The path is looked for
    only once a text is refused.
    """
    level: list[Any] = [body]
    parts = 0
    for _ in range(MAX_DEPTH):
        inner = [part for each in level for part in _parts_of(each)]
        parts += len(inner)
        if parts > MAX_PARTS:
            raise InvalidInput(_TOO_MANY)
        if check_text:
            texts = [part for part in inner if isinstance(part, str)]
            names = [name for each in level if isinstance(each, dict) for name in each]
            if _text_problem("".join(texts)) or _text_problem("".join(names)):
                _refuse_bad_text(body, "")
        level = [part for part in inner if not isinstance(part, str)]
        if not level:
            return
    raise MalformedJson(f"the body is nested more than {MAX_DEPTH} levels deep")


def _parts_of(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [part for part in inner if isinstance(part, (str, dict, list))]


def _refuse_bad_text(value: Any, field: str) -> None:
    """Raise for the first unusable text in `value`, naming its path."""
    if isinstance(value, str):
        if problem := _text_problem(value):
            raise InvalidInput(f"{field}: {problem}", param=field)
        return
    if isinstance(value, dict):
        for name in value:
            _refuse_bad_text(name, field or "a field's name")
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, (str, dict, list)):
            where = str(name).encode("ascii", "replace").decode().replace("\x00", "?")[:64]
            _refuse_bad_text(part, f"{field}.{where}" if field else where)


def _text_problem(text: str) -> str | None:
    """Why a tokenizer or a database would not take this text."""
    if "\x00" in text:
        return "contains a NUL character; remove it"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which is no character"
    return None
