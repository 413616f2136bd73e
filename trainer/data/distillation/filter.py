"""Which distilled rows are worth learning from: first by rules, then by the judge.

Good rows are learnt. The rest are prompts for reinforcement learning, where the right answer is
known; without one they are dropped, with their reason. A fifth of all questions is a test set.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict

from galen import digest, disk
from galen.errors import Conflict, DataError, GalenError, Unavailable
from galen.records import storable
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest, ScoreResponse, ScoreResult
from trainer.asked import as_asked
from trainer.data.distillation import question_type
from trainer.data.distillation.distil import GOLD, gold_of
from trainer.data.distillation.sample import TYPE
from trainer.data.example import Example
from trainer.data.formats import alpaca
from trainer.data.output import writing
from trainer.data.problems import Problem
from trainer.data.reader import DataFile

FILES = ("sft.jsonl", "rl.jsonl", "test.jsonl", "dropped.jsonl")
STATS = "filter_stats.json"
TEST_SHARE = 0.2
"""Of the questions of each type."""
Rules = Callable[[str, str, str], Sequence[str]]
"""Takes question, response and right answer; gives the names of the judge's rules that hit."""
FORM_RULE = "finance_format"
RIGHT_RULES = frozenset({"finance_accuracy", "finance_keywords"})
BATCH = 16
"""Rows in one request to the judge."""
FOR_THE_OPERATOR = frozenset({"budget_exceeded", "out_of_credit", "teacher_refused"})
"""Failures that every later judgement would meet, too."""
GOOD = "good"
UNKNOWN = "no right answer to compare with"
"""The judge alone decides about these rows."""


class Limits(BaseModel):
    """What a good row is for the judge."""

    model_config = ConfigDict(frozen=True)

    rubric: str = "finance-quality"
    least: float = 0.7
    """Least overall score."""
    allow_mock: bool = False


@dataclass(slots=True)
class Row:
    """One row's fate so far."""

    index: int
    question: int
    """A hash; the same for questions that differ in white space alone."""
    type: str
    reason: str
    """`GOOD`, or why the row is not learnt."""
    has_gold: bool
    scores: dict[str, float] = field(default_factory=dict)

    def take(self, result: ScoreResult, least: float) -> None:
        """The judge's verdict: at least `least` overall is good."""
        if result.reward is None:
            self.reason = f"not judged: {result.error.code if result.error else result.status}"
        elif result.teacher is None:
            self.reason = "the judge's checks refused it"
        else:
            self.scores = {**result.teacher.scores, "overall": result.teacher.overall}
            self.reason = GOOD if result.teacher.overall >= least else "the judge found it too poor"


