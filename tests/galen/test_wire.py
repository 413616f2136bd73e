"""What a client may send before a request is understood: by raw sockets, against uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from galen.web import wrap
from galen.wire import WireLimits, WireProtocol, wire_config
from tests.fakes.listening import ListeningServer

BODY_LIMIT = 200_000
GET = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /length HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Hasty(WireProtocol):
    """The same law with a little patience, so that a test need not wait."""

    limits = WireLimits(
        patience_s=0.2, least_bytes=100, linger_s=0.1, pipelined=2, connections=4, deaf_s=0.2
    )


class Patient(WireProtocol):
    """With so much patience that a test which pauses is within it, busy machine or not."""

    limits = WireLimits(patience_s=1.0, least_bytes=100)


@dataclass
class Answer:
    status: int
    headers: str
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


@dataclass
class Wire:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Send until all is sent or the other side has hung up."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        length = int(head.lower().split("content-length: ")[1].split()[0])
        return Answer(status, head, await self.reader.readexactly(length))

    async def is_hung_up(self) -> bool:
        """Whether nothing more comes, and the connection ends."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10) == b""
        except ConnectionError:
            return True


@dataclass
class Service:
    port: int
    release: asyncio.Event

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()

    async def is_serving(self) -> bool:
        async with self.connection() as wire:
            await wire.send(GET + b"\r\n")
            return (await wire.answer()).status == 200


def create_app(release: asyncio.Event) -> FastAPI:
    app = FastAPI()

    @app.get("/ready")
    async def ready() -> str:
        return "ok"

    @app.get("/held")
    async def held() -> str:
        await release.wait()
        return "held"

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"a" * 65536
                    await asyncio.sleep(0)  # else nobody else would have a turn any more
            finally:
                release.set()

        return StreamingResponse(pieces())

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    wrap(app, "test", CollectorRegistry(), BODY_LIMIT)
    return app


@contextlib.asynccontextmanager
async def serving(protocol: Any) -> AsyncIterator[Service]:
    release = asyncio.Event()
    config = wire_config(create_app(release), shutdown_s=1)
    config.http = protocol
    server = ListeningServer(config)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await server.listening.wait()
        try:
            yield Service(listener.getsockname()[1], release)
        finally:
            release.set()
            server.should_exit = True
            await running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(WireProtocol) as running:
        yield running


@pytest.fixture
async def hasty() -> AsyncIterator[Service]:
    async with serving(Hasty) as running:
        yield running


@pytest.fixture
async def patient() -> AsyncIterator[Service]:
    async with serving(Patient) as running:
        yield running


