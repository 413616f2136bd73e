"""Questions for a policy, out of any file: rows with an id and all of `meta`.

What a row lacks is added: an id from its place among the files' rows, and `meta` by the rules of
`trainer.data.tag`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from galen.records import Meta, PromptRow, first_problem
from trainer.asked import criteria_of
from trainer.data import reader, tag
from trainer.data.example import Example, Message
from trainer.data.problems import BadRow


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question as a row of ours, and the messages to send."""

    row: PromptRow
    messages: tuple[Message, ...]

    @property
    def without_system(self) -> tuple[Message, ...]:
        return self.messages[1:] if self.row.instruction else self.messages


def read_prompts(files: Sequence[Path]) -> list[Prompt]:
    """All questions, in the files' order. Raises `DataError`, which names every bad row."""
    numbers = itertools.count(1)
    return [
        prompt
        for path in files
        for prompt in reader.read([path], "prompt", partial(_prompt, path.stem, numbers))
    ]


def _prompt(source: str, numbers: Iterator[int], example: Example) -> Prompt:
    number = next(numbers)
    meta, _ = tag.meta(example, source)
    earlier = example.without_system[:-1]
    try:
        row = PromptRow(
            id=example.id or f"{source}-{number}",
            instruction=example.system,
            history=tuple(_pairs(earlier)),
            input=example.question,
            gold=example.extra.get("gold"),
            criteria=criteria_of(example.extra),
            meta=Meta.model_validate(meta),
        )
    except ValidationError as error:
        field, _, reason = first_problem(error).partition(": ")
        raise BadRow(field, reason, "correct the field, or leave it out") from None
    return Prompt(row, example.messages)


def _pairs(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Questions and answers by turns. Raises `BadRow` if they do not take turns."""
    if [each.role for each in messages] != ["user", "assistant"] * (len(messages) // 2):
        raise BadRow("messages", "user and assistant do not take turns", "mend the conversation")
    for asked, answered in zip(messages[::2], messages[1::2], strict=True):
        yield asked.content, answered.content
