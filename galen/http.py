"""The HTTP plumbing of both services' clients: one pool, typed errors, a deadline for each call."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from galen import errors
from galen.errors import (
    DeadlineExceeded,
    GalenError,
    InvalidInput,
    Unavailable,
    Unreachable,
    UpstreamFailed,
)
from galen.telemetry import outgoing_headers

_KINDS: tuple[type[GalenError], ...] = (
    *(errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.Conflict),
    *(errors.PayloadTooLarge, InvalidInput, errors.Overloaded, Unavailable, DeadlineExceeded),
    errors.Unsupported,
)
_BY_STATUS = {400: InvalidInput} | {kind.status: kind for kind in _KINDS}

M = TypeVar("M", bound=BaseModel)


class ServiceClient:
    """Base of a service's own client. `deadline_s` bounds a whole call, in seconds.

    `base_url` is the service's address, with or without the `/v1` that other clients want.
    `transport` reaches a service in this process instead of over the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        deadline_s: float = 120.0,
        connections: int = 64,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InvalidInput(f"{base_url!r} is no address; write http://host:port")
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._deadline_s = deadline_s
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(deadline_s, connect=10.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Any:
        """The answer's JSON, or the typed error that the answer describes."""
        limit_s = deadline_s or self._deadline_s
        response = await self._send(method, path, body, limit_s, headers)
        if response.is_error:
            raise error_of(response, self.base_url)
        try:
            return response.json()
        except ValueError as error:
            raise UpstreamFailed(
                f"{self.base_url}{path} answered something that is not JSON"
            ) from error

    async def call_for(
        self,
        model: type[M],
        method: str,
        path: str,
        *,
        body: Any = None,
        deadline_s: float | None = None,
    ) -> M:
        """The answer as `model`; an answer of another shape is `UpstreamFailed`."""
        answer = await self.call(method, path, body=body, deadline_s=deadline_s)
        try:
            return model.model_validate(answer)
        except ValidationError as error:
            raise UpstreamFailed(f"{self.base_url}{path} answered in an unknown shape") from error

    async def is_ready(self) -> bool:
        """Whether `/readyz` says yes within five seconds."""
        try:
            return (await self._send("GET", "/readyz", None, 5.0)).status_code == 200
        except GalenError:
            return False

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        every = {**outgoing_headers(), **(headers or {})}
        try:
            async with asyncio.timeout(deadline_s):
                return await self._http.request(method, path, json=body, headers=every)
        except (TimeoutError, httpx.TimeoutException) as error:
            message = f"{self.base_url}{path} did not answer within {deadline_s:.0f} s"
            raise DeadlineExceeded(message) from error
        except httpx.HTTPError as error:
            raise unreachable(self.base_url) from error


def unreachable(base_url: str) -> Unreachable:
    return Unreachable(f"cannot reach {base_url}; is the service up? `galen status` shows")


def error_of(response: httpx.Response, base_url: str) -> GalenError:
    """The typed error that a service's error answer describes."""
    try:
        detail = response.json()["error"]
        message, param = str(detail["message"]), detail.get("param")
        code = str(detail.get("code"))
    except (ValueError, KeyError, TypeError):
        message, param, code = f"{base_url} answered {response.status_code}", None, ""
    status = response.status_code
    kind = _BY_STATUS.get(status, UpstreamFailed)
    if (status, code) == (errors.VersionRefused.status, errors.VersionRefused.code):
        kind = errors.VersionRefused
    return kind(message, param=param, retry_after_s=retry_after(response))


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that a `Retry-After` header asks for, if it gives a number."""
    try:
        seconds = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
