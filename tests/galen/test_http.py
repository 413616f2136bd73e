"""A service's client against a real server: typed errors, deadlines, odd answers."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from pydantic import BaseModel

from galen.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    GalenError,
    InvalidInput,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
    VersionRefused,
)
from galen.http import ServiceClient, retry_after
from galen.telemetry import request_id
from tests.galen.local_server import LocalServer, Reply


class Health(BaseModel):
    status: str


async def test_an_answer_is_its_json(client: ServiceClient, server: LocalServer) -> None:
    """A good answer comes back as JSON, or as the model asked for."""
    server.replies += [Reply(body=b'{"status": "ok"}')] * 2
    assert await client.call("GET", "/healthz") == {"status": "ok"}
    assert await client.call_for(Health, "GET", "/healthz") == Health(status="ok")


async def test_key_and_request_id_are_sent(client: ServiceClient, server: LocalServer) -> None:
    """Each call shows the key and passes on the id of the request that it serves."""
    server.replies += [Reply(), Reply()]
    token = request_id.set("run-7")
    await client.call("GET", "/v1/models")
    request_id.reset(token)
    await client.call("GET", "/v1/models")
    first, second = (head.lower() for head in server.requests)
    assert first.startswith("get /v1/models http/1.1")
    assert "authorization: bearer a-secret-key" in first
    assert "x-request-id: run-7" in first
    assert "x-request-id" not in second


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, PayloadTooLarge),
        (422, InvalidInput),
        (429, Overloaded),
        (500, UpstreamFailed),
        (503, Unavailable),
        (504, DeadlineExceeded),
        (418, UpstreamFailed),
    ],
)
async def test_a_status_becomes_its_error(
    client: ServiceClient, server: LocalServer, status: int, kind: type[GalenError]
) -> None:
    """The error has the status's type, and the message, field and waiting time of the answer."""
    body = json.dumps({"error": {"message": "why", "param": "items.0"}}).encode()
    server.replies.append(Reply(status, body, {"Retry-After": "7"}))
    with pytest.raises(GalenError) as caught:
        await client.call("POST", "/v1/score", body={"items": []})
    error = caught.value
    assert type(error) is kind
    assert (error.message, error.param, error.retry_after_s) == ("why", "items.0", 7.0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "version_refused", VersionRefused),
        (409, "conflict", Conflict),
        (409, ["version_refused"], Conflict),
        (404, "version_refused", NotFound),
    ],
)
async def test_a_refused_version_is_told_from_other_conflicts(
    client: ServiceClient, server: LocalServer, status: int, code: object, kind: type[GalenError]
) -> None:
    """By its code, since both have one status."""
    body = json.dumps({"error": {"message": "why", "code": code}}).encode()
    server.replies.append(Reply(status, body))
    with pytest.raises(GalenError) as caught:
        await client.call("POST", "/policy/versions", body={})
    assert type(caught.value) is kind


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"error": "x"}', b'{"error": {}}', b"1"])
async def test_an_error_in_another_shape_is_told_by_its_status(
    client: ServiceClient, server: LocalServer, body: bytes
) -> None:
    """A proxy's error page still becomes a typed error, and its text is not repeated."""
    server.replies.append(Reply(503, body))
    with pytest.raises(Unavailable) as caught:
        await client.call("GET", "/v1/models")
    assert caught.value.message == f"{client.base_url} answered 503"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("2.5", 2.5),
        ("0", 0.0),
        ("Wed, 21 Oct 2065 07:28:00 GMT", None),
        ("nan", None),
        ("inf", None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(header: str, expected: float | None) -> None:
    """What nobody can wait for is as good as no header."""
    assert retry_after(httpx.Response(429, headers={"Retry-After": header})) == expected


def test_no_retry_after_is_no_waiting_time() -> None:
    """Without the header the caller chooses how long to wait."""
    assert retry_after(httpx.Response(429)) is None


@pytest.mark.parametrize("reply", [Reply(body=b"<html>"), Reply(body=b"\xff"), Reply(302, b"")])
async def test_an_answer_that_is_not_json_is_the_services_fault(
    client: ServiceClient, server: LocalServer, reply: Reply
) -> None:
    """A page, rubbish or a redirect is `UpstreamFailed`, and never a bare decoding error."""
    server.replies.append(reply)
    with pytest.raises(UpstreamFailed, match="not JSON"):
        await client.call("GET", "/v1/models")


async def test_an_answer_of_another_shape_is_the_services_fault(
    client: ServiceClient, server: LocalServer
) -> None:
    """JSON that does not fit the model is `UpstreamFailed`, without the values in it."""
    server.replies.append(Reply(body=b'{"status": 5, "words": "private"}'))
    with pytest.raises(UpstreamFailed, match="unknown shape") as caught:
        await client.call_for(Health, "GET", "/healthz")
    assert "private" not in caught.value.message


async def test_nobody_listening_is_unavailable(client: ServiceClient, server: LocalServer) -> None:
    """A service that is down is a retryable error that names its address."""
    await server.stop()
    with pytest.raises(Unavailable, match=f"cannot reach {client.base_url}"):
        await client.call("GET", "/v1/models")
    assert not await client.is_ready()


@pytest.mark.parametrize("of_the_call", [True, False])
async def test_a_slow_service_exceeds_the_deadline(server: LocalServer, of_the_call: bool) -> None:
    """The deadline ends a call whose answer does not come, be it the call's or the client's."""
    released = asyncio.Event()
    server.replies.append(Reply(released=released))
    url = await server.start()
    async with (
        ServiceClient(url, deadline_s=3600.0 if of_the_call else 0.05) as client,
        asyncio.timeout(60),  # a client without a deadline fails here instead of hanging
    ):
        with pytest.raises(DeadlineExceeded, match="did not answer within"):
            await client.call("GET", "/slow", deadline_s=0.05 if of_the_call else None)
    released.set()
    await server.stop()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (204, False)])
async def test_ready_is_what_readyz_says(
    client: ServiceClient, server: LocalServer, status: int, ready: bool
) -> None:
    """A service is ready when `/readyz` answers 200 and not otherwise."""
    server.replies.append(Reply(status, b""))
    assert await client.is_ready() == ready
    assert server.requests[0].startswith("GET /readyz ")


@pytest.mark.parametrize("written", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_as_other_clients_want_it(
    server: LocalServer, written: str
) -> None:
    """With `/v1`, as OpenAI's SDK takes it, the same routes are reached."""
    server.replies.append(Reply())
    async with ServiceClient(await server.start() + written) as client:
        await client.call("GET", "/v1/models")
    assert server.requests[0].startswith("GET /v1/models ")
    await server.stop()


@pytest.mark.parametrize("address", ["localhost:8000", "", "ftp://localhost", "8000"])
def test_an_address_without_its_scheme_is_said(address: str) -> None:
    """Rather than taken for a service that is away."""
    with pytest.raises(InvalidInput, match="write http://"):
        ServiceClient(address)
