"""Which fields of a request reach an engine that many callers share.

An engine accepts more than its callers should control: caches of other machines, tensors instead
of words, templates, addresses that it fetches. Those fields are refused by name. A few others
break the engine or block it when they are very large, so they are bounded. Every field that is not
listed here passes: the engine knows which ones it accepts, and says what is wrong with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from galen.errors import InvalidInput

_OPERATORS = "only who runs the engine may set this"
_TEXT_ONLY = "the policy reads text only; send text"
REFUSED: Mapping[str, str] = {
    "chat_template": _OPERATORS,
    "ec_transfer_params": _OPERATORS,
    "kv_transfer_params": _OPERATORS,
    "logits_processors": _OPERATORS,
    "mcp_servers": "the server calls no tools; it only writes the call",
    "media_io_kwargs": _OPERATORS,
    "mm_processor_kwargs": _OPERATORS,
    "prompt_embeds": _TEXT_ONLY,
    "request_id": "send it as the header X-Request-Id",
    "vllm_xargs": _OPERATORS,
}
"""Fields that no caller may set, and why. Null counts as absent."""
MEDIA = frozenset(
    {"audio", "audio_embeds", "audio_url", "computer_screenshot", "document", "file", "file_url"}
    | {"image", "image_embeds", "image_pil", "image_url", "input_audio", "input_file"}
    | {"input_image", "input_video", "prompt_embeds", "video", "video_embeds", "video_url"}
)
"""Kinds of message parts that are refused: an engine might fetch one from an address that the
caller chose, or read it as a tensor."""
CALLERS_TOOLS = frozenset({"function", "custom", "namespace", None})
"""Types of tools that the caller runs. The server would have to run any other."""
OBJECTS = (
    "chat_template_kwargs",
    "output_config",
    "response_format",
    "stream_options",
    "structured_outputs",
    "text",
)
"""Fields that must be objects or null. vLLM fails at other types instead of refusing them."""
NUMBERS = frozenset(
    {"best_of", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens"}
    | {"min_tokens", "n", "prompt_logprobs", "seed", "stream_interval", "thinking_token_budget"}
    | {"top_k", "top_logprobs", "truncate_prompt_tokens"}
)
"""vLLM would also read these from a string, past every bound that is set for a number."""
MOST: Mapping[str, int] = {
    "allowed_token_ids": 200_000,
    "bad_words": 256,
    "logit_bias": 1024,
    "logprob_token_ids": 128,
    "messages": 4096,
    "input": 4096,
    "stop": 16,
    "stop_sequences": 16,
    "stop_token_ids": 1024,
    "tools": 128,
}
"""Most entries of a list or an object. For strings see `LONGEST`."""
LONGEST: Mapping[str, int] = {"stop": 1024, "stop_sequences": 1024, "bad_words": 256, "user": 1024}
"""Most characters of a string, or of each string in a list."""
MOST_SAMPLES = 128
"""Answers to one prompt. One request may have eight times as many for all its prompts."""
LARGEST_SCHEMA = 16_384
"""Characters of an answer's schema or grammar, or of one tool's. The engine compiles them
before it answers: 40,000 characters take it more than a second."""
LARGEST_TOOLS = 65_536
"""Characters of all tools together."""
_DATA = frozenset({"const", "default", "enum", "examples"})
"""What stands in these is no schema, so no name in it is a comment."""
_COMMENTS = frozenset({"description", "title", "$comment"})
"""Texts of a schema that are not compiled."""
_VALUE = 5
"""Characters that each value counts for, whatever its length: it costs the engine about 1 ms."""
LARGEST_INT = 2**63 - 1
_TOKEN_ID = re.compile(r"[0-9]{1,9}")


def refuse_dangerous(body: Mapping[str, Any]) -> None:
    """Raise `InvalidInput`, naming the field, for what an engine must not be given."""
    for field in REFUSED.keys() & body.keys():
        if body[field] is not None:
            raise InvalidInput(f"{field}: {REFUSED[field]}", param=field)
    for field, value in body.items():
        if isinstance(value, int) and not -LARGEST_INT <= value <= LARGEST_INT:
            raise InvalidInput(f"{field}: a number beyond 64 bits", param=field)
        if field in NUMBERS and isinstance(value, str):
            raise InvalidInput(f"{field}: must be a number, not a string", param=field)
        if field in MOST or field in LONGEST:
            _refuse_large(field, value)
    _refuse_many_samples(body)
    _refuse_media("messages", body.get("messages"))
    _refuse_media("input", body.get("input"))
    _refuse_tools(body.get("tools"))
    _refuse_unclear(body.get("tool_choice"), body.get("logit_bias"))
    for field in OBJECTS:
        if body.get(field) is not None:
            _refuse_inner(field, body[field])


def sequences(body: Mapping[str, Any]) -> int:
    """How many completions an engine will write for a body: prompts times samples of each."""
    prompt, prompts = body.get("prompt"), 1
    if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
        prompts = len(prompt)
    n = body.get("n")
    if isinstance(n, float):
        n = math.ceil(n) if math.isfinite(n) else 1
    return prompts * (max(1, n) if isinstance(n, int) else 1)


def _refuse_large(field: str, value: Any) -> None:
    if isinstance(value, list | dict) and len(value) > MOST.get(field, len(value)):
        message = f"{field}: more than {MOST[field]:,} entries; send fewer"
        raise InvalidInput(message, param=field)
    if longest := LONGEST.get(field):
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and len(text) > longest for text in texts):
            raise InvalidInput(f"{field}: longer than {longest:,} characters", param=field)


def _refuse_many_samples(body: Mapping[str, Any]) -> None:
    per_prompt = sequences({"n": body.get("n")})
    if per_prompt > MOST_SAMPLES or sequences(body) > 8 * MOST_SAMPLES:
        field = "n" if per_prompt > 1 else "prompt"
        most = f"at most {MOST_SAMPLES} answers to a prompt, {8 * MOST_SAMPLES:,} to a request"
        raise InvalidInput(f"{field}: {most}", param=field)


def _refuse_media(field: str, messages: Any) -> None:
    if not isinstance(messages, list):
        return
    for place, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        for part in _parts(content) if isinstance(content, list) else ():
            kind = part.get("type")
            if (isinstance(kind, str) and kind in MEDIA) or not MEDIA.isdisjoint(part):
                where = f"{field}.{place}.content"
                raise InvalidInput(f"{where}: {_TEXT_ONLY}", param=where)


def _parts(content: list[Any]) -> Iterator[dict[str, Any]]:
    """The parts of a message, and the parts of a tool's result within it."""
    for part in content:
        if isinstance(part, dict):
            yield part
            inner = part.get("content")
            yield from (p for p in inner if isinstance(p, dict)) if isinstance(inner, list) else ()


