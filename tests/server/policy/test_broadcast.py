"""A version for every engine, or for none. With engines to talk to: test_several_engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from galen.errors import Unavailable
from server.policy import broadcast
from server.schemas import Probe
from server.versions.store import Weights


async def test_without_engines_nothing_is_loaded(tmp_path: Path) -> None:
    """The last of them may have gone while requests were let out of the gate."""
    probe = Probe(token_ids=((1, 2),), token_logprobs=((-1.0,),))
    with pytest.raises(Unavailable, match="was lost meanwhile"):
        await broadcast.load([], Weights("v1", tmp_path, "0" * 64, probe), "base")
