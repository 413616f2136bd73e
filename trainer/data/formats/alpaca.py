"""Rows with instruction, input and output, in two readings.

    {"instruction": …, "input": …, "output": …, "system": …, "history": [[question, answer], …]}

Alpaca's reading: instruction and input together are the question, as LLaMA-Factory reads them.
Galen's: the instruction is the system message, the input is the question; such rows have `meta`,
which may be empty, or one instruction for the whole file. `chosen` and `rejected` in place of
`output` make a preference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats.fields import history, identifier, kept, mapping, needed, others, text
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

COLUMNS = ("instruction", "input", "output", "system", "history", "chosen", "rejected")


@dataclass(frozen=True, slots=True)
class _Alpaca:
    name: str
    instruction_is_system: bool

    def fits(self, row: Mapping[str, Any]) -> bool:
        if self.instruction_is_system:
            return "input" in row and "meta" in row
        return "instruction" in row or "input" in row

    def read(self, row: Mapping[str, Any]) -> Example:
        instruction, system = text(row, "instruction"), text(row, "system")
        given = (needed if self.instruction_is_system else text)(row, "input")
        if self.instruction_is_system:
            system, instruction = "\n".join(filter(None, [system, instruction])), ""
        question = "\n".join(part for part in (instruction, given) if part.strip())
        if not question:
            raise BadRow("input", "no question: instruction and input are empty", "delete the row")
        messages = [Message("system", system)] if system.strip() else []
        messages += [*history(row), Message("user", question)]
        if answer := text(row, "output"):
            messages.append(Message("assistant", answer))
        return Example(
            tuple(messages),
            chosen=row.get("chosen"),
            rejected=row.get("rejected"),
            id=identifier(row),
            meta=mapping(row, "meta"),
            extra=others(row, COLUMNS),
        )

    def write(self, example: Example) -> dict[str, Any]:
        if example.kind in ("document", "unpaired"):
            raise BadRow("", f"{self.name} has no place for {_THINGS[example.kind]}", _ELSEWHERE)
        *earlier, question = list(_pairs(example, self.name))
        row: dict[str, Any]
        if self.instruction_is_system:
            row = {"instruction": example.system, "input": question[0], "meta": {}}
        else:
            row = {"instruction": question[0], "input": ""}
        if example.kind == "conversation":
            row["output"] = question[1]
        if example.kind == "preference":
            row |= {"chosen": example.chosen, "rejected": example.rejected}
        if example.system and not self.instruction_is_system:
            row["system"] = example.system
        if earlier:
            row["history"] = [list(pair) for pair in earlier]
        return kept(example, row)


_rows = _Alpaca("rows", instruction_is_system=True)
_alpaca = _Alpaca("alpaca", instruction_is_system=False)
ROWS = Format(_rows.name, _rows.fits, _rows.read, _rows.write)
ALPACA = Format(_alpaca.name, _alpaca.fits, _alpaca.read, _alpaca.write)
_THINGS = {"document": "plain text", "unpaired": "a vote on one answer"}
_ELSEWHERE = "leave the file as it is; the stages that need it read it"


def _pairs(example: Example, name: str) -> Iterator[tuple[str, str]]:
    """Question and answer of each turn; the last answer may be missing."""
    turns = example.messages[1:] if example.system else example.messages
    roles = [each.role for each in turns]
    if roles[::2] != ["user"] * len(roles[::2]) or roles[1::2] != ["assistant"] * len(roles[1::2]):
        raise BadRow(
            "messages",
            f"{name} holds only questions and answers by turns, after a system message",
            "use sharegpt or messages",
        )
    texts = [each.content for each in turns] + [""]
    return zip(texts[::2], texts[1::2], strict=False)
