"""Passes requests on to the engine and its answers back, bytes as they come.

Two things are changed on the way: the model's name, and the priority of rollouts. A client that
hangs up closes the connection to the engine, which ends the generation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import aiohttp
from aiohttp import ClientSession
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import GalenError, Unavailable
from galen.keys import Caller
from galen.telemetry import REQUEST_ID_HEADER, request_id
from server import body as bodies
from server.client import VERSION_HEADER
from server.engine import Engine
from server.gate import Pass
from server.policy import Policy, Target
from server.rename import ModelRenamer
from server.settings import ServerSettings

RETRY_AFTER_S = 5.0
PASSED_ON = ("Content-Type", "Retry-After")
"""The engine's headers that a client sees."""
CLIENT_CLOSED = 499
"""Status, for the metrics alone, of an answer that nobody waits for any more."""


class Gateway:
    def __init__(
        self, settings: ServerSettings, engine: Engine, policy: Policy, session: ClientSession
    ) -> None:
        self._adapters = settings.adapters is not None
        self._engine = engine
        self._policy = policy
        self._session = session

    def forward(self, raw: bytes, path: str, caller: Caller) -> Response:
        """The engine's answer to a body, written wholly by the version that it names."""
        body = bodies.parse(raw)
        if self._adapters:
            bodies.refuse_prompt_logprobs(body)
        return _Forwarded(self, body, bodies.model_of(body), path, caller)

    async def pass_on(
        self, body: dict[str, Any], model: str, path: str, caller: Caller, send: Send
    ) -> None:
        """Ask the engine, and send what it answers. Before anything is sent, errors are raised."""
        self._refuse_without_engine()
        leave = await self._policy.gate.enter()
        try:
            # Only now: the version may have changed while this request waited, or the engine died.
            self._refuse_without_engine()
            target = self._policy.target(model)
            url = f"{self._engine.base_url}{path}"
            sent = bodies.for_engine(body, target.engine_name, caller)
            async with self._session.post(url, data=sent, headers=_to_engine()) as upstream:
                if upstream.content_type == "text/event-stream":
                    early = leave if bodies.is_single_stream(body) else None
                    await _send_stream(upstream, target, send, early)
                else:
                    await _send_whole(upstream, target, send)
        except aiohttp.ClientError as error:
            raise _engine_lost() from error
        finally:
            leave.give_back()

    def _refuse_without_engine(self) -> None:
        if self._engine.problem:
            raise Unavailable(self._engine.problem, retry_after_s=RETRY_AFTER_S)


class _Forwarded(Response):
    """An answer that is fetched while it is sent, so that a hang-up is seen at any time."""

    def __init__(
        self, gateway: Gateway, body: dict[str, Any], model: str, path: str, caller: Caller
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._asked = (body, model, path, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await _unless_hung_up(receive, self._gateway.pass_on(*self._asked, send)):
            await send({"type": "http.response.start", "status": CLIENT_CLOSED, "headers": []})
            await send({"type": "http.response.body", "body": b""})


async def _send_whole(upstream: aiohttp.ClientResponse, target: Target, send: Send) -> None:
    content = await upstream.read()
    renamer = ModelRenamer(target.engine_name, target.public_name)
    renamed = renamer.feed(content) + renamer.finish()
    headers = [*_to_client(upstream, target), (b"content-length", str(len(renamed)).encode())]
    await send({"type": "http.response.start", "status": upstream.status, "headers": headers})
    await send({"type": "http.response.body", "body": renamed})


async def _send_stream(
    upstream: aiohttp.ClientResponse, target: Target, send: Send, early: Pass | None
) -> None:
    """Send each piece as it comes. `early` is given back once the first has come: from then on
    the engine holds the request and ends it before it takes other weights."""
    headers = _to_client(upstream, target)
    await send({"type": "http.response.start", "status": upstream.status, "headers": headers})
    renamer = ModelRenamer(target.engine_name, target.public_name)
    try:
        async for piece in upstream.content.iter_any():
            if early:
                early.give_back()
            if ready := renamer.feed(piece):
                await send({"type": "http.response.body", "body": ready, "more_body": True})
        last = renamer.finish()
    except aiohttp.ClientError:
        last = f"data: {json.dumps(_engine_lost().body())}\n\n".encode()
    await send({"type": "http.response.body", "body": last})


async def _unless_hung_up(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done before the client hung up; if not it has been cancelled."""
    working = asyncio.create_task(work)
    hang_up = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        hang_up.cancel()
        working.cancel()
        await asyncio.gather(working, hang_up, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _to_engine() -> dict[str, str]:
    return {"Content-Type": "application/json", REQUEST_ID_HEADER: request_id.get() or ""}


def _to_client(upstream: aiohttp.ClientResponse, target: Target) -> list[tuple[bytes, bytes]]:
    kept = [(name, upstream.headers[name]) for name in PASSED_ON if name in upstream.headers]
    headers = [*kept, (VERSION_HEADER, target.version)]
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def _engine_lost() -> GalenError:
    message = "the engine was lost while it worked on this; try again shortly"
    return Unavailable(message, retry_after_s=RETRY_AFTER_S)
