"""The policy server's routes. They find their parts in the app's state, see `create_app`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from galen.errors import InvalidInput, NotFound
from galen.keys import Caller, KeyRing, require
from galen.service.key_limits import KeyLimits
from server.client import ROLE_HEADER
from server.engine_metrics import engine_metrics
from server.gateway.proxy import Forwarded, Gateway
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
    headers = request.headers
    parts: Parts = request.app.state.parts
    return parts.keys.identify(headers.get("authorization"), headers.get("x-api-key"))


CallerOf = Annotated[Caller, Depends(_caller)]


class EngineRoute(APIRoute):
    """A route that an engine answers.

    It bypasses FastAPI's dependency injection, which would cost more than all that the gateway
    does. The engine is asked for the route's own path, never for one that a client wrote.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def forward(request: Request) -> Response:
            caller = await _caller(request)
            require(caller, "user", "rollout")
            caller = _with_role(caller, request.headers.get(ROLE_HEADER))
            parts: Parts = request.app.state.parts
            return Forwarded(parts.gateway, parts.limits, self.path, caller)

        return forward


async def _passed_on() -> None:
    """As vLLM defines it; `model` is `policy`, `policy@<version>` or `base`.

    Answers are research material, never a diagnosis.
    """


def _with_role(caller: Caller, role: str | None) -> Caller:
    """The caller, or the caller as a rollout: anybody may ask for the lower priority."""
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
        route_class_override=EngineRoute,
    )


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
async def metrics(parts: PartsOf, caller: CallerOf) -> PlainTextResponse:
    """The gateway's metrics and, while they answer, the engines', told apart by a label."""
    text = generate_latest(parts.registry).decode() + await engine_metrics(parts.pool.replicas)
    return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
