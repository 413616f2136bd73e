"""OpenAI's form: `{"messages": [{"role": "user", "content": …}, …]}`.

TRL's `prompt`, with or without `completion`, as lists of messages, is read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats.fields import identifier, kept, mapping, others, turns
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow


def fits(row: Mapping[str, Any]) -> bool:
    return "messages" in row or isinstance(row.get("prompt"), list)


def read(row: Mapping[str, Any]) -> Example:
    field = "messages" if "messages" in row else "prompt"
    found = turns(row[field], field)
    columns = [field]
    if field == "prompt" and isinstance(row.get("completion"), list):
        found += turns(row["completion"], "completion")
        columns.append("completion")
    if not found:
        raise BadRow(field, "holds no turns", "delete the row")
    return Example(found, id=identifier(row), meta=mapping(row, "meta"), extra=others(row, columns))


def write(example: Example) -> dict[str, Any]:
    if example.kind not in ("conversation", "prompt"):
        raise BadRow("", f"messages has no place for a {example.kind}", "use preference")
    return kept(example, {"messages": as_turns(example.messages)})


def as_turns(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]


FORMAT = Format("messages", fits, read, write)