BOMBS = {
    "a header without end": [GET + b"X: ", *[b"a" * 65536] * 160],
    "a header's name without end": [GET, *[b"a" * 65536] * 160],
    "ten thousand headers": [GET, b"X: 1\r\n" * 10_000, b"\r\n"],
    "many small headers": [GET, b"X: 1\r\n" * 200, b"\r\n"],
    "one large header at once": [GET + b"X: " + b"a" * 70_000 + b"\r\n\r\n"],
    "a line without end": [b"GET /", *[b"a" * 65536] * 160],
    "a long URL at once": [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"],
    "blank lines without end": [b"\r\n" * 32768] * 160,
    "a chunk's length without end": [CHUNKED + b"1;", *[b"a" * 65536] * 160],
    "a trailer without end": [CHUNKED + b"0\r\nX: ", *[b"a" * 65536] * 160],
}


@pytest.mark.parametrize("what", BOMBS)
async def test_a_head_beyond_its_bounds_is_refused(what: str, service: Service) -> None:
    """431 in OpenAI's shape, and no more is read; the service goes on."""
    async with service.connection() as wire:
        sending = asyncio.create_task(wire.send(*BOMBS[what]))
        with contextlib.suppress(ConnectionError):  # a reset may overtake the answer
            answer = await wire.answer()
            assert (answer.status, answer.code) == (431, "head_too_large")
            assert "connection: close" in answer.headers
        assert await wire.is_hung_up()
        await sending
    assert await service.is_serving()


async def test_a_head_within_its_bounds_is_served(service: Service) -> None:
    """Long cookies and many headers are no attack."""
    async with service.connection() as wire:
        await wire.send(
            GET + b"".join(b"X%d: %s\r\n" % (n, b"a" * 600) for n in range(90)) + b"\r\n"
        )
        assert (await wire.answer()).status == 200


NO_REQUEST = {
    "garbage": b"\x00\x16\x03\x01 hello\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another protocol": b"GET / SMTP/1.1\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a NUL in a header": GET + b"X: a\x00b\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "two hosts": GET + b"Host: example.org\r\n\r\n",
    "a length and chunks": POST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length below nothing": POST + b"Content-Length: -1\r\n\r\n",
    "a length beyond all": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a chunk's length that is none": CHUNKED + b"zz\r\n",
    "a trailer": CHUNKED + b"1\r\na\r\n0\r\nX: 1\r\n\r\n",
    "no path": b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("what", NO_REQUEST)
async def test_what_is_no_request_is_refused(what: str, service: Service) -> None:
    """400 in OpenAI's shape, and the connection ends, since nobody knows where the next begins."""
    async with service.connection() as wire:
        await wire.send(NO_REQUEST[what])
        answer = await wire.answer()
        assert (answer.status, answer.code) == (400, "malformed_http")
        assert await wire.is_hung_up()
    assert await service.is_serving()


@pytest.mark.parametrize(
    "sent",
    [
        GET,
        GET[:7],
        b"\r\n",
        POST + b"Content-Length: 50\r\n\r\n",
        POST + b"Content-Length: 50\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
    ],
)
async def test_a_request_that_does_not_go_on_is_given_up(sent: bytes, hasty: Service) -> None:
    """408, however far it had come; a client that says nothing at all is hung up on."""
    async with hasty.connection() as wire:
        await wire.send(sent)
        if sent.strip():
            answer = await wire.answer()
            assert (answer.status, answer.code) == (408, "too_slow")
        assert await wire.is_hung_up()


async def test_a_trickle_is_given_up(hasty: Service) -> None:
    """A byte now and then does not keep a connection, neither in the head nor in the body."""
    for start in (GET + b"X: ", POST + b"Content-Length: 5000\r\n\r\n"):
        async with hasty.connection() as wire:
            answering = asyncio.create_task(wire.answer())
            await wire.send(start)
            while not answering.done():
                await wire.send(b"a")
                await asyncio.wait({answering}, timeout=0.02)
            assert (await answering).status == 408


async def test_a_steady_body_may_take_its_time(patient: Service) -> None:
    """What grows fast enough is read to its end, though that takes longer than the patience."""
    async with patient.connection() as wire:
        await wire.send(POST + b"Content-Length: 3000\r\n\r\n")
        for _ in range(30):
            await wire.send(b"a" * 100)
            await asyncio.sleep(0.1)
        assert (await wire.answer()).body == b"3000"


async def test_nobody_stays_without_a_word(hasty: Service) -> None:
    """A connection that says nothing is closed, at first and after an answer."""
    async with hasty.connection() as silent, hasty.connection() as served:
        await served.send(GET + b"\r\n")
        assert (await served.answer()).status == 200
        await served.send(b"\r\n")
        assert await silent.is_hung_up()
        assert await served.is_hung_up()


async def test_waiting_for_an_answer_is_no_silence(hasty: Service) -> None:
    """However long an answer takes, its client is not hung up on."""
    async with hasty.connection() as wire, hasty.connection() as silent:
        await wire.send(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await silent.is_hung_up()  # the patience is over
        assert await hasty.is_serving()
        hasty.release.set()
        assert (await wire.answer()).body == b'"held"'


async def test_a_body_without_end_is_refused(hasty: Service) -> None:
    """413 once it is past the limit, and the rest is not read for ever."""
    async with hasty.connection() as wire:
        piece = b"8000\r\n" + b"a" * 0x8000 + b"\r\n"
        sending = asyncio.create_task(wire.send(CHUNKED, *[piece] * 3000))
        with contextlib.suppress(ConnectionError):
            assert (await wire.answer()).code == "payload_too_large"
        assert await wire.is_hung_up()
        await sending
    assert await hasty.is_serving()


async def test_a_refused_client_that_sends_the_rest_is_served_again(service: Service) -> None:
    """An honest client's connection outlives its mistake."""
    async with service.connection() as wire:
        await wire.send(POST + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1))
        assert (await wire.answer()).status == 413
        await wire.send(b"a" * (BODY_LIMIT + 1), GET + b"\r\n")
        assert (await wire.answer()).status == 200


async def test_requests_sent_ahead_are_answered_in_order(service: Service) -> None:
    """A few of them; HTTP/1.1 allows that."""
    async with service.connection() as wire:
        await wire.send(GET + b"\r\n" + POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n")
        assert [(await wire.answer()).body for _ in range(3)] == [b'"ok"', b"3", b'"ok"']


async def test_a_flood_of_requests_sent_ahead_is_hung_up_on(hasty: Service) -> None:
    """They are not kept by the thousand while the first is at work."""
    async with hasty.connection() as wire:
        held = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await wire.send(held, *[(GET + b"\r\n") * 100] * 20)
        with contextlib.suppress(ConnectionError):
            assert (await wire.answer()).code == "malformed_http"
        assert await wire.is_hung_up()
    assert await hasty.is_serving()


async def test_more_connections_than_there_may_be_are_told_to_come_again(hasty: Service) -> None:
    """503 with Retry-After; those that are there go on."""
    held = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(hasty.connection()) for _ in range(4)]
        for wire in wires:
            await wire.send(held)
        async with hasty.connection() as late:
            answer = await late.answer()
            assert (answer.status, answer.code) == (503, "unavailable")
            assert "retry-after: 1" in answer.headers
            assert await late.is_hung_up()
        hasty.release.set()
        assert [(await wire.answer()).status for wire in wires] == [200] * 4


async def test_a_client_that_asks_first_is_told_to_go_on(service: Service) -> None:
    """As curl does before a long body."""
    async with service.connection() as wire:
        await wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"abc")
        assert (await wire.answer()).body == b"3"


async def test_an_old_client_is_answered_and_hung_up_on(service: Service) -> None:
    """HTTP/1.0 has one request to a connection."""
    async with service.connection() as wire:
        await wire.send(b"GET /ready HTTP/1.0\r\n\r\n")
        assert (await wire.answer()).body == b'"ok"'
        assert await wire.is_hung_up()


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
async def test_an_offer_of_another_protocol_is_ignored(upgrade: bytes, service: Service) -> None:
    """The request is answered as if it had not been made."""
    async with service.connection() as wire:
        await wire.send(GET + b"Connection: Upgrade\r\nUpgrade: %s\r\n\r\n" % upgrade)
        assert (await wire.answer()).body == b'"ok"'


async def test_an_offer_of_another_protocol_costs_no_body(service: Service) -> None:
    """Java's client offers HTTP/2 with every request, those with a body too."""
    for name in (b"Upgrade", b"upgrade", b"UPGRADE"):
        async with service.connection() as wire:
            offer = POST + b"Connection: Upgrade, HTTP2-Settings\r\n" + name + b": h2c\r\n"
            await wire.send(offer + b"Content-Length: 5\r\n\r\nabcde")
            assert (await wire.answer()).body == b"5"
            await wire.send(offer + b"Content-Length: 5\r\n\r\n", b"abcde")
            assert (await wire.answer()).body == b"5"


async def test_who_leaves_in_the_middle_of_a_body_is_no_error(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells of a request and of no failure of the service."""
    caplog.set_level(logging.INFO)
    async with service.connection() as wire:
        await wire.send(POST + b"Content-Length: 50\r\n\r\nabc")
        assert await service.is_serving()
    while not any(getattr(r, "route", "") == "/length" for r in caplog.records):
        assert await service.is_serving()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_who_takes_nothing_of_an_answer_loses_it(hasty: Service) -> None:
    """The connection is broken off and what writes the answer ends, or both stay for ever."""
    async with asyncio.timeout(60), hasty.connection() as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(GET.replace(b"/ready", b"/endless") + b"\r\n")
        await hasty.release.wait()
