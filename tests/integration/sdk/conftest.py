"""One server for each engine, as an operator starts it, and real clients at it.

The model is a toy that writes at random, so what is tested is never what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from server.settings import EngineSettings
from tests.integration.real_server import VLLM_FIRST, running, settings_for
from tests.integration.sdk.clients import KEY_LINES, KEYS, Clients


@pytest.fixture(scope="package", params=VLLM_FIRST)
def clients(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clients]:
    """Each engine starts once for the whole package."""
    engine = EngineSettings(backend=request.param)
    settings = settings_for(tmp_path_factory.mktemp("sdk"), engine=engine)
    with (
        running(settings, key_lines=KEY_LINES, key=KEYS["admin"]) as server,
        ExitStack() as stack,
    ):
        yield Clients(server, request.param, stack)
