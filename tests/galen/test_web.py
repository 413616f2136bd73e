"""What stands around every route: body limits, request ids, one shape of error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import Field

from galen.errors import Overloaded, Unauthorized
from galen.records import NonBlank, Record
from galen.shell import wrap
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


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def http(registry: CollectorRegistry) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(registry), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def chunks(total: int) -> AsyncIterator[bytes]:
    """A note of `total` bytes, twenty at a time."""
    body = b'{"text": "' + b"a" * (total - 12) + b'"}'
    for start in range(0, total, 20):
        yield body[start : start + 20]


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


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_at_the_limit_passes(http: httpx.AsyncClient, chunked: bool) -> None:
    """The limit itself is allowed, however the body is sent."""
    whole = b"".join([piece async for piece in chunks(LIMIT)])
    response = await post(http, chunks(LIMIT) if chunked else whole)
    assert (response.status_code, len(response.json()["text"])) == (200, LIMIT - 12)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_over_the_limit_is_refused(http: httpx.AsyncClient, chunked: bool) -> None:
    """One byte more is 413, whether its length was announced or found out."""
    whole = b"".join([piece async for piece in chunks(LIMIT + 1)])
    response = await post(http, chunks(LIMIT + 1) if chunked else whole)
    assert ("content-length" in response.request.headers) == (not chunked)
    error = error_of(response, 413)
    assert (error["code"], "200 bytes" in error["message"]) == ("payload_too_large", True)


@pytest.mark.parametrize("length", ["-1", "x", "1e1", "", "+5", "9" * 5000])
async def test_a_length_that_is_no_number_is_refused(http: httpx.AsyncClient, length: str) -> None:
    """A made-up length never slips past the limit."""
    response = await http.post("/notes", content=b"{}", headers={"Content-Length": length})
    assert error_of(response, 413)["code"] == "payload_too_large"


@pytest.mark.parametrize("body", [b"{", b'{"text": private}', b"private"])
async def test_malformed_json_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    """A body that is not JSON is told apart from a wrong field, and not repeated."""
    error = error_of(await post(http, body), 400)
    assert (error["code"], "private" in error["message"]) == ("malformed_json", False)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"text": "private words", "count": "private"}', "count"),
        (b'{"text": ["private"]}', "text"),
        (b'{"text": "private\\ud800"}', "text"),
        (b'{"text": "a", "more": "private"}', "more"),
        (b'{"count": 1}', "text"),
        (b'"private"', None),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_is_not(
    http: httpx.AsyncClient, body: bytes, param: str | None
) -> None:
    """A validation error says which field is wrong and never what stood in it."""
    response = await post(http, body)
    error = error_of(response, 422)
    assert (error["code"], error["param"]) == ("invalid_request", param)
    assert error["message"].startswith(f"{param or 'body'}: ")
    assert "private" not in response.text


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ([], "body: must be an object: {…}"),
        ({}, "text: is missing"),
        ({"text": 1}, "text: must be a string"),
        ({"text": ""}, "text: too short; it must have characters: 1 at least"),
        ({"text": " "}, "text: blank, or not of the form that /docs gives"),
        ({"text": "\x00"}, "text: contains a NUL character; remove it"),
        ({"text": "a", "more": 1}, "more: unknown here; /docs lists what there is"),
        ({"text": "a", "count": 0.5}, "count: must be a whole number"),
        ({"text": "a", "count": "x"}, "count: must be a whole number"),
        ({"text": "a", "count": -1}, "count: must be 0 or more"),
        ({"text": "a", "count": 8}, "count: must be less than 8"),
        ({"text": "a", "tags": "t"}, "tags: must be a list"),
        ({"text": "a", "tags": []}, "tags: too few; at least 1 must be given"),
        ({"text": "a", "tags": ["b"] * 3}, "tags: too many; at most 2 may be given"),
        ({"text": "a", "tags": ["long"]}, "tags.0: too long; it may have 3 characters at most"),
        ({"text": "a", "mode": "of"}, "mode: must be 'on' or 'off'"),
        ({"text": "a", "inner": 1}, "inner: must be an object: {…}"),
        ({"text": "a", "day": "x"}, "day: must be a date: YYYY-MM-DD"),
        ({"text": "a", "pause": "x"}, "pause: Input should be a valid timedelta"),
    ],
)
async def test_what_is_wrong_is_said_plainly(
    http: httpx.AsyncClient, note: object, reason: str
) -> None:
    """Who knows JSON and no Python is told what to mend; what is rare, in pydantic's words."""
    error = error_of(await http.post("/strict", json=note), 422)
    assert error["message"].startswith(reason)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/none", 404, "no such route; /docs lists them"),
        ("/notes", 405, "this route takes POST only; /docs lists the routes"),
    ],
)
async def test_a_wrong_route_or_method_is_told_the_right_ones(
    http: httpx.AsyncClient, path: str, status: int, message: str
) -> None:
    """Whoever mistypes a path or a method learns what there is."""
    assert error_of(await http.get(path), status)["message"] == message


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
async def test_a_body_that_is_not_said_to_be_json_is_415(
    http: httpx.AsyncClient, kind: str
) -> None:
    """The usual slip with curl is told apart from a wrong body."""
    response = await http.post("/notes", content=b'{"text": "a"}', headers={"Content-Type": kind})
    assert error_of(response, 415)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"count": ' + b"9" * 5000 + b"}", b"\xff\xfe"])
