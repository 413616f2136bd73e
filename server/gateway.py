"""Passes requests on to an engine and its answers back, bytes as they come.

What is changed on the way is in `body`, `adapt`, `rewrite` and `dialects`. A client that hangs up
closes the connection to the engine, which ends the generation. A request whose engine is lost
before a byte of the answer was sent is asked of another engine, if there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import EngineLost, GalenError, UpstreamFailed
from galen.keys import Caller
from galen.telemetry import REQUEST_ID_HEADER, request_id
from server import body as bodies
from server.adapt import adapted
from server.admission import Admission
from server.beginnings import Beginnings
from server.client import VERSION_HEADER
from server.dialects import refusal, stream_error
from server.fields import refuse_dangerous
from server.gate import Pass
from server.policy import POLICY, Policy
from server.pool import RETRY_AFTER_S, Pool
from server.replica import Lease, Replica
from server.request_metrics import RequestMetrics, Watch
from server.rewrite import Rewriter
from server.settings import ServerSettings

PASSED_ON = ("Content-Type", "Retry-After")
"""The engine's headers that a client sees."""
CLIENT_CLOSED = 499
"""Status, for the metrics alone, of an answer that nobody waits for any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is whole: status, JSON, and the version that wrote it."""

    status: int
    content: bytes
    version: str


class Gateway:
    def __init__(
        self, settings: ServerSettings, pool: Pool, policy: Policy, requests: RequestMetrics
    ) -> None:
        self._adapters = settings.adapters is not None
        self._pool = pool
        self._policy = policy
        self._requests = requests
        engines = len(pool.replicas)
        self._admission = Admission(
            settings.rollouts_at_once * engines, settings.rollouts_beside_people * engines
        )

    def forward(self, raw: bytes, path: str, caller: Caller) -> Response:
        """The engine's answer to a body, written wholly by the version that it names."""
        body = bodies.parse(raw)
        self._check(body)
        return _Forwarded(self, adapted(body, path), path, caller)

    async def ask(self, body: dict[str, Any], path: str, caller: Caller) -> Answer:
        """The engine's whole answer, for the gateway's own work; `body` is as `parse` gives it."""
        self._check(body)
        async with self._asked(adapted(body, path), path, caller) as upstream:
            content = await upstream.whole()
            return Answer(upstream.response.status, content, upstream.version)

    async def pass_on(self, body: dict[str, Any], path: str, caller: Caller, send: Send) -> None:
        """Ask an engine, and send what it answers. Before anything is sent, errors are raised."""
        async with self._asked(body, path, caller) as upstream:
            if upstream.response.content_type == "text/event-stream":
                await _send_stream(upstream, send, Beginnings(path, bodies.sequences(body)))
            else:
                await _send_whole(upstream, send)

    def _check(self, body: dict[str, Any]) -> None:
        bodies.model_of(body)
        refuse_dangerous(body)
        if self._adapters:
            bodies.refuse_prompt_logprobs(body)

    @contextlib.asynccontextmanager
    async def _asked(
        self, body: dict[str, Any], path: str, caller: Caller
    ) -> AsyncIterator[_Upstream]:
        """An engine's answer, begun by the version that the body names; let go on the way out."""
        with self._requests.watch(path, caller.role) as watch:
            self._pool.refuse_without_engine()
            turn = self._admission.turn(caller, bodies.sequences(body))
            async with turn:
                with await self._policy.gate.enter() as leave:
                    # Only now: the version may have changed while this request waited.
                    version = self._policy.version_of(bodies.model_of(body))
                    watch.admitted()
                    upstream = await self._begin(body, path, caller, version, leave, watch)
                    try:
                        async with upstream.response:
                            yield upstream
                    except aiohttp.ClientError as error:
                        raise await _failure(upstream.lease.replica, error) from error
                    finally:
                        upstream.lease.end()

    async def _begin(
        self,
        body: dict[str, Any],
        path: str,
        caller: Caller,
        version: str,
        leave: Pass,
        watch: Watch,
    ) -> _Upstream:
        """Ask the engine whose turn it is; if it is lost, the next, until none is left."""
        tried: set[Replica] = set()
        conversation = self._pool.conversation_of(body)
        while True:
            lease = self._pool.lease(version, conversation, tried)
            engine_name = lease.replica.loader.engine_names[version]
            try:
                response = await _post(lease.replica, path, body, engine_name, caller)
                return _Upstream(response, path, version, engine_name, lease, leave, watch)
            except aiohttp.ClientError as error:
                lease.end()
                tried.add(lease.replica)
                failure = await _failure(lease.replica, error)
                if isinstance(failure, EngineLost) and self._pool.fit(version, tried):
                    continue
                raise failure from error
            except BaseException:
                lease.end()
                raise


