"""The interface of an engine, whether the gateway runs it or somebody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

OnReady = Callable[[], Awaitable[None]]

PLAIN_RELOAD = "reload_weights"
"""Every vLLM has it. On a CPU it leaves a tied output head as it was."""


class Engine(Protocol):
    """What the gateway needs of an engine."""

    served_name: str
    """The engine's own name for its start weights."""
    reload_method: str
    """The method of its workers that reads the weights of a folder (`weights_path`)."""
    problem: str | None
    """Why it cannot be used now; None when it can."""
    retry_after_s: float
    """Seconds after which a request refused for the problem may come again."""
    restarts: int
    """How often it was restarted."""
    is_fresh: bool
    """Whether it was started for this gateway, and so holds only its start weights."""
    steps_under_way: int
    """Calls under way that have a time limit of their own: meanwhile silence is no hang."""

    @property
    def base_url(self) -> str: ...

    @property
    def socket(self) -> Path | None:
        """The Unix socket that it listens on; None if it is reached over TCP."""

    async def run(self, on_ready: OnReady) -> None:
        """Keep it running until cancelled.

        `on_ready` is awaited after each start; if it raises a `GalenError`, that start has failed.
        """

    def restart(self, reason: str) -> None:
        """End it, so that `run` starts it again."""
