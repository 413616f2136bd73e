"""Real clients at the shared server, as its users make them.

The model is a toy that writes at random, so what is tested is never what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.real_server import Server
from tests.integration.sdk.clients import Clients


@pytest.fixture
def clients(server: Server) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(server, stack)
