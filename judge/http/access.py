"""What the judge's routes share: who may call them, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from galen.keys import Caller, KeyRing, Role, require
from galen.service.key_limits import KeyLimits
from judge.schemas import ErrorAnswer, Wire

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_MEANINGS = {
    400: "Not JSON",
    401: "No valid key, where keys are set",
    403: "The key's role may not do this",
    404: "There is no such thing",
    409: "It contradicts what is stored",
    413: "The body is too large",
    415: "The Content-Type is not JSON",
    422: "A field or parameter is wrong, missing or unknown; `param` names it",
    429: "The key is at a limit, or too much waits; Retry-After says when to come back",
    503: "The database fails or the judge is stopping",
}
BODY_ERRORS = (400, 413, 415)
"""Statuses that any route with a body may answer."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's documented errors: `statuses`, and those of keys, parameters and the database."""
    every = sorted({*statuses, 401, 403, 422, 503})
    return {status: {"model": ErrorAnswer, "description": _MEANINGS[status]} for status in every}


class Access(SecurityBase):
    """A dependency that gives the caller. Its key needs one of these roles; admins always pass."""

    def __init__(self, *roles: Role) -> None:
        self._roles = roles
        self.model = HTTPBearer(description="A key of `GALEN_KEYS` or `judge.keys_file`")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> Caller:
        return may(request, *self._roles)


def identify(request: Request) -> Caller:
    """The caller. Raises `Unauthorized`."""
    keys: KeyRing = request.app.state.keys
    return keys.identify(request.headers.get("authorization"))


def may(request: Request, *roles: Role) -> Caller:
    """The caller. Raises `Unauthorized`, or `Forbidden` for a role that is none of these."""
    caller = identify(request)
    require(caller, *roles)
    return caller


def counted(handle: Handler) -> Handler:
    """Wraps `handle` in the key's limits, so a request counts before its body is read."""

    async def counting(request: Request) -> Response:
        limits: KeyLimits = request.app.state.limits
        with limits.turn(identify(request), request.scope):
            return await handle(request)

    return counting


class CountedRoute(APIRoute):
    def get_route_handler(self) -> Handler:
        return counted(super().get_route_handler())


def answer(model: Wire, status: int = 200) -> Response:
    """`model` as JSON, without FastAPI's second validation."""
    return Response(model.model_dump_json(), status_code=status, media_type="application/json")
