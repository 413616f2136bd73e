"""Fields that the recipes of all stages share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from galen.digest import of_json
from galen.settings import Settings


class RunSettings(Settings):
    """Fields of every stage: the run's name and folder, the seed, threads."""

    stage: str
    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    runs: Path = Path("runs")
    seed: int = Field(default=17, ge=0, lt=2**32)
    cpu_threads: int | None = Field(default=None, ge=1)
    """Threads for torch; None lets torch decide. A tiny model wants no more than 2."""
    report_to: Literal["none", "wandb", "trackio"] = "none"
    """A dashboard beside TensorBoard, whose files are always written."""

    @property
    def folder(self) -> Path:
        return self.runs / self.run

    @property
    def sha256(self) -> str:
        """Hash of every field that the result depends on; folders, ports and threads are not."""
        elsewhere: Any = {
            "runs": True,
            "cpu_threads": True,
            "report_to": True,
            "alarms": True,
            "preflight": True,
            "services": {"server", "judge", "concurrency", "allow_unqualified", "drift_every"},
        }
        return of_json(self.model_dump(mode="json", exclude=elsewhere))
