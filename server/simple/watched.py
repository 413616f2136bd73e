"""Answers that are written while they are sent, and end when the client hangs up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import GalenError
from galen.hang_up import unless_hung_up
from server.simple import answers


class Watched(Response):
    """Runs `work`, which sends the answer, until it is done or the client is gone.

    What `work` raises before it has sent anything is rendered like any other error.
    """

    def __init__(self, work: Callable[[Send], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_hung_up(receive, self._work(send))


def whole(answer: Callable[[], Awaitable[dict[str, Any]]]) -> Watched:
    """One JSON body."""

    async def work(send: Send) -> None:
        content = answers.encode(await answer())
        await _begin(send, b"application/json", length=len(content))
        await send({"type": "http.response.body", "body": content})

    return Watched(work)


def stream(events: Callable[[], AsyncGenerator[bytes]]) -> Watched:
    """Server-sent events; an error on the way is an event too, since the status has been sent."""

    async def work(send: Send) -> None:
        has_begun = False
        async with aclosing(events()) as produced:
            try:
                async for produced_event in produced:
                    if not has_begun:
                        has_begun = True
                        await _begin(send, b"text/event-stream; charset=utf-8")
                    await _more(send, produced_event)
            except GalenError as error:
                if not has_begun:
                    raise
                await _more(send, answers.error_event(error) + answers.DONE)
        await send({"type": "http.response.body", "body": b""})

    return Watched(work)


async def _begin(send: Send, kind: bytes, length: int | None = None) -> None:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _more(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
