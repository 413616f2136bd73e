"""What completions and chat share of OpenAI's shapes: identity, usage, logprobs, events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from galen.errors import GalenError
from galen.telemetry import request_id
from server.simple.generate import Plan, Position
from server.simple.tokenizer import Tokenizer

DONE = b"data: [DONE]\n\n"
LEAST_LOGPROB = -9999.0
"""JSON has no minus infinity."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What every chunk of one answer says of itself."""

    prefix: str
    object: str
    model: str
    id: str = field(default_factory=lambda: request_id.get() or uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """An answer or a chunk of one with these choices."""
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
            **more,
        }


def encode(body: Any) -> bytes:
    """JSON without spaces, as vLLM writes it. Half of a surrogate pair, which a model may write as
    an escape in a call's arguments, becomes a question mark."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(body: Any) -> bytes:
    return b"data: " + encode(body) + b"\n\n"


def error_event(error: GalenError) -> bytes:
    """Its code is the status, as in vLLM's; the stream's own has been sent and was 200."""
    return event({"error": {**error.body()["error"], "code": error.status}})


def usage(plans: Sequence[Plan], choices: int, written: int, **details: Any) -> dict[str, Any]:
    """Tokens read and written; each prompt counts once, however many `choices` it has."""
    read = sum(len(plan.prompt_ids) for plan in plans[::choices])
    told = {"prompt_tokens": read, "total_tokens": read + written, "completion_tokens": written}
    return {**told, **details}


def token_name(tokenizer: Tokenizer, token: int, *, as_id: bool) -> str:
    return f"token_id:{token}" if as_id else tokenizer.token_text(token)


def completion_logprobs(
    tokenizer: Tokenizer,
    ids: Iterable[int],
    positions: Iterable[Position | None],
    *,
    offset: int,
    as_ids: bool,
) -> dict[str, Any]:
    """A completion's `logprobs`; `offset` is the text's length so far, in characters."""
    told: dict[str, Any] = {
        "text_offset": [],
        "token_logprobs": [],
        "tokens": [],
        "top_logprobs": [],
    }
    for token, position in zip(ids, positions, strict=True):
        name = token_name(tokenizer, token, as_id=as_ids)
        told["text_offset"].append(offset)
        told["tokens"].append(name)
        offset += len(name)
        if position is None:
            told["token_logprobs"].append(None)
            told["top_logprobs"].append(None)
            continue
        told["token_logprobs"].append(finite(position[token].logprob))
        told["top_logprobs"].append(
            {
                token_name(tokenizer, other, as_id=as_ids): finite(likelihood.logprob)
                for other, likelihood in position.items()
            }
        )
    return told


def chat_logprobs(
    tokenizer: Tokenizer, ids: Iterable[int], positions: Iterable[Position], top: int, as_ids: bool
) -> dict[str, Any]:
    """A chat answer's `logprobs`, with the `top` likeliest tokens at each place."""

    def entry(token: int, position: Position) -> dict[str, Any]:
        name = token_name(tokenizer, token, as_id=as_ids)
        logprob = finite(position[token].logprob)
        return {"token": name, "logprob": logprob, "bytes": list(name.encode())}

    content = []
    for token, position in zip(ids, positions, strict=True):
        best = sorted(position, key=lambda other: position[other].rank)[:top]
        tops = [entry(other, position) for other in best]
        content.append({**entry(token, position), "top_logprobs": tops})
    return {"content": content}


def prompt_logprobs(
    tokenizer: Tokenizer, positions: Sequence[Position | None]
) -> list[dict[str, Any] | None] | None:
    """vLLM's `prompt_logprobs`: by token id, with rank and text; the first token has none."""
    if not positions:
        return None
    return [
        None
        if position is None
        else {
            str(token): {
                "logprob": finite(found.logprob),
                "rank": found.rank,
                "decoded_token": tokenizer.token_text(token),
            }
            for token, found in position.items()
        }
        for position in positions
    ]


def finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
