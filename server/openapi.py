"""What the document at `/docs` says of the requests that an engine answers.

The main fields, for people to read and for tests to draw from. The engine takes more: whatever is
not named here is passed on to it, but for what `server.fields` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.gateway.fields import MOST_SAMPLES
from server.paths import (
    CHAT,
    COMPLETIONS,
    COUNT_TOKENS,
    DETOKENIZE,
    MESSAGES,
    RESPONSES,
    TOKENIZE,
)

Schema = dict[str, Any]

_MODEL: Schema = {
    "type": "string",
    "default": "policy",
    "description": "`policy`, `policy@<version>` or `base`; `/v1/models` lists them.",
    "examples": ["policy"],
}
_TEXT: Schema = {"type": "string", "minLength": 1}
_TOKEN: Schema = {"type": "integer", "minimum": 0}
_TOKENS: Schema = {"type": "array", "items": _TOKEN, "minItems": 1}
_ROLE = {"type": "string", "enum": ["system", "user", "assistant"]}
_MESSAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": _ROLE,
            "content": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["type", "text"],
                            "properties": {"type": {"const": "text"}, "text": _TEXT},
                            "additionalProperties": False,
                        },
                    },
                ]
            },
        },
        "additionalProperties": False,
    },
}
_MAX_TOKENS: Schema = {"type": "integer", "minimum": 1, "description": "Tokens to write at most."}
_SAMPLING: Schema = {
    "temperature": {"type": "number", "minimum": 0, "maximum": 2, "default": 1},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
    "top_k": {"type": "integer", "minimum": 0, "default": 0, "description": "0: all tokens."},
    "stream": {"type": "boolean", "default": False},
}
_OPENAI: Schema = {
    **_SAMPLING,
    "n": {"type": "integer", "minimum": 1, "maximum": MOST_SAMPLES, "default": 1},
    "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "stop": {
        "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 4}],
        "description": "Where to stop; not part of the answer.",
    },
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "return_token_ids": {"type": "boolean"},
}
_THINKING: Schema = {
    "type": "object",
    "properties": {"enable_thinking": {"type": "boolean"}},
    "additionalProperties": False,
}
_REPLY_FORMAT: Schema = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string", "enum": ["text", "json_object", "json_schema"]}},
    "description": "With `json_schema` goes a field `json_schema: {name, schema}`.",
}
_SAID = [{"role": "user", "content": "头痛两天，怎么办？"}]


def _body(required: list[str], properties: Schema, example: Schema) -> Schema:
    return {
        "type": "object",
        "required": required,
        "properties": {"model": _MODEL, **properties},
        "examples": [{"model": "policy", **example}],
    }


BODIES: Mapping[str, Schema] = {
    CHAT: _body(
        ["messages"],
        {
            "messages": _MESSAGES,
            "max_completion_tokens": _MAX_TOKENS,
            "logprobs": {"type": "boolean"},
            "response_format": _REPLY_FORMAT,
            "chat_template_kwargs": _THINKING,
            **_OPENAI,
        },
        {"messages": _SAID, "max_completion_tokens": 256},
    ),
    COMPLETIONS: _body(
        ["prompt"],
        {
            "prompt": {"anyOf": [_TEXT, _TOKENS]},
            "max_tokens": {**_MAX_TOKENS, "default": 16},
            "logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
            **_OPENAI,
        },
        {"prompt": "感冒时应当", "max_tokens": 32},
    ),
    RESPONSES: _body(
        ["input"],
        {"input": _TEXT, "instructions": _TEXT, "max_output_tokens": _MAX_TOKENS, **_SAMPLING},
        {"input": "头痛两天，怎么办？", "max_output_tokens": 256},
    ),
    MESSAGES: _body(
        ["model", "messages", "max_tokens"],
        {"messages": _MESSAGES, "max_tokens": _MAX_TOKENS, **_SAMPLING},
        {"messages": _SAID, "max_tokens": 256},
    ),
    COUNT_TOKENS: _body(["model", "messages"], {"messages": _MESSAGES}, {"messages": _SAID}),
    TOKENIZE: _body(
        ["prompt"],
        {"prompt": {"type": "string"}, "add_special_tokens": {"type": "boolean"}},
        {"prompt": "头痛"},
    ),
    DETOKENIZE: _body(
        ["tokens"], {"tokens": {"type": "array", "items": _TOKEN}}, {"tokens": [1, 2]}
    ),
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
"""OpenAI's shape of an error; below `/v1/messages` it is Anthropic's, which these fields are in."""


def operation(path: str) -> dict[str, Any]:
    """What the document says of a route that an engine answers."""
    error = {"content": {"application/json": {"schema": ERROR}}}
    stream = {"schema": {"type": "string", "description": "Server-sent events, if streamed."}}
    answer = {"application/json": {"schema": {"type": "object"}}, "text/event-stream": stream}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": BODIES[path]}},
        },
        "responses": {
            "200": {"description": "As the engine answers it.", "content": answer},
            "4XX": {"description": "The request is at fault.", **error},
            "503": {"description": "Try again, after `Retry-After` seconds.", **error},
        },
    }
