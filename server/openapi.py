"""What `/docs` shows for the routes that an engine answers: one example each.

The engine defines their fields; `gateway.fields` lists those that are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.paths import (
    CHAT,
    COMPLETIONS,
    COUNT_TOKENS,
    DETOKENIZE,
    MESSAGES,
    RESPONSES,
    TOKENIZE,
)

_MESSAGES = [{"role": "user", "content": "头痛两天，怎么办？"}]
EXAMPLES: Mapping[str, dict[str, Any]] = {
    CHAT: {"messages": _MESSAGES, "max_completion_tokens": 256, "stream": False},
    COMPLETIONS: {"prompt": "感冒时应当", "max_tokens": 32},
    RESPONSES: {"input": "头痛两天，怎么办？", "max_output_tokens": 256},
    MESSAGES: {"messages": _MESSAGES, "max_tokens": 256},
    COUNT_TOKENS: {"messages": _MESSAGES},
    TOKENIZE: {"prompt": "头痛"},
    DETOKENIZE: {"tokens": [1, 2]},
}
_MODEL = {
    "type": "string",
    "default": "policy",
    "description": "`policy`, `policy@<version>` or `base`; `/v1/models` lists them.",
}


def operation(path: str) -> dict[str, Any]:
    """The OpenAPI description of a route that an engine answers."""
    example = {"model": "policy", **EXAMPLES[path]}
    body = {"type": "object", "properties": {"model": _MODEL}, "examples": [example]}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "As the engine answers it; server-sent events if streamed."},
            "4XX": {"description": "The request is at fault."},
            "503": {"description": "Try again, after `Retry-After` seconds."},
        },
    }
