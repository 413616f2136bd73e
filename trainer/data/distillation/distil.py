"""A teacher's thoughts and answers to a file of questions, as rows to learn from.

Every reply is kept at once, so that the same command pays for none twice. A reply without the form
`<think>…</think><answer>…</answer>` is kept with its reason and never trained on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from galen import digest, transcript
from galen.errors import InvalidInput
from galen.transcript import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN
from trainer import kept
from trainer.data import reader
from trainer.data.distillation.teacher import RowRefused, Teacher, Usage
from trainer.data.example import Example, Message
from trainer.data.formats import alpaca
from trainer.data.output import writing

FORM = """\
Think step by step and write your thoughts between <think> and </think>. Then write the final \
answer between <answer> and </answer>: for a calculation the number with its unit, for a choice \
the letters, else one to three sentences. Use each tag exactly once, in this order, and write \
nothing outside them. Write in the language of the question."""
GOLD = ("gold", "gold_answer", "reference", "reference_answer")
"""Columns that may hold the right answer; the first is written where a row's own answer is it."""
IN_A_ROW = 20
"""So many refused rows in a row mean that the request itself is at fault."""
_TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)


class Options(BaseModel):
    """Options of every request; a file never mixes replies under different ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    max_tokens: int = 4096
    temperature: float = 0.6
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    written: int
    unusable: dict[str, int]
    """Replies without the form, by reason."""
    failed: int
    """Rows that the endpoint refused; the same command asks them again."""
    cost_usd: float | None
    """Of all replies; None where the price is not known."""


class Distillation:
    """One file's questions and the replies so far. Use as a context manager.

    `price` gives the cost of a call in US dollars, None where it is not known.
    """

    def __init__(
        self,
        source: Path,
        out: Path,
        options: Options,
        price: Callable[[Usage], float | None] = lambda _: None,
    ) -> None:
        """Raises `DataError` for a file with bad rows, `Conflict` if `out` is there already or
        the replies so far belong to another input or other options."""
        if out.suffix != ".jsonl":
            raise InvalidInput(f"{out}: name it with the ending .jsonl")
        self._rows = reader.read([source], None, _checked)
        self._out = out
        self._options = options
        self._price = price
        asked = [digest.of_file(source), options.model_dump(), FORM]
        title = f"galen data distil {digest.of_json(asked)}"
        self._journal = kept.open_kept(out, title, len(self._rows))
        there = filter(self._journal.has, range(self.size))
        costs = [self._entry(index).get("cost_usd", 0.0) for index in there]
        self.cost_usd: float | None = None if None in costs else sum(costs)
        """Of all replies so far, in US dollars; None where a price is not known."""
        self._refused_in_a_row = 0

    def __enter__(self) -> Distillation:
        return self

    def __exit__(self, *_: object) -> None:
        kept.close(self._journal)

    @property
    def size(self) -> int:
        return len(self._rows)

    @property
    def known(self) -> int:
        """Number of rows that the teacher has answered already."""
        return self._journal.good

    async def ask(self, teacher: Teacher, concurrency: int, on_row: Callable[[], None]) -> None:
        """Ask for every row without a reply; `on_row` is called after each.

        Raises errors that are no row's fault: an endpoint that stays away, a refused key.
        """
        asked = self._options.model_dump(exclude={"model"}, exclude_none=True)

        async def answer(index: int) -> tuple[bool, dict[str, Any]]:
            messages = _with_form(self._rows[index])
            try:
                reply = await teacher.ask(messages, asked)
            except RowRefused as error:
                self._refused_in_a_row += 1
                if self._refused_in_a_row == IN_A_ROW:
                    raise InvalidInput(f"{IN_A_ROW} rows in a row were refused: {error}") from None
                return False, {"error": str(error)}
            self._refused_in_a_row = 0
            cost = self._price(reply.usage)
            self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
            entry = {"reply": reply.text, "model": reply.model, "cost_usd": cost}
            fault = "cut off" if reply.finish_reason == "length" else fault_of(reply.text)
            return True, entry | ({"fault": fault} if fault else {})

        await kept.fill(self._journal, answer, concurrency, on_row)

    def write(self) -> Report:
        """Write the rows to `out`, and beside it `<out>.unusable.jsonl` with the replies that are
        not learnt. What is kept is deleted, unless rows failed and can be asked again."""
        faults: Counter[str] = Counter()
        aside = self._out.with_name(f"{self._out.stem}.unusable.jsonl")
        with writing(self._out) as write, writing(aside) as write_aside:
            for row, entry in self._results():
                if reason := entry.get("fault") or entry.get("error"):
                    faults[reason] += "fault" in entry
                    write_aside({"id": row.id, "question": row.question, "reason": reason, **entry})
                else:
                    write(_learnt(row, entry))
        failed = self._journal.failed
        if not failed:
            self._journal.path.unlink()
        if not failed and not +faults:
            aside.unlink()
        written = self.size - failed - faults.total()
        return Report(written, dict(+faults), failed, self.cost_usd)

    def _results(self) -> Iterator[tuple[Example, dict[str, Any]]]:
        for index, row in enumerate(self._rows):
            yield row, self._entry(index)

    def _entry(self, index: int) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self._journal.read(index))
        return entry


def gold_of(example: Example) -> str | None:
    """The right answer that a row brings: in a column of its own, else as its answer."""
    for name in GOLD:
        value = example.extra.get(name)
        if isinstance(value, str | int | float) and str(value).strip():
            return str(value).strip()
    answer = transcript.parse(example.answer or "").answer
    return answer or None


def fault_of(reply: str) -> str | None:
    """Why a reply does not have the form; None for one that does."""
    for tag in _TAGS:
        if reply.count(tag) != 1:
            return f"{tag} is missing" if tag not in reply else f"{tag} stands there more than once"
    read = transcript.parse(reply)
    if not (read.closed and read.tagged):
        return "the tags are out of order or apart"
    if not reply.lstrip().startswith(THINK_OPEN) or not reply.rstrip().endswith(ANSWER_CLOSE):
        return "text stands outside the tags"
    if not read.reasoning or not read.answer:
        return "the thought or the answer is empty"
    return None


def _checked(example: Example) -> Example:
    """The row as a question, with the right answer in a column. Raises `BadRow` before anything is
    paid if its reply could not be written."""
    gold = gold_of(example)
    row = reader.as_kind(example, "prompt")
    if gold and not any(name in row.extra for name in GOLD):
        row = replace(row, extra={**row.extra, GOLD[0]: gold})
    _learnt(row, {"reply": "", "model": ""})
    return row


def _with_form(row: Example) -> list[Message]:
    """The row's messages; the teacher is asked for the form before anything else."""
    system = "\n\n".join(filter(None, (FORM, row.system)))
    return [Message("system", system), *(row.messages[1:] if row.system else row.messages)]


def _learnt(row: Example, entry: dict[str, Any]) -> dict[str, Any]:
    """The row with its reply, as a row of ours where it has `meta`, else in alpaca's form."""
    answer = Message("assistant", transcript.parse(entry["reply"]).render())
    extra = {**row.extra, "teacher": entry["model"]}
    example = replace(row, messages=(*row.messages, answer), extra=extra)
    return (alpaca.ROWS if row.meta else alpaca.ALPACA).write(example)
