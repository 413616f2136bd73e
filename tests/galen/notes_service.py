"""A small service in the services' shell, with a route for each way to end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import Field

from galen.errors import Overloaded, Unauthorized
from galen.records import NonBlank, Record
from galen.service.shell import wrap
from galen.telemetry import outgoing_headers, request_id

LIMIT = 200


class Note(Record):
    text: NonBlank
    count: int = 0


class StrictNote(Record):
    text: NonBlank
    count: int = Field(default=0, ge=0, lt=8)
    tags: tuple[Annotated[str, Field(max_length=3)], ...] = Field(
        ("a",), min_length=1, max_length=2
    )
    mode: Literal["on", "off"] = "on"
    inner: Note | None = None
    day: date | None = None
    pause: timedelta | None = None


def create_app(
    registry: CollectorRegistry,
    limit: int = LIMIT,
    *,
    local_only: bool = False,
    origins: tuple[str, ...] = (),
) -> FastAPI:
    """A service with a route for each way to end."""
    app = FastAPI()

    @app.post("/notes")
    async def note(note: Note) -> dict[str, str | None]:
        return {"text": note.text, "request_id": request_id.get()}

    @app.post("/strict")
    async def strict(note: StrictNote) -> None:
        return None

    @app.get("/outgoing")
    async def outgoing() -> dict[str, str]:
        return outgoing_headers()

    @app.get("/busy")
    async def busy() -> None:
        raise Overloaded("too many requests", retry_after_s=2.4)

    @app.get("/locked")
    async def locked() -> None:
        raise Unauthorized("no valid key")

    @app.get("/bug/{number}")
    async def bug(number: int) -> None:
        raise ZeroDivisionError(f"private detail {number}")

    own_limits = {"/notes\n": 10 * limit}
    wrap(app, "test", registry, limit, own_limits, local_only=local_only, origins=origins)
    return app


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error in `response`, whose status and shape are checked on the way."""
    assert response.status_code == status
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


async def post(http: httpx.AsyncClient, content: Any) -> httpx.Response:
    return await http.post("/notes", content=content, headers={"Content-Type": "application/json"})
