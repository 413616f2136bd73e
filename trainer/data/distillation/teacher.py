"""A teacher behind any OpenAI-compatible endpoint, asked for one completion at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from galen import transcript
from galen.errors import (
    Forbidden,
    GalenError,
    InvalidInput,
    NotFound,
    Unavailable,
    UpstreamFailed,
)
from galen.http import retry_after
from trainer.data.example import Message

PATIENCE_S = 300.0
"""Seconds that one row waits for an endpoint that is away or busy."""
LONGEST_PAUSE_S = 30.0
TIMEOUTS = 2
"""Tries of one row that may pass the deadline; each may have to be paid."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

Pause = Callable[[float], Awaitable[None]]


class RowRefused(Exception):
    """The endpoint answers, but not this row; the text says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `cached` are those of the prompt that the endpoint had before."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    """Thought and answer in one text, as a model writes them."""
    finish_reason: str | None
    model: str
    usage: Usage


class Teacher:
    """Use as a context manager. `deadline_s` bounds one call, in seconds."""

    def __init__(
        self, url: str, model: str, key: str | None, *, deadline_s: float, connections: int
    ) -> None:
        """`url` is the endpoint's base, such as https://api.deepseek.com or http://host:8000/v1.

        Raises `InvalidInput` for one that is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise InvalidInput("--teacher is no address; write https://host/v1, without a key")
        self._url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._host = parts.hostname
        self._model = model
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(deadline_s, connect=10.0),
            limits=httpx.Limits(max_connections=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(
        self, messages: Sequence[Message], options: dict[str, Any], pause: Pause = asyncio.sleep
    ) -> Reply:
        """The teacher's reply. Waits and tries again while the endpoint is away or busy.

        Raises `RowRefused` for what is this row's own fault, else a `GalenError`.
        """
        turns = [{"role": each.role, "content": each.content} for each in messages]
        body = {"model": self._model, "messages": turns, **options}
        timeouts, waited_s, next_s = 0, 0.0, 1.0
        while True:
            this_s: float | None = None
            try:
                response = await self._http.post(self._url, json=body)
            except httpx.ConnectError:
                trouble = f"cannot reach {self._host}"
            except httpx.TimeoutException:
                timeouts += 1
                if timeouts == TIMEOUTS:
                    raise RowRefused("no answer within the time limit") from None
                continue
            except httpx.HTTPError:
                trouble = f"{self._host} lost the connection"
            else:
                if response.status_code not in RETRIED:
                    return self._read(response)
                trouble = f"{self._host} answered {response.status_code}"
                this_s = retry_after(response)
            if waited_s >= PATIENCE_S:
                raise Unavailable(f"{trouble} for {waited_s:.0f} s; run the same command again")
            this_s = next_s if this_s is None else this_s
            await pause(this_s)
            waited_s, next_s = waited_s + this_s, min(2 * next_s, LONGEST_PAUSE_S)

    def _read(self, response: httpx.Response) -> Reply:
        if response.is_error or response.is_redirect:
            raise self._meaning(response)
        try:
            return _reply(response.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise UpstreamFailed(f"{self._url} answered in an unknown shape") from None

    def _meaning(self, response: httpx.Response) -> Exception:
        """What an error status says of this row or, if no row can be answered, of all."""
        status, host = response.status_code, self._host
        everywhere: dict[int, GalenError] = {
            401: Forbidden(f"{host} refused the key; set JUDGE_API_KEY or DEEPSEEK_API_KEY"),
            402: UpstreamFailed(f"{host} has no credit left; top it up"),
            403: Forbidden(f"{host} refused the key; set JUDGE_API_KEY or DEEPSEEK_API_KEY"),
            404: NotFound(f"{self._url} has no model {self._model!r}; check --teacher and --model"),
        }
        if status in everywhere:
            return everywhere[status]
        if response.is_redirect:
            return UpstreamFailed(f"{self._url} is elsewhere; correct --teacher")
        try:
            said = str(response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = "no reason given"
        return RowRefused(f"status {status}: {said[:200]}")


def _reply(answer: Any) -> Reply:
    choice = answer["choices"][0]
    message = choice["message"]
    usage = answer.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    cached = usage.get("prompt_cache_hit_tokens") or details.get("cached_tokens") or 0
    return Reply(
        _text(message.get("reasoning_content") or message.get("reasoning"), message["content"]),
        choice.get("finish_reason"),
        str(answer.get("model", "")),
        Usage(int(usage.get("prompt_tokens", 0)), cached, int(usage.get("completion_tokens", 0))),
    )


def _text(thought: str | None, content: str | None) -> str:
    """Thought and answer together. A thought that the content brings itself is the one asked for;
    then a hidden one before it is left out."""
    content = (content or "").strip()
    if not thought or content.startswith(transcript.THINK_OPEN):
        return content
    return f"{transcript.THINK_OPEN}\n{thought.strip()}\n{transcript.THINK_CLOSE}\n\n{content}"
