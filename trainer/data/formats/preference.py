"""A better and a worse answer to one prompt, in five shapes.

    {"conversations": […], "chosen": …, "rejected": …}       MedicalGPT, LLaMA-Factory
    {"prompt": …, "chosen": …, "rejected": …}                TRL; `question` too
    {"instruction": …, "input": …, "chosen": …, "rejected": …}
    {"question": …, "response_chosen": …, "response_rejected": …}
    {"chosen_messages": […], "rejected_messages": […]}       whole conversations; `chosen` too

An answer is a text, one turn, or a list of turns whose last is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.data.example import Example, Message
from trainer.data.formats import alpaca, messages, pairs, sharegpt
from trainer.data.formats.fields import identifier, kept, kind_of, mapping, others, turns
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow

SHAPES = (
    ("chosen", "rejected"),
    ("response_chosen", "response_rejected"),
    ("chosen_messages", "rejected_messages"),
)
PROMPTS = (*sharegpt.LISTS, *alpaca.COLUMNS[:2], *alpaca.COLUMNS[3:5], "messages", *pairs.QUESTIONS)


def fits(row: Mapping[str, Any]) -> bool:
    return any(better in row and worse in row for better, worse in SHAPES)


def read(row: Mapping[str, Any]) -> Example:
    fields = next(shape for shape in SHAPES if shape[0] in row and shape[1] in row)
    (before, chosen), (before_worse, rejected) = (_answer(row, name) for name in fields)
    if before != before_worse:
        raise BadRow(fields[1], f"answers another prompt than {fields[0]}", "give both one prompt")
    prompt = _joined(_prompt(row), before)
    if not prompt:
        raise BadRow("prompt", "is missing", f"name it one of {', '.join(PROMPTS)}")
    return Example(
        prompt,
        chosen=chosen,
        rejected=rejected,
        id=identifier(row),
        meta=mapping(row, "meta"),
        extra=others(row, (*fields, *PROMPTS)),
    )


def write(example: Example) -> dict[str, Any]:
    if example.chosen is None or example.rejected is None:
        raise BadRow(
            "rejected", "a preference needs a worse answer", "make pairs of votes or rollouts"
        )
    row = {
        "prompt": messages.as_turns(example.messages),
        "chosen": messages.as_turns((Message("assistant", example.chosen),)),
        "rejected": messages.as_turns((Message("assistant", example.rejected),)),
    }
    return kept(example, row)


def _prompt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The row's prompt, read by the format whose columns it has."""
    given = {name: row[name] for name in PROMPTS if name in row}
    if not given:
        return ()
    for each in (messages.FORMAT, sharegpt.FORMAT, pairs.FORMAT, alpaca.ALPACA):
        if each.fits(given):
            return each.read(given).messages
    return ()


def _joined(prompt: tuple[Message, ...], before: tuple[Message, ...]) -> tuple[Message, ...]:
    """The prompt and the turns that the answers bring along, which may repeat it."""
    for whole, part in ((before, prompt), (prompt, before)):
        if whole[len(whole) - len(part) :] == part:
            return whole
    return prompt + before


def _answer(row: Mapping[str, Any], field: str) -> tuple[tuple[Message, ...], str]:
    """An answer, and the turns before it that it brings along."""
    value = row[field]
    if isinstance(value, str):
        return (), value
    given = [value] if isinstance(value, Mapping) else value
    if not isinstance(given, list) or not given:
        found = kind_of(value)
        raise BadRow(field, f"must be a text or turns, found {found}", "write it as a text")
    with_from = isinstance(given[0], Mapping) and "from" in given[0]
    said = turns(given, field, *(("from", "value") if with_from else ("role", "content")))
    if said[-1].role != "assistant":
        raise BadRow(field, "does not end with an answer", "end it with the assistant's turn")
    return said[:-1], said[-1].content


FORMAT = Format("preference", fits, read, write)
