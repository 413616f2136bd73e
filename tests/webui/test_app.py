"""The page as an application and as a process."""

from __future__ import annotations

import socket

import httpx
import pytest

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import Conflict, InvalidInput
from galen.keys import KEYS_VARIABLE, KeyRing
from webui.app import create_app, serve
from webui.frame import heading
from webui.settings import WebuiSettings


def test_taken_port_is_named() -> None:
    """A port in use is one clear sentence with the port in it, before anything else happens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} .* is taken"):
            serve(WebuiSettings(port=port))


def test_open_bind_without_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is not put on a network for everybody."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match="without keys"):
        serve(WebuiSettings(host="192.0.2.1"))


async def test_page_asks_visitors_for_their_key() -> None:
    """With keys, a name and its own key open the page; nothing else does."""
    visitors = KeyRing.parse(["ann:user:correct-horse", "bob:user:battery-staple"])
    app = create_app(WebuiSettings(), visitors=visitors)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def enter(name: str, secret: str) -> int:
            answer = await http.post("/login", data={"username": name, "password": secret})
            return answer.status_code

        assert (await http.get("/config")).status_code == 401
        assert await enter("ann", "wrong-key-here") == 400
        assert await enter("bob", "correct-horse") == 400
        assert await enter("ann", "correct-horse") == 200
        assert (await http.get("/config")).status_code == 200


async def test_health_needs_no_key() -> None:
    """Whoever watches the process may ask whether it lives."""
    app = create_app(WebuiSettings(), visitors=KeyRing.parse(["ann:user:correct-horse"]))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize("rehearsal", [True, False])
def test_heading_disclaims_and_names_a_rehearsal(rehearsal: bool) -> None:
    """The disclaimer is in every heading, the rehearsal's warning only in a rehearsal's."""
    shown = heading(rehearsal)
    assert DISCLAIMER_ZH in shown
    assert DISCLAIMER_EN in shown
    assert ("worthless as medicine" in shown) == rehearsal
