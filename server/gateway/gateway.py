"""Passes requests on to an engine and its answers back, bytes as they come.

What is changed on the way is in `body`, `adapt`, `rewrite` and `dialects`. A client that hangs up
closes the connection to the engine, which ends the generation. A request whose engine is lost
before a byte of the answer was sent is asked of another engine, if there is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galen.errors import EngineLost
from galen.hang_up import unless_hung_up
from galen.keys import Caller
from galen.web import CLIENT_CLOSED
from server.gateway import body as bodies
from server.gateway.adapt import adapted
from server.gateway.admission import Admission
from server.gateway.beginnings import Beginnings
from server.gateway.fields import refuse_dangerous
from server.gateway.request_metrics import RequestMetrics, Watch
from server.gateway.upstream import Upstream, failure, post, send_stream, send_whole
from server.policy.gate import Pass
from server.policy.policy import Policy
from server.policy.pool import Pool
from server.policy.replica import Replica
from server.settings import ServerSettings


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
                await send_stream(upstream, send, Beginnings(path, bodies.sequences(body)))
            else:
                await send_whole(upstream, send)

    def _check(self, body: dict[str, Any]) -> None:
        bodies.model_of(body)
        refuse_dangerous(body)
        if self._adapters:
            bodies.refuse_prompt_logprobs(body)

    @contextlib.asynccontextmanager
    async def _asked(
        self, body: dict[str, Any], path: str, caller: Caller
    ) -> AsyncIterator[Upstream]:
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
                        raise await failure(upstream.lease.replica, error) from error
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
    ) -> Upstream:
        """Ask the engine whose turn it is; if it is lost, the next, until none is left."""
        tried: set[Replica] = set()
        conversation = self._pool.conversation_of(body)
        while True:
            lease = self._pool.lease(version, conversation, tried)
            engine_name = lease.replica.loader.engine_names[version]
            try:
                response = await post(lease.replica, path, body, engine_name, caller)
                held_to = bodies.constrains(body)
                return Upstream(response, path, version, engine_name, lease, leave, watch, held_to)
            except aiohttp.ClientError as error:
                lease.end()
                tried.add(lease.replica)
                problem = await failure(lease.replica, error)
                if isinstance(problem, EngineLost) and self._pool.fit(version, tried):
                    continue
                raise problem from error
            except BaseException:
                lease.end()
                raise


class _Forwarded(Response):
    """An answer that is fetched while it is sent, so that a hang-up is seen at any time."""

    def __init__(self, gateway: Gateway, body: dict[str, Any], path: str, caller: Caller) -> None:
        super().__init__()
        self._gateway = gateway
        self._asked = (body, path, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await unless_hung_up(receive, self._gateway.pass_on(*self._asked, send)):
            await send({"type": "http.response.start", "status": CLIENT_CLOSED, "headers": []})
            await send({"type": "http.response.body", "body": b""})