def _refuse_tools(tools: Any) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise InvalidInput("tools: must be a list", param="tools")
    for place, tool in enumerate(tools):
        where = f"tools.{place}"
        if not isinstance(tool, dict):
            raise InvalidInput(f"{where}: must be an object", param=where)
        kind = tool.get("type")
        if not (kind is None or isinstance(kind, str)) or kind not in CALLERS_TOOLS:
            message = f"{where}.type: only tools that the caller runs: function or custom"
            raise InvalidInput(message, param=f"{where}.type")
        # vLLM fails at a function that has no name, or one that is not a string.
        named = tool.get("function", tool)
        if not isinstance(named, dict) or not isinstance(named.get("name"), str):
            raise InvalidInput(f"{where}: has no name", param=where)
        _refuse_large_schema(where, tool)
    _refuse_large_schema("tools", tools, LARGEST_TOOLS)


def _refuse_unclear(choice: Any, bias: Any) -> None:
    """vLLM's own refusals of these would repeat what the caller wrote."""
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        message = "tool_choice: must be 'none', 'auto', 'required' or name a tool"
        raise InvalidInput(message, param="tool_choice")
    if isinstance(bias, dict) and not all(_TOKEN_ID.fullmatch(name) for name in bias):
        raise InvalidInput("logit_bias: its names must be token ids", param="logit_bias")


def _refuse_inner(field: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise InvalidInput(f"{field}: must be an object", param=field)
    if value.get("chat_template") is not None:
        where = f"{field}.chat_template"
        raise InvalidInput(f"{where}: {_OPERATORS}", param=where)
    _refuse_large_schema(field, value)


def _refuse_large_schema(field: str, schema: Any, most: int = LARGEST_SCHEMA) -> None:
    """Counts each value, and each character of every name and text that is compiled."""
    size, left = 0, [(schema, False)]
    while left:
        value, is_data = left.pop()
        size += _VALUE
        if isinstance(value, dict):
            for name, inner in value.items():
                size += len(name)
                if is_data or not (name in _COMMENTS and isinstance(inner, str)):
                    left.append((inner, is_data or name in _DATA))
        elif isinstance(value, list):
            left.extend((inner, is_data) for inner in value)
        elif isinstance(value, str):
            size += len(value)
        if size > most:
            message = f"{field}: more than {most:,} characters of schema or grammar"
            raise InvalidInput(f"{message}; make it smaller", param=field)
