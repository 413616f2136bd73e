"""What several of these tests need: a server to call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from galen.http import ServiceClient
from tests.galen.local_server import LocalServer


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
