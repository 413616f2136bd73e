"""An engine's answer on its way to a client: begun, rewritten, sent on as it comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.types import Send

from galen.errors import EngineLost, GalenError, Unavailable, UpstreamFailed
from galen.keys import Caller
from galen.telemetry import REQUEST_ID_HEADER, request_id
from server.client import VERSION_HEADER
from server.gateway import body as bodies
from server.gateway.beginnings import Beginnings
from server.gateway.dialects import refusal, refuse_unfollowed, stream_error
from server.gateway.request_metrics import Watch
from server.gateway.rewrite import Rewriter
from server.policy.gate import Pass
from server.policy.policy import POLICY
from server.policy.pool import RETRY_AFTER_S
from server.policy.replica import Lease, Replica

PASSED_ON = ("Content-Type", "Retry-After")
"""The engine's headers that a client sees."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An engine's answer that has begun, and what the request holds until it has ended."""

    response: aiohttp.ClientResponse
    path: str
    version: str
    engine_name: str
    lease: Lease
    leave: Pass
    watch: Watch
    constrained: bool
    """The answer has to fit a schema or a grammar, which may be why the engine fails at it."""

    def taken_in(self) -> None:
        """The engine surely works at it, and ends it before it takes other weights; or has."""
        self.leave.give_back()
        self.lease.taken_in()

    def rewriter(self) -> Rewriter:
        public_name = f"{POLICY}@{self.version}"
        return Rewriter(self.engine_name, public_name, self.path, constrained=self.constrained)

    async def whole(self) -> bytes:
        """The answer's body. `SchemaNotFollowed` if the engine gave up on what it was held to."""
        content = await self.response.read()
        self.taken_in()
        self.watch.first_byte(is_stream=False)
        if self.constrained:
            refuse_unfollowed(self.response.status, content)
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


async def post(
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


async def send_whole(upstream: Upstream, send: Send) -> None:
    content = await upstream.whole()
    headers = [*upstream.headers(), (b"content-length", str(len(content)).encode())]
    status = upstream.response.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def send_stream(upstream: Upstream, send: Send, beginnings: Beginnings) -> None:
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
        problem = await failure(upstream.lease.replica, error, constrained=upstream.constrained)
        last = stream_error(problem, upstream.path)
    except asyncio.CancelledError:
        # The server ends; or the client has hung up, and then nobody reads this.
        stopping = Unavailable("the server is being stopped; try again shortly")
        await send({"type": "http.response.body", "body": stream_error(stopping, upstream.path)})
        raise
    await send({"type": "http.response.body", "body": last})


def _to_engine() -> dict[str, str]:
    return {"Content-Type": "application/json", REQUEST_ID_HEADER: request_id.get() or ""}


async def failure(
    replica: Replica, error: aiohttp.ClientError, *, constrained: bool = False
) -> GalenError:
    """What a broken connection means: an engine that is well has given up this request alone.

    `constrained` if it was a stream that had to fit a schema or a grammar: vLLM breaks off one of
    `/v1/responses` where it would tell of a whole answer what was wrong.
    """
    is_out = isinstance(error, aiohttp.ClientConnectorError) or not replica.is_ready()
    if is_out or not await replica.api.is_alive():
        message = "the engine was lost while it worked on this; try again shortly"
        return EngineLost(message, retry_after_s=RETRY_AFTER_S)
    if constrained:
        message = "the engine broke off on this request, perhaps since it cannot follow its schema"
        return UpstreamFailed(f"{message}; ask without stream to read why")
    return UpstreamFailed("the engine broke off on this request; its log may say why")
