"""An OpenAI-compatible teacher as a real HTTP server on loopback, told by a queue what to answer.

With an empty queue it answers well: every dimension that the prompt's example names, with the
answer's own first words as evidence. Every request is kept in `requests`.

    async with FakeTeacher() as teacher:
        teacher.enqueue(Status(429, retry_after=0), good(safety=0.5))
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

GOOD_SCORES = {"safety": 0.9, "logic": 0.8, "completeness": 0.7, "empathy": 0.6}


@dataclass(frozen=True)
class Says:
    """A chat completion whose message is `content`."""

    content: str | None
    finish_reason: str = "stop"
    model: str = "fake-teacher-2026"
    fingerprint: str = "fp_1"
    prompt_tokens: int = 1000
    completion_tokens: int = 50
    cache_hit_tokens: int = 800


@dataclass(frozen=True)
class Status:
    """An error status, with a Retry-After in seconds or a Location if given."""

    status: int
    retry_after: float | None = None
    message: str = "told to fail"
    location: str | None = None


@dataclass(frozen=True)
class Body:
    """These bytes, as they are."""

    content: bytes
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True)
class Good:
    """A verdict as it should be on whatever is asked.

    `scores` replace or add to the usual ones; `evidence` replaces the quotation; `dangers` are
    those that it sees, each with its quotation.
    """

    why: str = "说明了风险。"
    scores: dict[str, float] = field(default_factory=dict)
    evidence: str | None = None
    dangers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slow:
    """Answer well, after so many seconds."""

    seconds: float


class Hang:
    """Never answer."""


class Drip:
    """Send a blank line now and again to keep the connection alive, and never an answer."""


@dataclass(frozen=True)
class Drop:
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Wait:
    """Answer well once `until` is set."""

    until: asyncio.Event


Reply = Says | Status | Body | Good | Slow | Hang | Drip | Drop | Wait

_EVIDENCE_LENGTH = 12


def good(why: str = "说明了风险。", **scores: float) -> Good:
    """A verdict as it should be, with some scores changed."""
    return Good(why, scores)


def verdict_text(request: dict[str, Any], reply: Good) -> str:
    """`reply` as the JSON that `request` asks for."""
    quoted = answer_in(request)[:_EVIDENCE_LENGTH] if reply.evidence is None else reply.evidence
    example = _example(request["messages"][0]["content"])
    asked = example.pop("dangers", {})
    entries: dict[str, Any] = {
        name: {
            "why": reply.why,
            "evidence": quoted,
            "score": reply.scores.get(name, GOOD_SCORES.get(name, 0.75)),
        }
        for name in example or GOOD_SCORES
    }
    if asked:
        entries["dangers"] = {
            name: {"evidence": reply.dangers.get(name, ""), "present": name in reply.dangers}
            for name in asked
        }
    return json.dumps(entries, ensure_ascii=False)


def answer_in(request: dict[str, Any]) -> str:
    """The answer under judgement, found by the boundary that the request announces first."""
    user: str = request["messages"][1]["content"]
    announced = re.search(r"边界编号：(\w+)", user)
    if announced is None:
        return ""
    boundary = announced.group(1)
    _, _, rest = user.partition(f"[回答 {boundary}]\n")
    return rest.partition(f"\n[/回答 {boundary}]")[0]


def _example(system: str) -> dict[str, Any]:
    """The example in the prompt, {} if there is none."""
    example = re.search(r"^\{.*\}$", system, re.MULTILINE)
    return dict(json.loads(example.group())) if example else {}


class FakeTeacher:
    """`latency_s` passes before every answer of its own accord."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.in_flight = 0
        self.most_in_flight = 0
        self._latency_s = latency_s
        self._queue: deque[Reply] = deque()
        self._closing = asyncio.Event()
        self._arrival = asyncio.Condition()

    def enqueue(self, *replies: Reply) -> None:
        self._queue.extend(replies)

    async def has_asked(self, count: int) -> None:
        """Return once `count` requests have arrived."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= count)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        arrived = asyncio.get_running_loop().time()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = await request.json()
            async with self._arrival:
                self.requests.append(body)
                self.headers.append(dict(request.headers))
                self._arrival.notify_all()
            reply = self._queue.popleft() if self._queue else None
            if reply is None:
                left_s = arrived + self._latency_s - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, left_s))
                return await self._judge(request, Good())
            return await self._players()[type(reply)](request, reply)
        finally:
            self.in_flight -= 1

    def _players(self) -> dict[type, Callable[[web.Request, Any], Awaitable[web.StreamResponse]]]:
        return {
            Says: self._say,
            Status: self._fail,
            Body: self._send,
            Good: self._judge,
            Slow: self._dawdle,
            Hang: self._hang,
            Drip: self._drip,
            Drop: self._drop,
            Wait: self._wait,
        }

    async def _say(self, _: web.Request, reply: Says) -> web.Response:
        usage = {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
            "prompt_cache_hit_tokens": reply.cache_hit_tokens,
        }
        message = {"role": "assistant", "content": reply.content}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
        return web.json_response(
            {
                "id": "cmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": reply.model,
                "system_fingerprint": reply.fingerprint,
                "choices": [choice],
                "usage": usage,
            }
        )

    async def _judge(self, request: web.Request, reply: Good) -> web.Response:
        return await self._say(request, Says(verdict_text(await request.json(), reply)))

    async def _dawdle(self, request: web.Request, reply: Slow) -> web.Response:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), reply.seconds)
        return await self._judge(request, Good())

    async def _fail(self, _: web.Request, reply: Status) -> web.Response:
        headers = {} if reply.retry_after is None else {"Retry-After": str(reply.retry_after)}
        if reply.location is not None:
            headers["Location"] = reply.location
        error = {"message": reply.message, "type": "error", "code": None, "param": None}
        return web.json_response({"error": error}, status=reply.status, headers=headers)

    async def _send(self, _: web.Request, reply: Body) -> web.Response:
        return web.Response(
            body=reply.content, content_type=reply.content_type, status=reply.status
        )

    async def _hang(self, request: web.Request, _: Hang) -> web.Response:
        await self._closing.wait()
        return web.Response()

    async def _drip(self, request: web.Request, _: Drip) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not self._closing.is_set():
            await response.write(b"\n")
            await asyncio.sleep(0.02)
        return response

    async def _drop(self, request: web.Request, _: Drop) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _wait(self, request: web.Request, reply: Wait) -> web.Response:
        await reply.until.wait()
        return await self._judge(request, Good())
