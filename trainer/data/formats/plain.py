"""Plain text: a line of a text file, or `{"text": …}`. A document, or one question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.example import Example
from trainer.data.formats.fields import identifier, kept, mapping, needed, others
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow


def fits(row: Mapping[str, Any]) -> bool:
    return "text" in row


def read(row: Mapping[str, Any]) -> Example:
    return Example(
        text=needed(row, "text"),
        id=identifier(row),
        meta=mapping(row, "meta"),
        extra=others(row, ["text"]),
    )


def write(example: Example) -> dict[str, Any]:
    if example.text is None:
        raise BadRow("", "plain text holds no turns", "use messages")
    return kept(example, {"text": example.text})


FORMAT = Format("text", fits, read, write)
