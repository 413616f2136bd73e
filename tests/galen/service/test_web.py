"""What goes wrong has one shape, and says what to mend."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.galen.notes_service import create_app, error_of, post


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
        ({}, "text: Field required"),
        ({"text": "\x00"}, "text: contains a NUL character; remove it"),
        ({"text": "a", "count": 8}, "count: Input should be less than 8"),
        ({"text": "a", "tags": ["long"]}, "tags.0: String should have at most 3 characters"),
    ],
)
async def test_what_is_wrong_is_said_plainly(
    http: httpx.AsyncClient, note: object, reason: str
) -> None:
    """The place, and what stands there wrongly in pydantic's words or ours."""
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
