"""Which settings of the policy server fit together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import ServerSettings


def test_requests_wait_as_long_as_a_swap_may_take() -> None:
    """Else a swap within its limits would refuse everybody who waits for it."""
    with pytest.raises(ValidationError, match=r"wait_limit_s must be at least 360 .*drain_limit_s"):
        ServerSettings(model=Path("m"), drain_limit_s=300.0)
    ServerSettings(model=Path("m"), drain_limit_s=300.0, wait_limit_s=360.0)
