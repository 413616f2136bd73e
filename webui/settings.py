"""What an operator may set for the web page. Secrets come from the environment only."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from galen.settings import Origin, Settings

KEY_VARIABLE = "GALEN_KEY"
"""Environment variable with the page's own key for both services."""


class WebuiSettings(Settings):
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=1, le=65535)
    server_url: str = "http://127.0.0.1:8000"
    judge_url: str = "http://127.0.0.1:8001"
    rubric: str = "medical-safety"
    rehearsal: bool = False
    """The model is the demo model; the page says that its answers are worthless as medicine."""
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    earlier_turns: int = Field(default=4, ge=0)
    """Earlier turns that are sent with a question; 0 sends each question alone."""
    keys_file: Path | None = None
    """Keys of those who may open the page; else `GALEN_KEYS`. With keys the page asks for a name
    and a key."""
    origins: tuple[Origin, ...] = ()
    """Further origins under which the page is opened, where a tunnel changes its name."""
