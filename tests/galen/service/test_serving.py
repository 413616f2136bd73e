"""How the services listen and are served: by raw sockets, against uvicorn."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from galen.errors import Conflict, InvalidInput
from galen.service.serving import listen, uvicorn_config
from galen.service.shell import wrap
from tests.fakes.listening import ListeningServer


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["one ", "two ", "three"]))

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    wrap(app, "test", CollectorRegistry(), 1000)
    return app


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = ListeningServer(uvicorn_config(create_app(), shutdown_s=1))
    with listen("127.0.0.1", 0) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await server.listening.wait()
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def exchange(port: int, *pieces: bytes) -> tuple[str, bytes]:
    """Head and body of what comes back until the service hangs up; each piece is sent by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().lower(), body


OFFER = (
    b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA\r\n\r\n"
)
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [[OFFER + b"hello"], [OFFER, b"hello"], [OFFER[:20], OFFER[20:], b"he", b"llo"]],
    ids=["at once", "body apart", "head in two pieces"],
)
async def test_a_client_that_offers_http_2_keeps_its_body(port: int, pieces: list[bytes]) -> None:
    """Java's client offers it with each request; it is served in HTTP/1.1, and so is its next."""
    head, rest = await exchange(port, *pieces, LAST)
    assert head.startswith("http/1.1 200")
    assert rest.startswith(b"5HTTP/1.1 200")


CHUNKED = b"POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "start",
    [b"GET /healthz HTTP/1.1\r\nX: ", b"GET /", CHUNKED + b"0\r\nX: ", b"\r\n"],
    ids=["header", "line", "trailer", "blank lines"],
)
async def test_a_head_without_end_is_refused(port: int, start: bytes) -> None:
    """Else one client without a key could fill the memory; the service goes on."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionError):
        writer.write(start)
        for _ in range(1000):
            writer.write((b"\r\n" if start == b"\r\n" else b"aa") * 32_768)
            await writer.drain()
    writer.close()
    assert (await exchange(port, LAST))[0].startswith("http/1.1 200")


async def test_a_long_head_and_a_long_body_are_no_attack(port: int) -> None:
    """Long cookies are served, and a body may come in as many pieces as it likes."""
    cookie = b"Cookie: " + b"a" * 50_000 + b"\r\n"
    sent = CHUNKED.replace(b"\r\n\r\n", b"\r\n" + cookie + b"\r\n")
    head, rest = await exchange(port, sent, *[b"1\r\na\r\n"] * 500, b"0\r\n\r\n", LAST)
    assert head.startswith("http/1.1 200")
    assert rest.startswith(b"500HTTP/1.1 200")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_head_is_answered_as_get_without_its_body(port: int, method: str) -> None:
    """Load balancers ask so whether a service lives."""
    asked = f"{method} /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, body = await exchange(port, asked.encode())
    assert head.startswith("http/1.1 200")
    assert "content-length: 4" in head
    assert body == (b'"ok"' if method == "GET" else b"")


@pytest.mark.parametrize("path", ["/stream", "/healthz", "/none"])
async def test_a_client_of_http_1_0_gets_no_chunks(port: int, path: str) -> None:
    """It does not know them; nginx speaks it to the services behind it unless told otherwise."""
    head, body = await exchange(port, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert "transfer-encoding" not in head
    assert f"content-length: {len(body)}" in head
    if path == "/stream":
        assert body == b"one two three"


def test_a_taken_port_and_a_foreign_address_are_told_apart() -> None:
    """Each is one clear sentence, before anything else happens."""
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 is taken"):
            listen("127.0.0.1", port)
    with pytest.raises(InvalidInput, match=r"cannot listen on 192\.0\.2\.1:80"):
        listen("192.0.2.1", 80)


@pytest.fixture
def few_files() -> Iterator[int]:
    """The most files that the system allows this process, which begins with fewer."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1] if before[1] != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), before[1]))
    yield min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_service_may_have_many_connections_open(few_files: int) -> None:
    """As many files as the system allows, and no more connections than those are enough for."""
    config = uvicorn_config(create_app(), shutdown_s=1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files
    assert config.limit_concurrency == min(4096, few_files // 3)


def test_services_run_on_uvloop() -> None:
    """Whatever starts them: it is installed with them, and uvicorn chooses it."""
    factory = uvicorn_config(create_app(), shutdown_s=1).get_loop_factory()
    assert factory is not None
    assert factory.__module__.startswith("uvloop")
