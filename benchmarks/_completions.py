"""Chat requests of the server's benchmarks, for gateway and engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks import _load

QUESTIONS = (
    "头痛两天了，怎么办？",
    "孩子发热，要去医院吗？",
    "血压高能喝咖啡吗？",
    "晚上睡不好怎么调理？",
)
PATH = "/v1/chat/completions"


def chats(model: str, tokens: int, *, stream: bool = False) -> Iterator[bytes]:
    """An endless series of chat requests; each answer has exactly `tokens` tokens."""
    number = 0
    while True:
        number += 1
        yield chat(model, tokens, number, stream=stream)


def chat(model: str, tokens: int, number: int, *, stream: bool = False) -> bytes:
    question = f"{QUESTIONS[number % len(QUESTIONS)]} {number}"
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
    }
    return _load.post(PATH, json.dumps(body).encode())