async def test_json_that_cannot_be_read_is_400(body: bytes) -> None:
    """Depth, digits and encoding that Python's reader refuses are the caller's fault."""
    app = create_app(CollectorRegistry(), limit=1_000_000)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as wide:
        assert error_of(await post(wide, body), 400)["code"] == "malformed_json"


@pytest.mark.parametrize("name", ["我的病", "a b", "x" * 65, ""])
async def test_a_made_up_name_is_not_repeated(http: httpx.AsyncClient, name: str) -> None:
    """An unknown field's name may hold anything, and is shown only if it looks like a name."""
    response = await post(http, f'{{"text": "a", "{name}": 1}}'.encode())
    assert error_of(response, 422)["param"] == "(unknown)"


async def test_a_harmless_request_id_passes_through(http: httpx.AsyncClient) -> None:
    """The caller's id reaches the route and comes back."""
    response = await http.post("/notes", json={"text": "a"}, headers={"X-Request-Id": "run-7"})
    assert response.json()["request_id"] == "run-7"
    assert response.headers.get_list("X-Request-Id") == ["run-7"]


@pytest.mark.parametrize("given_id", ["a b", "x" * 65, "<b>"])
async def test_a_hostile_request_id_is_replaced(http: httpx.AsyncClient, given_id: str) -> None:
    """An id that could harm a log is not used; route and answer share the new one."""
    response = await http.post("/notes", json={"text": "a"}, headers={"X-Request-Id": given_id})
    stamped = response.headers["X-Request-Id"]
    assert stamped == response.json()["request_id"] != given_id


async def test_a_requests_trace_is_passed_on(http: httpx.AsyncClient) -> None:
    """What a route calls sees whose trace it belongs to; the next request is in none."""
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    headers = {"X-Request-Id": "run-7", **trace}
    assert (await http.get("/outgoing", headers=headers)).json() == headers
    assert set((await http.get("/outgoing")).json()) == {"X-Request-Id"}
    broken = {"traceparent": "00-1-2-3", "tracestate": "vendor=1"}
    assert set((await http.get("/outgoing", headers=broken)).json()) == {"X-Request-Id"}


@pytest.mark.parametrize(
    ("path", "status"), [("/none", 404), ("/busy", 429), ("/notes", 405), ("/bug/7", 500)]
)
async def test_every_error_bears_the_request_id(
    http: httpx.AsyncClient, path: str, status: int
) -> None:
    """However a request ends, its answer can be found in the log."""
    response = await http.get(path, headers={"X-Request-Id": "run-7"})
    assert error_of(response, status)
    assert response.headers.get_list("X-Request-Id") == ["run-7"]


async def test_a_bug_is_500_without_its_detail(http: httpx.AsyncClient) -> None:
    """An unexpected exception is told in OpenAI's shape; what it says stays in the log."""
    response = await http.get("/bug/7")
    error = error_of(response, 500)
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "private" not in response.text
    assert "ZeroDivisionError" not in response.text


async def test_a_busy_service_says_when_to_come_back(http: httpx.AsyncClient) -> None:
    """`retry_after_s` becomes a header of whole seconds, never fewer than it takes."""
    response = await http.get("/busy")
    assert error_of(response, 429)["code"] == "overloaded"
    assert response.headers["Retry-After"] == "3"


async def test_an_unknown_caller_is_told_the_scheme(http: httpx.AsyncClient) -> None:
    """A 401 names the scheme, as HTTP asks."""
    response = await http.get("/locked")
    assert error_of(response, 401)["code"] == "unauthorized"
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "route", "status"), [("/bug/7", "/bug/{number}", "500"), ("/x/7", "unmatched", "404")]
)
async def test_requests_are_counted_by_route(
    http: httpx.AsyncClient, registry: CollectorRegistry, path: str, route: str, status: str
) -> None:
    """Metrics hold the route's template, so that paths made up by callers add no series."""
    await http.get(path)
    labels = {"route": route, "method": "GET", "status": status}
    assert registry.get_sample_value("galen_test_http_requests_total", labels) == 1.0


CONTROL = [*range(0x20), *range(0x7F, 0xA0)]


