"""Texts that do harm to the process which is handed them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

Harm = Literal["kills", "kills once", "holds up once"]


class HarmfulText(str):
    """Harms whoever reads it as long as `marker` exists; what harms once removes it before."""

    marker: Path
    harm: Harm

    @classmethod
    def make(cls, text: str, marker: Path, harm: Harm) -> HarmfulText:
        marker.touch()
        made = cls(text)
        made.marker, made.harm = marker, harm
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _suffer, (str(self), self.marker, self.harm)


def _suffer(text: str, marker: Path, harm: Harm) -> str:
    """What another process makes of it: the plain text, if it gets so far."""
    if marker.exists():
        if harm != "kills":
            marker.unlink()
        if harm == "holds up once":
            time.sleep(120)
        os._exit(1)
    return text
