"""A request's way to an engine, and its answer's way back, bytes as they come.

In order: read and check the body (`request`, `fields`), wait for a turn (`admission`) and for an
open gate (`policy.gate`), choose the version and an engine, send, rewrite the answer (`rewrite`).

A client that hangs up closes the connection to the engine, which ends the generation. A request
whose engine is lost before a byte of the answer was sent goes to another engine, if there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import (
    EngineLost,
    GalenError,
    InvalidInput,
    Overloaded,
    Unavailable,
    UpstreamFailed,
)
from galen.keys import Caller
from galen.service.hang_up import unless_hung_up
from galen.service.key_limits import KeyLimits
from galen.service.web import CLIENT_CLOSED
from galen.telemetry import outgoing_headers
from server.client import VERSION_HEADER
from server.gateway.admission import Admission
from server.gateway.errors import refusal, stream_error
from server.gateway.memory import Memory, Take
from server.gateway.request import EngineRequest
from server.gateway.request_metrics import RequestMetrics, Watch
from server.gateway.rewrite import Rewriter
from server.paths import WITHOUT_ENGINE_STEP
from server.policy.gate import Flight
from server.policy.policy import POLICY, Policy
from server.policy.pool import RETRY_AFTER_S, Pool
from server.policy.replica import Replica
from server.settings import ServerSettings

ENGINE_HEADERS = ("Content-Type", "Retry-After")
"""The engine's headers that a client sees."""
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is not streamed; it is kept in memory until it is whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is whole: status, JSON, and the version that wrote it."""

    status: int
    content: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """An engine's answer that has begun, with what its request occupies until the end."""

    response: aiohttp.ClientResponse
    first: bytes
    """Of a stream. Until it has come, a request whose engine is lost can go to another one."""
    rewriter: Rewriter
    replica: Replica
    version: str
    watch: Watch
    take: Take

    @property
    def is_stream(self) -> bool:
        return _is_stream(self.response)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers for the client: some of the engine's, and the version."""
        given = self.response.headers
        kept = {name: given[name] for name in ENGINE_HEADERS if name in given}
        if self.response.status >= 400:
            kept["Content-Type"] = "application/json"
        kept[VERSION_HEADER] = self.version
        return [(name.lower().encode(), value.encode("latin-1")) for name, value in kept.items()]

    async def pieces(self) -> AsyncIterator[bytes]:
        """The answer as it comes, rewritten. Raises `ClientError` if the engine is lost."""
        self.watch.first_byte(is_stream=True)
        if ready := self.rewriter.feed(self.first):
            yield ready
        async for piece in self.response.content.iter_any():
            if ready := self.rewriter.feed(piece):
                yield ready
        if rest := self.rewriter.finish():
            yield rest

    async def whole(self) -> bytes:
        """The whole answer. Raises `InvalidInput` or `Overloaded` if it is too large to be kept."""
        content = bytearray()
        async for piece in self.response.content.iter_any():
            self.take(len(piece))
            content += piece
            if len(content) > LARGEST_ANSWER:
                message = f"the answer is larger than {LARGEST_ANSWER:,} bytes; ask with stream, "
                raise InvalidInput(f"{message}or for fewer samples, tokens or logprobs", param="n")
        self.watch.first_byte(is_stream=False)
        if self.response.status >= 400:
            return refusal(self.response.status, bytes(content))
        return self.rewriter.feed(bytes(content)) + self.rewriter.finish()