@pytest.mark.parametrize("code", CONTROL, ids=[f"U+{code:04X}" for code in CONTROL])
async def test_a_path_with_a_control_character_reaches_nothing(
    http: httpx.AsyncClient, registry: CollectorRegistry, code: int
) -> None:
    """`/notes%0A` would match the route and no rule that compares paths; no rule sees it either."""
    for path in (f"/notes{quote(chr(code))}", f"/notes/{quote(chr(code))}x"):
        error = error_of(await http.post(path, json={"text": "a" * LIMIT * 2}), 404)
        assert error["code"] == "not_found"
    labels = {"route": "unmatched", "method": "POST", "status": "404"}
    assert registry.get_sample_value("galen_test_http_requests_total", labels) == 2.0


async def test_head_is_counted_as_itself(
    http: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    """It is answered as GET is, and the metrics tell them apart."""
    assert (await http.head("/outgoing")).status_code == 200
    assert (await http.head("/notes")).headers["Allow"] == "POST"
    labels = {"route": "/outgoing", "method": "HEAD", "status": "200"}
    assert registry.get_sample_value("galen_test_http_requests_total", labels) == 1.0


async def test_made_up_methods_are_counted_as_one(
    http: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    """Methods made up by callers add no series either."""
    for method in ("BREW", "WHEN"):
        await http.request(method, "/x/7")
    labels = {"route": "unmatched", "method": "other", "status": "404"}
    assert registry.get_sample_value("galen_test_http_requests_total", labels) == 2.0


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, deflate"])
async def test_a_packed_body_is_415(http: httpx.AsyncClient, encoding: str) -> None:
    """It is not unpacked, so that a few bytes never become many."""
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    response = await http.post("/notes", content=b"\x1f\x8b", headers=headers)
    assert "Content-Encoding" in error_of(response, 415)["message"]


PAGE = "https://page.example"


@pytest.mark.parametrize("local_only", [True, False])
async def test_a_page_may_call_from_an_origin_that_is_set(local_only: bool) -> None:
    """Its browser asks first, may send a key, and shows the page what our headers say; errors are
    readable, too."""
    app = create_app(CollectorRegistry(), local_only=local_only, origins=(PAGE,))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        asking = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        allowed = (await http.options("/notes", headers=asking)).headers
        assert allowed["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in allowed["Access-Control-Allow-Methods"]
        assert "authorization" in allowed["Access-Control-Allow-Headers"]
        for body, status in (({"text": "a"}, 200), ({}, 422)):
            answer = await http.post("/notes", json=body, headers={"Origin": PAGE})
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origins", [(), (PAGE,)])
async def test_a_page_of_another_origin_may_not(origins: tuple[str, ...]) -> None:
    """Nobody's may unless it is set: its browser keeps the answer from it."""
    app = create_app(CollectorRegistry(), origins=origins)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for method in ("OPTIONS", "POST"):
            answer = await http.request(method, "/notes", json={"text": "a"}, headers=headers)
            assert "Access-Control-Allow-Origin" not in answer.headers


async def asked(headers: dict[str, str], *origins: str) -> httpx.Response:
    """What a service without keys says to a request with these headers."""
    app = create_app(CollectorRegistry(), local_only=True, origins=origins)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.post("/notes", json={"text": "a"}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:8000"},
        {"Host": "LOCALHOST"},
        {"Host": "127.0.0.1:8000"},
        {"Host": "127.8.9.1"},
        {"Host": "[::1]:8000"},
        {"Host": "galen.localhost:8000"},
        {"Origin": "http://localhost:7860"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://[::1]:3000"},
    ],
)
async def test_this_machine_is_answered_without_keys(headers: dict[str, str]) -> None:
    """By each of its own names, and to a page that it serves itself."""
    assert (await asked(headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "192.168.1.7:8000"},
        {"Host": "0.0.0.0:8000"},
        {"Host": "localhost:8000/x"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Origin": "http://localhost http://evil.example"},
    ],
)
@pytest.mark.parametrize("origins", [(), (PAGE,)])
async def test_no_page_elsewhere_reaches_a_service_without_keys(
    headers: dict[str, str], origins: tuple[str, ...]
) -> None:
    """Neither by a name that was made to mean this machine, nor by a request across origins."""
    error = error_of(await asked(headers, *origins), 403)
    assert (error["code"], "GALEN_KEYS" in error["message"]) == ("forbidden", True)
    assert "evil" not in error["message"]


async def test_of_two_hosts_each_counts() -> None:
    """No proxy and no parser decides which of them is believed."""
    for hosts in (["localhost", "evil.example"], ["evil.example", "localhost"]):
        app = create_app(CollectorRegistry(), local_only=True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            headers = [("Host", host) for host in hosts]
            error_of(await http.get("http://localhost/busy", headers=headers), 403)


async def test_a_service_with_keys_is_asked_by_any_name(http: httpx.AsyncClient) -> None:
    """A page elsewhere does not have the key."""
    headers = {"Host": "galen.example", "Origin": "https://chat.example"}
    response = await http.post("/notes", json={"text": "a"}, headers=headers)
    assert response.status_code == 200
