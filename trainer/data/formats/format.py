"""What makes a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.data.example import Example


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    fits: Callable[[Mapping[str, Any]], bool]
    """Whether a row has this format's columns."""
    read: Callable[[Mapping[str, Any]], Example]
    """Raises `BadRow`, which names the field."""
    write: Callable[[Example], dict[str, Any]]
    """The row again. Raises `BadRow` for what the format cannot hold."""
