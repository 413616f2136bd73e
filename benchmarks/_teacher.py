"""A teacher for benchmarks: `python -m benchmarks._teacher LATENCY_S AT_ONCE PORT`.

It answers after LATENCY_S seconds, and with 429 beyond AT_ONCE calls at once (0: no bound).
`GET /calls` returns the numbers of answered and refused calls and the most at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from tests.fakes.teacher import Good, verdict_text

_GOOD = Good()


class Counts:
    def __init__(self) -> None:
        self.answered = self.refused = self.open = self.most_open = 0


def make_app(latency_s: float, at_once: int) -> web.Application:
    counts = Counts()

    async def answer(request: web.Request) -> web.Response:
        if at_once and counts.open >= at_once:
            counts.refused += 1
            return web.json_response({"error": {"message": "too many"}}, status=429)
        counts.open += 1
        counts.most_open = max(counts.most_open, counts.open)
        try:
            body, _ = await asyncio.gather(request.json(), asyncio.sleep(latency_s))
        finally:
            counts.open -= 1
        counts.answered += 1
        return web.json_response(_completion(verdict_text(body, _GOOD)))

    async def calls(_: web.Request) -> web.Response:
        return web.json_response(vars(counts))

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/calls", calls)
    return app


def _completion(content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "benchmark-teacher",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }


if __name__ == "__main__":
    latency, bound, port = sys.argv[1:]
    app = make_app(float(latency), int(bound))
    web.run_app(app, host="127.0.0.1", port=int(port), print=None, backlog=2048)