@dataclass(frozen=True, slots=True)
class _Upstream:
    """An engine's answer that has begun, and what the request holds until it has ended."""

    response: aiohttp.ClientResponse
    path: str
    version: str
    engine_name: str
    lease: Lease
    leave: Pass
    watch: Watch

    def taken_in(self) -> None:
        """The engine surely works at it, and ends it before it takes other weights; or has."""
        self.leave.give_back()
        self.lease.taken_in()

    def rewriter(self) -> Rewriter:
        return Rewriter(self.engine_name, f"{POLICY}@{self.version}", self.path)

    async def whole(self) -> bytes:
        content = await self.response.read()
        self.taken_in()
        self.watch.first_byte(is_stream=False)
        if self.response.status >= 400:
            return refusal(self.response.status, content)
        rewriter = self.rewriter()
        return rewriter.feed(content) + rewriter.finish()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a client sees of the engine's headers, and the version."""
        given = self.response.headers
        kept = {name: given[name] for name in PASSED_ON if name in given}
        if self.response.status >= 400:
            kept["Content-Type"] = "application/json"  # whatever the engine's own refusal was
        kept[VERSION_HEADER] = self.version
        return [(name.lower().encode(), value.encode("latin-1")) for name, value in kept.items()]


class _Forwarded(Response):
    """An answer that is fetched while it is sent, so that a hang-up is seen at any time."""

    def __init__(self, gateway: Gateway, body: dict[str, Any], path: str, caller: Caller) -> None:
        super().__init__()
        self._gateway = gateway
        self._asked = (body, path, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await _unless_hung_up(receive, self._gateway.pass_on(*self._asked, send)):
            await send({"type": "http.response.start", "status": CLIENT_CLOSED, "headers": []})
            await send({"type": "http.response.body", "body": b""})


async def _post(
    replica: Replica, path: str, body: dict[str, Any], engine_name: str, caller: Caller
) -> aiohttp.ClientResponse:
    """The engine's answer, begun. `ClientError` if it is lost, also when it still says so."""
    url = f"{replica.engine.base_url}{path}"
    sent = bodies.for_engine(body, engine_name, caller)
    session, headers = replica.connections.session, _to_engine()
    try:
        response = await session.post(url, data=sent, headers=headers)
    except aiohttp.ServerDisconnectedError:
        if session.closed:  # It was broken off from here, since the engine is not well.
            raise
        # After a failure of its own vLLM closes the connection without a word, and the next
        # request may enter it. One that has died refuses the second connection.
        response = await session.post(url, data=sent, headers=headers)
    if response.status >= 500 and not await replica.api.is_alive():
        response.close()
        raise aiohttp.ClientConnectionError("the engine is dying")
    return response


async def _send_whole(upstream: _Upstream, send: Send) -> None:
    content = await upstream.whole()
    headers = [*upstream.headers(), (b"content-length", str(len(content)).encode())]
    status = upstream.response.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_stream(upstream: _Upstream, send: Send, beginnings: Beginnings) -> None:
    """Send each piece as it comes. A client that reads slowly stops the reading from the engine,
    so that nothing piles up here, but keeps no other version from being loaded."""
    status, headers = upstream.response.status, upstream.headers()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    rewriter = upstream.rewriter()
    try:
        async for piece in upstream.response.content.iter_any():
            upstream.watch.first_byte(is_stream=True)
            if ready := rewriter.feed(piece):
                if beginnings.saw(ready):
                    upstream.taken_in()
                await send({"type": "http.response.body", "body": ready, "more_body": True})
        last = rewriter.finish()
        upstream.taken_in()
    except aiohttp.ClientError as error:
        failure = await _failure(upstream.lease.replica, error)
        last = stream_error(failure, upstream.path)
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


async def _failure(replica: Replica, error: aiohttp.ClientError) -> GalenError:
    """What a broken connection means: an engine that is well has given up this request alone."""
    is_out = isinstance(error, aiohttp.ClientConnectorError) or not replica.is_ready()
    if is_out or not await replica.api.is_alive():
        message = "the engine was lost while it worked on this; try again shortly"
        return EngineLost(message, retry_after_s=RETRY_AFTER_S)
    return UpstreamFailed("the engine broke off on this request; its log may say why")
