"""What the gateway needs of an engine, whoever runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

OnReady = Callable[[], Awaitable[None]]


class Engine(Protocol):
    """What the gateway needs of an engine, whoever runs it."""

    served_name: str
    """The model name by which the engine knows its start weights."""
    problem: str | None
    """Why it cannot be used now; None when it can."""
    retry_after_s: float
    """When a request that met the problem may come again, in seconds."""
    restarts: int
    """How often it had to be started again."""
    is_fresh: bool
    """Whether it was started for this gateway, so that it holds nothing but its start weights."""
    steps_under_way: int
    """Calls that have a time limit of their own; while there are any, silence is no hang."""
    started_with: Path | None
    """Folder of the weights that it was last started with; None: the base's."""

    @property
    def base_url(self) -> str: ...

    @property
    def socket(self) -> Path | None:
        """The Unix socket that it listens on; None: it is reached over TCP."""

    @property
    def on_trial(self) -> bool:
        """Whether it was started with other weights, and nobody has settled for them yet."""

    async def run(self, on_ready: OnReady) -> None:
        """Keep it running until cancelled.

        `on_ready` is awaited after each start; if it raises a `GalenError`, that start has failed.
        """

    def restart(self, reason: str) -> None:
        """End it, so that `run` starts it anew."""

    async def restart_with(self, folder: Path) -> None:
        """Start it anew on these weights; returns once it is healthy, with the weights on trial.

        `on_ready` is not awaited, since it is for the caller to prove them; it may be called from
        within `on_ready`. `Unavailable` if the engine does not start on them; `VersionRefused` if
        it is not ours to restart, and then nothing has changed.
        """

    def settle(self) -> None:
        """Keep the weights on trial: it is started on them from now on."""