class Gateway:
    def __init__(
        self, settings: ServerSettings, pool: Pool, policy: Policy, metrics: RequestMetrics
    ) -> None:
        self._adapters = settings.adapters is not None
        self._pool = pool
        self._policy = policy
        self._metrics = metrics
        self._memory = Memory()
        engines = len(pool.replicas)
        self._admission = Admission(
            settings.rollouts_at_once * engines, settings.rollouts_beside_people * engines
        )

    async def ask(self, body: dict[str, Any], path: str, caller: Caller) -> Answer:
        """The whole answer, for the server's own work; `body` is parsed JSON.

        Raises `GalenError` where no engine has answered.
        """
        async with self._asked(EngineRequest.of(body, path, caller)) as upstream:
            content = await upstream.whole()
            return Answer(upstream.response.status, content, upstream.version)

    async def pass_on(self, request: EngineRequest, send: Send) -> None:
        """Ask an engine and send its answer. Until something is sent, errors are raised."""
        begun = False
        try:
            async with self._asked(request) as upstream:
                headers, status = upstream.headers(), upstream.response.status
                if not upstream.is_stream:
                    content = await upstream.whole()
                    headers.append((b"content-length", str(len(content)).encode()))
                start = {"type": "http.response.start", "status": status, "headers": headers}
                if upstream.is_stream:
                    await send(start)
                    begun = True
                    # A client that reads slowly stops the reading from the engine, so that
                    # nothing piles up here.
                    async for piece in upstream.pieces():
                        await send(_body(piece, more=True))
            # The flight has ended, so a client that does not read delays nobody.
            if begun:
                await send(_body(b""))
            else:
                await send(start)
                await send(_body(content))
        except GalenError as error:
            if not begun:
                raise
            await send(_body(stream_error(error, request.path)))
        except asyncio.CancelledError:
            # The server stops; or the client hung up and reads nothing.
            if begun:
                stopping = Unavailable("the server is being stopped; try again shortly")
                await send(_body(stream_error(stopping, request.path)))
            raise

    @contextlib.asynccontextmanager
    async def _asked(self, request: EngineRequest) -> AsyncIterator[Upstream]:
        """An engine's answer, begun by the version that the request names."""
        if self._adapters:
            _refuse_prompt_logprobs(request.body)
        caller = request.caller
        with (
            self._metrics.watch(request.path, caller.role) as watch,
            self._memory.share() as take,
        ):
            take(request.size)
            self._pool.refuse_without_engine()
            async with self._turn(request):
                with await self._policy.gate.enter() as flight:
                    # Read only now, since the version may have changed while the request waited.
                    flight.version = self._policy.version_of(request.model)
                    watch.admitted()
                    upstream = await self._begin(request, flight, watch, take)
                    try:
                        async with upstream.response:
                            yield upstream
                    except aiohttp.ClientError as error:
                        raise await _failure(upstream.replica, error) from error

    def _turn(self, request: EngineRequest) -> contextlib.AbstractAsyncContextManager[None]:
        if request.path in WITHOUT_ENGINE_STEP:
            return contextlib.nullcontext()
        return self._admission.turn(request.caller, request.sequences)

    async def _begin(
        self, request: EngineRequest, flight: Flight, watch: Watch, take: Take
    ) -> Upstream:
        """Ask the chosen engine; if it is lost, the next one, until none is left."""
        tried: set[Replica] = set()
        conversation = self._pool.conversation_of(request.body)
        version = flight.version
        while True:
            replica = self._pool.choose(version, conversation, tried)
            flight.board(replica)
            engine_name = replica.loader.engine_names[version]
            try:
                response, first = await _post(replica, request, engine_name)
            except aiohttp.ClientError as error:
                flight.board(None)
                tried.add(replica)
                problem = await _failure(replica, error)
                if isinstance(problem, EngineLost) and self._pool.fit(version, tried):
                    continue
                raise problem from error
            rewriter = Rewriter(engine_name, f"{POLICY}@{version}", request.path)
            return Upstream(response, first, rewriter, replica, version, watch, take)


class Forwarded(Response):
    """An engine's answer to an HTTP request, fetched while it is sent.

    The request counts against its key's limits from before its body is read.
    """

    def __init__(self, gateway: Gateway, limits: KeyLimits, path: str, caller: Caller) -> None:
        super().__init__()
        self._gateway = gateway
        self._limits = limits
        self._path = path
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._limits.turn(self._caller, scope):
            raw = await Request(scope, receive).body()
            request = EngineRequest.read(raw, self._path, self._caller)
            if not await unless_hung_up(receive, self._gateway.pass_on(request, send)):
                await send({"type": "http.response.start", "status": CLIENT_CLOSED, "headers": []})
                await send(_body(b""))


def _is_stream(response: aiohttp.ClientResponse) -> bool:
    return response.content_type == "text/event-stream"


async def _post(
    replica: Replica, request: EngineRequest, engine_name: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """The engine's answer, begun, and the first piece of it if it is a stream.

    Raises `ClientError` if the engine is lost or dying.
    """
    url = f"{replica.engine.base_url}{request.path}"
    body = request.for_engine(engine_name)
    headers = {"Content-Type": "application/json", **outgoing_headers()}
    session = replica.connections.session
    try:
        response = await session.post(url, data=body, headers=headers)
    except aiohttp.ServerDisconnectedError:
        if session.closed:  # the gateway closed it, because the engine is not well
            raise
        # vLLM closes a connection silently after an internal error, and this request may have gone
        # into it. A dead engine refuses the second connection.
        response = await session.post(url, data=body, headers=headers)
    if response.status >= 500 and not await replica.api.is_alive():
        response.close()
        raise aiohttp.ClientConnectionError("the engine is dying")
    if not _is_stream(response):
        return response, b""
    try:
        return response, await response.content.readany()
    except BaseException:
        response.close()
        raise


async def _failure(replica: Replica, error: aiohttp.ClientError) -> GalenError:
    """What a broken connection means: the engine is lost, or it gave up only this request."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.EMFILE:
        message = "the server has too many connections open; try again shortly"
        return Overloaded(message, retry_after_s=RETRY_AFTER_S)
    is_out = isinstance(error, aiohttp.ClientConnectorError) or not replica.is_ready()
    if is_out or not await replica.api.is_alive():
        message = "the engine was lost while it worked on this; try again shortly"
        return EngineLost(message, retry_after_s=RETRY_AFTER_S)
    return UpstreamFailed("the engine broke off on this request; its log may say why")


def _refuse_prompt_logprobs(body: dict[str, Any]) -> None:
    """With adapters, vLLM's CPU build dies when such a request meets another in one batch."""
    echoed = body.get("echo") and body.get("logprobs") is not None
    if echoed or body.get("prompt_logprobs") is not None:
        field = "echo" if echoed else "prompt_logprobs"
        message = f"{field}: a server of adapters gives no log-probabilities of prompts"
        raise InvalidInput(message, param=field)


def _body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}
