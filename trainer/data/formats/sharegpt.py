"""ShareGPT's form.

{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}], "system": …}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats.fields import identifier, kept, mapping, others, text, turns
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

LISTS = ("conversations", "conversation")
SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def fits(row: Mapping[str, Any]) -> bool:
    return any(name in row for name in LISTS)


def read(row: Mapping[str, Any]) -> Example:
    return Example(
        conversation(row),
        id=identifier(row),
        meta=mapping(row, "meta"),
        extra=others(row, (*LISTS, "system")),
    )


def conversation(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The turns, after the system message if the row has one apart."""
    field = next(name for name in LISTS if name in row)
    value = row[field]
    first = value[0] if isinstance(value, list | tuple) and value else {}
    keys = (
        ("role", "content") if isinstance(first, Mapping) and "role" in first else ("from", "value")
    )
    found = turns(value, field, *keys)
    if not found:
        raise BadRow(field, "holds no turns", "delete the row")
    system = text(row, "system")
    return (Message("system", system), *found) if system.strip() else found


def write(example: Example) -> dict[str, Any]:
    if example.kind in ("document", "unpaired"):
        raise BadRow(
            "", "sharegpt has no place for plain text or a vote", "leave the file as it is"
        )
    row: dict[str, Any] = {"conversations": [_turn(each) for each in example.messages]}
    if example.kind == "preference":
        for name in ("chosen", "rejected"):
            row[name] = {"from": "gpt", "value": getattr(example, name)}
    return kept(example, row)


def _turn(message: Message) -> dict[str, str]:
    return {"from": SPEAKERS[message.role], "value": message.content}


FORMAT = Format("sharegpt", fits, read, write)
