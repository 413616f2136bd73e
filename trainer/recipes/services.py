"""The two services that a stage calls."""

from __future__ import annotations

from pydantic import Field

from galen.settings import Settings


class Services(Settings):
    """Addresses and use of the two services. The key comes from `GALEN_KEY`."""

    server: str = "http://127.0.0.1:8000"
    judge: str = "http://127.0.0.1:8001"
    concurrency: int = Field(default=32, ge=1)
    """Most requests for completions at once."""
    rubric: str = "medical-safety"
    allow_mock: bool = False
    """Whether rewards may come from the judge's mock teacher; for rehearsals only."""
    allow_unqualified: bool = False
    """Allow a teacher that has not passed its examination (`galen judge qualify`)."""
    drift_every: int = Field(default=50, ge=0)
    """Rollout batches between two checks of the judge's anchors; 0 disables them."""
