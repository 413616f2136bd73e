"""What several of these tests need: a server to call, and a service in its shell."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry

from galen.http import ServiceClient
from tests.galen.local_server import LocalServer
from tests.galen.notes_service import create_app


@pytest.fixture
def server() -> LocalServer:
    return LocalServer()


@pytest.fixture
async def client(server: LocalServer) -> AsyncIterator[ServiceClient]:
    """A client of `server`, with a key."""
    url = await server.start()
    async with ServiceClient(url, key="a-secret-key", deadline_s=30.0) as made:
        yield made
    await server.stop()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def http(registry: CollectorRegistry) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(registry), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
