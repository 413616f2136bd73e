"""Whom the page answers, and what may be sent to it."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from webui.app import create_app
from webui.door import Door
from webui.settings import WebuiSettings


def client_of(app: ASGIApp, host: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f"http://{host}")


def behind_the_door(host: str, *, has_keys: bool) -> httpx.AsyncClient:
    origins = ("https://tunnel.example",)
    return client_of(Door(PlainTextResponse("in"), has_keys=has_keys, origins=origins), host)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:7860"}, 200),
        ({"Origin": "https://tunnel.example"}, 200),
        ({"Host": "tunnel.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_page_without_keys_answers_this_machine_alone(
    headers: dict[str, str], status: int
) -> None:
    """By its own names, and to an origin that is set; a name that was made to resolve to this
    machine is refused."""
    async with behind_the_door("localhost:7860", has_keys=False) as http:
        assert (await http.get("/", headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://galen.example"}, 200),
        ({"Origin": "https://tunnel.example"}, 200),
        ({"Origin": "https://out.example", "X-Forwarded-Host": "out.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://galen.example.evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_page_with_keys_answers_its_own_origin_alone(
    headers: dict[str, str], status: int
) -> None:
    """Whatever it is called, also behind a proxy; Gradio would let any page read with a cookie."""
    async with behind_the_door("galen.example", has_keys=True) as http:
        assert (await http.post("/login", headers=headers)).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/upload/",
        "/gradio_api/upload?upload_id=1",
        "/gradio_api//upload",
        "/upload",
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
        "/gradio_api/stream/1",
        "/gradio_api/vibe-edit",
    ],
)
async def test_uploads_are_refused(path: str) -> None:
    """The page has none, nor any other of Gradio's ways to hand it files or code."""
    async with behind_the_door("localhost", has_keys=False) as http:
        assert (await http.post(path, files={"files": ("a.txt", b"text")})).status_code == 403


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/dev/reload",
        "/gradio_api/runs",
        "/gradio_api/run-history/buckets",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://evil.example",
        "/gradio_api/openapi.json",
        "/gradio_api/call/x",
        "/gradio_api/heartbeat/../upload",
        "/gradio_api/heartbeat/%2e%2e/upload",
        "/gradio_api/heartbeats/x",
        "/assets/..%2Fruns",
        "/assetsx/a.js",
        "/static",
    ],
)
async def test_routes_that_the_page_does_not_use_are_refused(method: str, path: str) -> None:
    """By whole parts of the path, and however they are written."""
    async with behind_the_door("localhost", has_keys=False) as http:
        url = httpx.URL("http://localhost").copy_with(raw_path=path.encode())
        assert (await http.request(method, url)).status_code == 403


async def test_the_page_has_a_door() -> None:
    """Gradio's own routes are behind it, and no body is larger than the page has use for."""
    async with client_of(create_app(WebuiSettings()), "localhost:7860") as http:
        for path in ("/", "/config", "/healthz", "/gradio_api/info"):
            assert (await http.get(path)).status_code == 200
            refused = await http.get(path, headers={"Host": "evil.example"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert (await http.post("/gradio_api/upload", files={"files": b"a"})).status_code == 403
        large = await http.post("/gradio_api/queue/join", content=b"a" * 2_000_000)
        assert large.status_code == 413
