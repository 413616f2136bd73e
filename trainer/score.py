"""Has the judge score every answer of a file, in the file's order.

The file is what `galen predict` wrote, or rows of any format that hold an answer.

Each judgement is written to `<out>.partial` at once, so that the same command asks only for what is
missing. A row without an answer, and a judgement that failed, have no score.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from galen import digest
from galen.errors import DataError, InvalidInput, Overloaded, Unavailable
from galen.journal import Journal
from galen.records import storable
from galen.transcript import THINK_CLOSE, THINK_OPEN
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest
from trainer import kept
from trainer.asked import as_asked, criteria_of
from trainer.data.distillation.distil import gold_of
from trainer.data.example import Example
from trainer.data.output import writing
from trainer.data.problems import BadRow, Problem
from trainer.data.reader import DataFile, as_kind

FIELD = "judgement"
NO_ANSWER = {"status": "failed", "reward": None, "error": {"message": "the row has no answer"}}
PAUSE_S = 5.0
TRIES = 12
"""Times that a judge which is away or busy is asked again, `PAUSE_S` apart."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A row with what is to be judged of it; `item` is None where it has no answer."""

    row: dict[str, Any]
    item: ScoreItem | None


@dataclass
class Scores:
    """What came of a file."""

    rewards: list[float] = field(default_factory=list)
    failed: int = 0
    cost: float = 0.0
    """US dollars that were paid now."""
    providers: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    """Answers that each safety rule flagged."""

    def add(self, result: dict[str, Any]) -> None:
        if result["reward"] is None:
            self.failed += 1
            return
        self.rewards.append(float(result["reward"]))
        self.cost += float(result["cost"])
        self.providers[result["provider"]] += 1
        self.flags.update(result["flags"])


def read(source: Path, limit: int | None = None) -> list[Answered]:
    """The file's rows. Raises `DataError`, which names the ones that hold no question."""
    problems: list[str] = []
    found: list[Answered] = []
    for place, row, example in DataFile(source).entries(None):
        if isinstance(example, Problem):
            problems.append(str(example))
        elif limit is None or len(found) < limit:
            try:
                found.append(Answered(row, _item(str(len(found)), row, example)))
            except BadRow as error:
                problems.append(str(error.at(place)))
    if problems or not found:
        raise DataError(source, problems or ["the file has no rows"])
    if not any(each.item for each in found):
        raise InvalidInput(f"{source}: no row has an answer; galen predict {source} OUT gives them")
    return found


async def ask(
    rows: Sequence[Answered],
    kept_for: tuple[Path, Path],
    client: JudgeClient,
    request: dict[str, Any],
    concurrency: int,
    on_row: Callable[[], None],
) -> Journal:
    """Have every row judged that has no score yet; `kept_for` are the file that they came from and
    the one to write. Raises errors that are no row's fault, such as an unknown rubric.

    `request` are the fields of each `ScoreRequest` but its items.
    """
    source, out = kept_for
    mark = [digest.of_file(source), len(rows), request]
    journal = kept.open_kept(out, f"galen judge score {digest.of_json(mark)}", len(rows))

    async def answer(index: int) -> tuple[bool, dict[str, Any]]:
        item = rows[index].item
        if item is None:
            return True, dict(NO_ANSWER)
        result = await _judge(client, ScoreRequest(items=(item,), **request))
        return result["reward"] is not None, result

    try:
        await kept.fill(journal, answer, concurrency, on_row)
    except BaseException:
        kept.close(journal)
        raise
    return journal


def write(rows: Sequence[Answered], out: Path, journal: Journal) -> Scores:
    """Write every row with its judgement to `out`. What failed can be asked again."""
    scores = Scores()
    with writing(out) as put:
        for row, result in _judged(rows, journal):
            scores.add(result)
            put({**row, FIELD: result})
    journal.close()
    if not journal.failed:
        journal.path.unlink()
    return scores


def _judged(
    rows: Sequence[Answered], journal: Journal
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for index, each in enumerate(rows):
        yield each.row, json.loads(journal.read(index))


async def _judge(client: JudgeClient, request: ScoreRequest) -> dict[str, Any]:
    for again in range(TRIES):
        try:
            (result,) = (await client.score(request)).items
            return result.model_dump(mode="json", exclude={"id"})
        except (Unavailable, Overloaded) as error:
            if again == TRIES - 1:
                raise
            await asyncio.sleep(error.retry_after_s or PAUSE_S)
    raise AssertionError("unreachable")


def _item(number: str, row: dict[str, Any], example: Example) -> ScoreItem | None:
    response = _response(row, example)
    if response is None:
        return None
    return ScoreItem(
        id=number,
        messages=as_asked(as_kind(example, "prompt").without_system),
        response=storable(response),
        criteria=criteria_of(example.extra),
        reference=gold_of(replace(example, messages=example.prompt)),  # never its own answer
    )


def _response(row: dict[str, Any], example: Example) -> str | None:
    """The answer as it was written, thought included. A thought that was cut off has no answer and
    is judged all the same."""
    if "finish_reason" not in row:  # not a row of `galen predict`
        return example.answer
    thought, answer = row.get("reasoning"), row.get("answer") or ""
    if not thought:
        return answer
    closed = f"\n{THINK_CLOSE}\n\n{answer}" if answer else ""
    return f"{THINK_OPEN}\n{thought}{closed}"
