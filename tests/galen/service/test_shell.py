"""What stands around every route: limits, request ids, who is answered, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.galen.notes_service import LIMIT, create_app, error_of, post


async def chunks(total: int) -> AsyncIterator[bytes]:
    """A note of `total` bytes, twenty at a time."""
    body = b'{"text": "' + b"a" * (total - 12) + b'"}'
    for start in range(0, total, 20):
        yield body[start : start + 20]


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


async def test_a_path_with_a_control_character_reaches_nothing(
    http: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    """`/notes%0A` would match the route and no rule that compares paths; no rule sees it either."""
    codes = [*range(0x20), *range(0x7F, 0xA0)]
    for code in codes:
        for path in (f"/notes{quote(chr(code))}", f"/notes/{quote(chr(code))}x"):
            error = error_of(await http.post(path, json={"text": "a" * LIMIT * 2}), 404)
            assert error["code"] == "not_found"
    labels = {"route": "unmatched", "method": "POST", "status": "404"}
    counted = registry.get_sample_value("galen_test_http_requests_total", labels)
    assert counted == 2 * len(codes)


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
