"""A caller's JSON body: read, refused if it is malformed, and made ready for the engine."""

from __future__ import annotations

import json
import math
from typing import Any

from galen.errors import InvalidInput, MalformedJson
from galen.keys import Caller

ROLLOUT_PRIORITY = 10
"""vLLM serves lower numbers first: people (0) go before rollouts."""
DEEPEST = 100
"""Levels of lists and objects in a body; a JSON schema of an answer is among them."""
MOST_PARTS = 200_000
"""Lists, objects and texts in a body. Millions, which fit into its bytes, hold everybody up."""


def parse(raw: bytes) -> dict[str, Any]:
    """The body as a mapping. `MalformedJson` for what is no JSON, `InvalidInput` for text that no
    tokenizer or database takes: a NUL, or half of a surrogate pair."""
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
    # Unescaped, JSON allows neither; so only a body with escapes needs to be searched.
    escapes = b"\\u" in raw
    if escapes or raw.count(b"[") + raw.count(b"{") > DEEPEST:
        _refuse_bad_values(body, texts=escapes)
    return body


def model_of(body: dict[str, Any]) -> str:
    """The model that is asked for; `policy` if none is."""
    model = body.get("model", "policy")
    if not isinstance(model, str):
        raise InvalidInput("model must be a string", param="model")
    return model


def for_engine(body: dict[str, Any], engine_name: str, caller: Caller) -> bytes:
    """The body as the engine gets it: its own model name, and the caller's priority.

    Unknown fields stay as they are; the engine knows which it takes. Only an admin may choose a
    priority.
    """
    sent = {**body, "model": engine_name}
    if caller.role == "rollout":
        sent["priority"] = ROLLOUT_PRIORITY
    elif caller.role == "user":
        sent.pop("priority", None)
    return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def refuse_prompt_logprobs(body: dict[str, Any]) -> None:
    """Refuse a body that asks for log-probabilities of its prompt.

    With adapters, vLLM's CPU build ends itself when such a request meets another in one batch.
    """
    echoed = body.get("echo") and body.get("logprobs") is not None
    if echoed or body.get("prompt_logprobs") is not None:
        field = "echo" if echoed else "prompt_logprobs"
        message = f"{field}: a server of adapters gives no log-probabilities of prompts"
        raise InvalidInput(message, param=field)


def constrains(body: dict[str, Any]) -> bool:
    """Whether a body, as `adapt` leaves it, holds its answer to a schema or a grammar.

    Calls that are forced are among them, since `adapt` makes their tools strict.
    """
    inner = [body.get(field) for field in ("text", "output_config")]
    formats = [each.get("format") for each in inner if isinstance(each, dict)]
    for each in (body.get("response_format"), *formats):
        if isinstance(each, dict) and each.get("type", "text") != "text":
            return True
    if body.get("structured_outputs"):
        return True
    tools = body.get("tools")
    return isinstance(tools, list) and any(_is_strict(tool) for tool in tools)


def _is_strict(tool: Any) -> bool:
    """In chats it stands in the tool's `function`, elsewhere in the tool."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return isinstance(function, dict) and function.get("strict") is True


def sequences(body: dict[str, Any]) -> int:
    """How many completions the engine will write for a body, if it takes the body at all."""
    prompt, prompts = body.get("prompt"), 1
    if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
        prompts = len(prompt)
    return prompts * (1 if body.get("n") is None else _samples(body["n"]))


def _samples(n: Any) -> int:
    """As the engine reads `n`, which may be a number in a string."""
    try:
        return max(1, int(float(n)))
    except (TypeError, ValueError, OverflowError):
        return 1


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond what a float holds")
    return number


def _refuse_bad_values(body: dict[str, Any], *, texts: bool) -> None:
    """Refuse what is nested too deeply or of too many parts and, if asked for, text that is no
    text; keys too.

    Level by level and without names, since everybody waits meanwhile; only for a text that is
    refused its place is looked for.
    """
    level: list[Any] = [body]
    parts = 0
    for _ in range(DEEPEST):
        inner = [part for each in level for part in _parts_of(each)]
        parts += len(inner)
        if parts > MOST_PARTS:
            message = f"the body holds more than {MOST_PARTS:,} lists, objects and texts"
            raise InvalidInput(f"{message}; send less in one request")
        if texts:
            said = [part for part in inner if isinstance(part, str)]
            names = [name for each in level if isinstance(each, dict) for name in each]
            if _wrong_with("".join(said)) or _wrong_with("".join(names)):
                _refuse_bad_text(body, "")
        level = [part for part in inner if not isinstance(part, str)]
        if not level:
            return
    raise MalformedJson(f"the body is nested more than {DEEPEST} levels deep")


def _parts_of(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [part for part in inner if isinstance(part, (str, dict, list))]


def _refuse_bad_text(value: Any, field: str) -> None:
    """Refuse a value by the first text in it that is none, if there is one."""
    if isinstance(value, str):
        if wrong := _wrong_with(value):
            raise InvalidInput(f"{field}: {wrong}", param=field)
        return
    if isinstance(value, dict):
        for name in value:
            _refuse_bad_text(name, field or "a field's name")
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, (str, dict, list)):
            where = _safe(str(name))
            _refuse_bad_text(part, f"{field}.{where}" if field else where)


def _wrong_with(text: str) -> str | None:
    """Why a text is none that a tokenizer or a database takes."""
    if "\x00" in text:
        return "contains a NUL character; remove it"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which is no character"
    return None


def _safe(name: str) -> str:
    """A name that a caller made up, fit for an error's text."""
    return name.encode("ascii", "replace").decode().replace("\x00", "?")[:64]
