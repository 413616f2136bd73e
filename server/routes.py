"""The policy server's routes; what they work with lies in the app's state, see `create_app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from starlette.types import Receive, Scope, Send

from galen.errors import InvalidInput, NotFound
from galen.key_limits import KeyLimits
from galen.keys import Caller, KeyRing, require
from server.client import ROLE_HEADER
from server.exposition import merge
from server.gateway.adapt import answers_are_not_kept
from server.gateway.gateway import Gateway
from server.openapi import operation
from server.paths import PASSED_ON
from server.policy.policy import Policy
from server.policy.pool import Pool
from server.schemas import ActivateVersion, LoadVersion, PolicyState

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Parts:
    keys: KeyRing
    limits: KeyLimits
    registry: CollectorRegistry
    pool: Pool
    policy: Policy
    gateway: Gateway


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(_parts)]


async def _caller(request: Request) -> Caller:
    given = request.headers
    parts: Parts = request.app.state.parts
    return parts.keys.identify(given.get("authorization"), given.get("x-api-key"))


CallerOf = Annotated[Caller, Depends(_caller)]


class PassedOnRoute(APIRoute):
    """Hands the request to its function as it is, since FastAPI's way of finding out what a
    function needs costs more than all that the gateway does with the request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return _passed_on


async def _passed_on(request: Request) -> Response:
    """As vLLM defines it; `model` is `policy`, `policy@<version>` or `base`.

    Answers are research material, never a diagnosis.
    """
    caller = await _caller(request)
    require(caller, "user", "rollout")
    asking = _as_asked(caller, request.headers.get(ROLE_HEADER))
    parts: Parts = request.app.state.parts
    answer = parts.gateway.forward(await request.body(), request.scope["path"], asking)
    return _Counted(answer, parts.limits, asking) if asking.is_limited else answer


class _Counted(Response):
    """An answer that counts by its key's limits, from before it is asked for until it has ended."""

    def __init__(self, answer: Response, limits: KeyLimits, caller: Caller) -> None:
        super().__init__()
        self._answer = answer
        self._limits = limits
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._limits.turn(self._caller, scope):
            await self._answer(scope, receive, send)


def _as_asked(caller: Caller, role: str | None) -> Caller:
    """The caller, or the caller as a rollout: anybody may go behind the others."""
    if role not in (None, "rollout"):
        raise InvalidInput(f"{ROLE_HEADER} can only be 'rollout'; leave it out", param=ROLE_HEADER)
    return replace(caller, role="rollout") if role else caller


for _path in PASSED_ON:
    router.add_api_route(
        _path,
        _passed_on,
        methods=["POST"],
        name=_path,
        openapi_extra=operation(_path),
        route_class_override=PassedOnRoute,
    )


@router.get("/v1/responses/{response_id}")
@router.delete("/v1/responses/{response_id}")
@router.post("/v1/responses/{response_id}/cancel")
async def earlier_response(response_id: str, caller: CallerOf) -> None:
    """Answers are not kept: always 404."""
    raise answers_are_not_kept()


@router.get("/v1/models")
async def models(parts: PartsOf, caller: CallerOf) -> dict[str, Any]:
    """The model names that a request may use now."""
    cards = [
        {"id": name, "object": "model", "created": 0, "owned_by": "galen"}
        for name in parts.policy.models()
    ]
    return {"object": "list", "data": cards}


@router.get("/v1/models/{name}")
async def model(name: str, parts: PartsOf, caller: CallerOf) -> dict[str, Any]:
    """One of the model names."""
    listed = {card["id"]: card for card in (await models(parts, caller))["data"]}
    if name not in listed:
        raise NotFound(f"no such model; there are {', '.join(listed)}", param="model")
    return dict(listed[name])


@router.get("/policy")
async def policy(parts: PartsOf, caller: CallerOf) -> PolicyState:
    """The current version and every other one that is known."""
    return parts.policy.state()


@router.post("/policy/versions")
async def load(asked: LoadVersion, parts: PartsOf, caller: CallerOf) -> PolicyState:
    """Take a folder as a version; answers once its parity probe has passed."""
    require(caller, "admin")
    return await parts.policy.load(asked.name, asked.path, activate=asked.activate)


@router.post("/policy/activate")
async def activate(asked: ActivateVersion, parts: PartsOf, caller: CallerOf) -> PolicyState:
    """Roll forward or back to a known version, or to `base`."""
    require(caller, "admin")
    return await parts.policy.activate(asked.name)


@router.delete("/policy/versions/{name}")
async def delete(name: str, parts: PartsOf, caller: CallerOf) -> PolicyState:
    """Forget a version that does not serve; its folder stays."""
    require(caller, "admin")
    return await parts.policy.delete(name)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the gateway itself runs."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(parts: PartsOf) -> dict[str, str]:
    """Whether the engine runs and a policy is loaded; 503 with the reason if not."""
    parts.pool.refuse_without_engine()
    return {"status": "ready", "policy": parts.policy.state().current}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(parts: PartsOf) -> PlainTextResponse:
    """The gateway's metrics and, while they answer, the engines', told apart by a label."""
    own = generate_latest(parts.registry).decode()
    replicas = parts.pool.replicas
    texts = await asyncio.gather(*(replica.api.metrics() for replica in replicas))
    labelled = [(replica.label, text) for replica, text in zip(replicas, texts, strict=True)]
    return PlainTextResponse(merge(own, labelled), media_type=CONTENT_TYPE_PLAIN_0_0_4)
