"""A row of one format as a row of another, and what the other cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats.format import Format

TURN_KEYS = frozenset({"role", "content", "from", "value", "reasoning_content", "type", "text"})
"""What the formats read of a turn or of a part of one."""


def convert(
    row: Mapping[str, Any], example: Example, to: Format, system: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The row in format `to`, and one sentence for each thing that is lost on the way.

    `row` is what `example` was read from. `system` becomes the system message where there is none.
    Raises `BadRow` if the format cannot hold what the row means.
    """
    if system and example.messages and not example.system:
        example = replace(example, messages=(Message("system", system), *example.messages))
    written = to.write(example)
    return written, [*_lost_keys(row), *_lost(example, to.read(written), to.name)]


def _lost(before: Example, after: Example, name: str) -> Iterator[str]:
    for column in before.extra:
        if before.extra[column] != after.extra.get(column):
            yield f"column `{column}` is left out: {name} uses that name for something else"
    if before.id != after.id:
        yield "`id` is left out"
    parts = ("messages", "chosen", "rejected", "completion", "liked", "text", "meta")
    for part in parts:
        if getattr(before, part) != getattr(after, part):
            yield f"{part} would be read differently from {name}"


def _lost_keys(row: Mapping[str, Any]) -> Iterator[str]:
    """Keys of turns that no format gives a meaning."""
    turns = (
        turn
        for value in row.values()
        for turn in (value if isinstance(value, list) else [value])
        if isinstance(turn, Mapping) and ("role" in turn or "from" in turn)
    )
    for key in sorted({key for turn in turns for key in turn} - TURN_KEYS):
        yield f"`{key}` of the turns is left out: no format has a place for it"
