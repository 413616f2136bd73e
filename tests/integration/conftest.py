"""One policy server for each kind of engine, shared by all tests that its versions suffice for.

An engine's start takes half a minute, so it starts once in a run of all tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.settings import EngineSettings
from tests.integration.real_server import KEY_LINES, KEYS, VLLM_FIRST, Server, running, settings_for


@pytest.fixture(scope="session", params=VLLM_FIRST)
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server for merged weights, with keys; its own client is an admin."""
    engine = EngineSettings(backend=request.param)
    settings = settings_for(tmp_path_factory.mktemp("shared"), engine=engine)
    with running(settings, key_lines=KEY_LINES, key=KEYS["admin"]) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server with its base serving, whatever the test before has published."""
    shared_server.activate("base")
    return shared_server