class Filter:
    """A file of distilled rows on its way into a folder."""

    def __init__(self, source: Path, folder: Path, rules: Rules) -> None:
        """Applies the rules to every row. Raises `DataError` for a file with bad rows, `Conflict`
        if the folder holds a result."""
        if there := [name for name in (*FILES, STATS) if (folder / name).exists()]:
            raise Conflict(f"{folder / there[0]} is there already; name another folder")
        self._source, self._folder = source, folder
        self.rows = [_checked(index, row, rules) for index, row in enumerate(self._examples())]
        self.judged: dict[str, Any] | None = None
        """The judge's rubric and limit; None if it was not asked."""

    @property
    def left(self) -> int:
        """Number of rows that the rules leave to the judge."""
        return sum(row.reason in (GOOD, UNKNOWN) for row in self.rows)

    def _to_judge(self) -> Iterator[tuple[Row, ScoreItem]]:
        """The rows that the rules leave, in the file's order."""
        for row, example in zip(self.rows, self._examples(), strict=True):
            if row.reason in (GOOD, UNKNOWN):
                yield row, _item(row, example)

    async def judge(
        self, client: JudgeClient, limits: Limits, concurrency: int, on_rows: Callable[[int], None]
    ) -> None:
        """Have every row judged that the rules leave; `on_rows` gets how many more were.

        Raises `Conflict` for a mock teacher, `Unavailable` if rows could not be judged now. The
        judge's ledger keeps every verdict, so that none is paid twice.
        """
        left = self._to_judge()
        batches = iter(lambda: list(itertools.islice(left, BATCH)), [])
        self.judged = {**limits.model_dump(exclude={"allow_mock"}), "cost_usd": 0.0}

        async def work() -> None:
            for batch in batches:
                items = tuple(item for _, item in batch)
                asked = ScoreRequest(rubric=limits.rubric, items=items, teacher="required")
                answer = await client.score(asked)
                self._take([row for row, _ in batch], answer, limits)
                on_rows(len(batch))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(work())
        except* GalenError as failures:
            raise failures.exceptions[0] from None

    def _take(self, rows: Sequence[Row], answer: ScoreResponse, limits: Limits) -> None:
        for row, result in zip(rows, answer.items, strict=True):
            if result.provider == "mock" and not limits.allow_mock:
                raise Conflict(
                    "the judge has no teacher and uses its mock: set DEEPSEEK_API_KEY for it, or "
                    "give --no-judge, or --allow-mock for a rehearsal"
                )
            if (error := result.error) and (error.retryable or error.code in FOR_THE_OPERATOR):
                raise Unavailable(
                    f"the judge cannot judge now ({error.code}: {error.message}); run the same "
                    "command again later: the judge keeps what was judged"
                )
            row.take(result, limits.least)
        assert self.judged is not None
        self.judged["rubric_sha256"] = answer.rubric_sha256
        if asked := [each.provider for each in answer.items if each.teacher]:
            self.judged["provider"] = asked[0]
        self.judged["cost_usd"] += answer.usage.cost_usd

    def write(self) -> dict[str, Any]:
        """Write the folder; returns what `filter_stats.json` holds."""
        tested = self._tested()
        counts: dict[str, Counter[str]] = {name: Counter() for name in FILES}
        first, *others = (self._folder / name for name in FILES)
        with (
            writing(first) as sft,
            writing(others[0]) as rl,
            writing(others[1]) as test,
            writing(others[2]) as dropped,
        ):
            files = dict(zip(FILES, (sft, rl, test, dropped), strict=True))
            for row, example in zip(self.rows, self._examples(), strict=True):
                name = _file_of(row, is_test=row.question in tested)
                counts[name][row.type] += 1
                files[name](_written(row, example, name))
        stats = self._stats(counts)
        text = json.dumps(stats, ensure_ascii=False, indent=1) + "\n"
        disk.replace(self._folder / STATS, text.encode())
        return stats

    def _examples(self) -> Iterator[Example]:
        """Every row. Raises `DataError` at the end if any was bad."""
        problems = []
        for _, example in DataFile(self._source).examples("conversation"):
            if isinstance(example, Problem):
                problems.append(str(example))
            else:
                yield example
        if problems:
            raise DataError(self._source, problems)

    def _tested(self) -> frozenset[int]:
        """The questions of the test set: of each type those with the lowest hashes."""
        types: dict[str, set[int]] = {}
        of_question = {row.question: row.type for row in reversed(self.rows) if row.has_gold}
        for question, type in of_question.items():
            types.setdefault(type, set()).add(question)
        lowest = (sorted(each)[: round(TEST_SHARE * len(each))] for each in types.values())
        return frozenset(question for each in lowest for question in each)

    def _stats(self, counts: dict[str, Counter[str]]) -> dict[str, Any]:
        scored = [row.scores for row in self.rows if row.scores]
        return {
            "rows": len(self.rows),
            "source_sha256": digest.of_file(self._source),
            "files": {name: each.total() for name, each in counts.items()},
            "types": {name: dict(sorted(each.items())) for name, each in counts.items()},
            "reasons": dict(Counter(row.reason for row in self.rows).most_common()),
            "judge": self.judged,
            "mean_scores": {
                name: round(fmean(each[name] for each in scored), 4)
                for name in (scored[0] if scored else ())
            },
        }


def _checked(index: int, example: Example, rules: Rules) -> Row:
    gold = _gold(example)
    type = str(example.extra.get(TYPE) or question_type.of(example.question).type)
    hits = rules(example.question, example.answer or "", gold or "")
    if FORM_RULE not in hits:
        reason = "not <think>…</think><answer>…</answer>"
    elif not gold:
        reason = UNKNOWN
    else:
        reason = GOOD if RIGHT_RULES & set(hits) else "the answer is not the right one"
    question = "".join(each.content for each in example.prompt)
    key = hashlib.blake2b("".join(question.split()).encode(), digest_size=8).digest()
    return Row(index, int.from_bytes(key), type, reason, bool(gold))


def _gold(example: Example) -> str | None:
    """The right answer; the row's own answer is the one in question."""
    return gold_of(_question(example))


def _question(example: Example) -> Example:
    return replace(example, messages=example.prompt)


def _item(row: Row, example: Example) -> ScoreItem:
    return ScoreItem(
        id=str(row.index),
        messages=as_asked(_question(example).without_system),
        response=storable(example.answer or ""),
        reference=_gold(example),
    )


def _file_of(row: Row, *, is_test: bool) -> str:
    sft, rl, test, dropped = FILES
    if not row.has_gold:
        return sft if row.reason == GOOD else dropped
    if is_test:
        return test
    return sft if row.reason == GOOD else rl


def _written(row: Row, example: Example, file: str) -> dict[str, Any]:
    """The row for its file: with its answer to be learnt, else as a question with `gold`."""
    extra = {name: value for name, value in example.extra.items() if name not in GOLD}
    gold = {GOLD[0]: _gold(example)} if row.has_gold else {}
    extra = {**extra, **gold, TYPE: row.type}
    if row.scores:
        extra["scores"] = row.scores
    sft, _, _, dropped = FILES
    if file == dropped:
        extra["reason"] = row.reason
    made = replace(example if file in (sft, dropped) else _question(example), extra=extra)
    return (alpaca.ROWS if made.meta else alpaca.ALPACA).write(made)
