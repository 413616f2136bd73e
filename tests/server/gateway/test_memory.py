"""Bodies and answers of all requests together have a bound."""

from __future__ import annotations

import pytest

from galen.errors import Overloaded
from server.gateway.memory import Memory


def test_what_is_beyond_the_limit_is_refused_and_nothing_stays_taken() -> None:
    """Whoever is refused costs nobody anything."""
    memory = Memory(10)
    with memory.share() as large:
        large(9)
        with pytest.raises(Overloaded), memory.share() as small:
            small(1)
            small(1)
        assert memory.used == 9
    assert memory.used == 0
