"""The best version of a run so far: by held-out questions, or by reward where there are none."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

By = Literal["held_out_reward", "reward_mean"]


@dataclass(frozen=True, slots=True)
class Best:
    version: str
    batch: int
    """Rollout batches that it was trained on."""
    score: float
    by: By


class BestVersion:
    """Kept in the run's folder, so that a resumed run goes on with it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "best.json"

    @property
    def now(self) -> Best | None:
        if not self._path.is_file():
            return None
        return Best(**json.loads(self._path.read_text("utf-8")))

    def consider(self, candidate: Best) -> None:
        """Keep the candidate if it is better, or judged by what counts more."""
        known = self.now
        if known is None or candidate.score > known.score or candidate.by != known.by:
            draft = self._path.with_suffix(".partial")
            draft.write_text(json.dumps(asdict(candidate)), "utf-8")
            draft.replace(self._path)
