"""Models through suites: sampled at bounded concurrency, kept as they come, then scored.

Answers lie in `<out>/<suite>/<model>/answers-<digest>.jsonl`; the digest covers all that they
depend on. The same command asks only for what is missing, and judging anew costs nothing that the
judge's ledger has. `result-<digest>.json` beside them has the figures; its digest covers the whole
suite.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from galen import digest
from galen.errors import InvalidInput, Unavailable
from galen.journal import Journal
from judge.client import JudgeClient
from server.schemas import Sampling
from trainer import kept
from trainer.data.distillation.teacher import RowRefused
from trainer.evaluate import items as rows
from trainer.evaluate import result, scoring
from trainer.evaluate.asker import Asker, TooLong, Written
from trainer.evaluate.items import Item
from trainer.evaluate.reach import out_of_reach
from trainer.evaluate.result import Result
from trainer.evaluate.scoring import Answer, Scores, Values
from trainer.evaluate.serving import Access, Candidate, Serving
from trainer.evaluate.suite import Suite

IN_A_ROW = 20
"""So many refused questions in a row mean that the request itself is at fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one command evaluates."""

    models: tuple[str, ...]
    suites: tuple[Suite, ...]
    out: Path
    access: Access
    judge: str
    judge_key: str | None = None
    limit: int | None = None
    """Most rows of each suite."""
    allow_mock: bool = False
    margin: float | None = None
    """A gate's: how much worse than the first model's a safety measure may be."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Hears how far the work is."""

    start: Callable[[str, int, int], None] = lambda _what, _total, _done: None
    """What is done now, how many rows that takes, and how many are done already."""
    step: Callable[[int], None] = lambda _rows: None
    say: Callable[[str], None] = lambda _line: None
    """What is to be known before the work begins."""


@dataclass(slots=True)
class Sampled:
    """One model's answers to one suite."""

    suite: Suite
    candidate: Candidate
    identity: str
    """Digest of all that the answers depend on."""
    template: str | None
    data_sha256: str
    answers: list[Answer]
    missing: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's answers to one suite, each with its values, and the result."""

    suite: Suite
    answers: list[Answer]
    values: list[Values]
    result: Result


def evaluate(plan: Plan, watch: Watch = Watch()) -> list[Measured]:
    """Each model in each suite, model by model; each result is written as well.

    Every file, name, rubric, rule and score is checked before anything is sampled. Raises the first
    error that is no row's fault; what was answered is kept.
    """
    names = Counter(suite.name for suite in plan.suites)
    if doubled := [name for name, count in names.items() if count > 1]:
        raise InvalidInput(f"--suite {doubled[0]}: named twice; give one of them another name")
    loaded = [(suite, rows.load(suite, plan.limit)) for suite in plan.suites]
    with _terminated_as_interrupted():
        return asyncio.run(_evaluate(plan, loaded, watch))


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that what served before serves again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _evaluate(
    plan: Plan, loaded: Sequence[tuple[Suite, list[Item]]], watch: Watch
) -> list[Measured]:
    async with JudgeClient(plan.judge, key=plan.judge_key, deadline_s=600.0) as judge:
        if any(suite.rubric for suite in plan.suites) and not await judge.is_ready():
            raise Unavailable(f"no judge at {plan.judge}; start it, or name it with --judge")
        for suite in plan.suites:
            if suite.rubric is not None:
                await scoring.facts(suite, judge, allow_mock=plan.allow_mock)
        sampled = []
        async with Serving(plan.access, plan.out) as serving:
            candidates = await serving.look_up(plan.models)
            for suite, items in loaded:
                for line in out_of_reach(suite, items, plan.margin, len(candidates) - 1):
                    watch.say(line)
            for candidate in candidates:
                async with serving.asker(candidate) as asker:
                    for suite, items in loaded:
                        sampled.append(await _sample(plan, candidate, asker, suite, items, watch))
        return [await _score(plan, each, judge, watch) for each in sampled]


async def _sample(
    plan: Plan,
    candidate: Candidate,
    asker: Asker,
    suite: Suite,
    items: Sequence[Item],
    watch: Watch,
) -> Sampled:
    """All answers of one model to one suite, new ones and kept ones."""
    data_sha256 = rows.sha256(items)
    identity = digest.of_json(
        [
            *(candidate.name, candidate.sha256, candidate.url, asker.template, data_sha256),
            suite.model_dump(
                mode="json",
                include={"max_tokens", "temperature", "samples", "seed", "by_logprob"},
            ),
        ]
    )
    path = _folder(plan, suite, candidate) / f"answers-{identity[:12]}.jsonl"
    sampled = Sampled(suite, candidate, identity, asker.template, data_sha256, [])
    with Journal(path, f"galen evaluate {identity}", len(items) * suite.samples) as journal:
        watch.start(f"{suite.name}: {candidate.shown}", journal.size, journal.good)
        await kept.fill(
            journal,
            _Questions(asker, suite, items).ask,
            plan.access.concurrency,
            lambda: watch.step(1),
        )
        for index in range(journal.size):
            entry = json.loads(journal.read(index))
            if "error" in entry:
                sampled.missing["no answer"] += 1
                continue
            item, sample = items[index // suite.samples], index % suite.samples
            answer = Answer(item, sample, Written(**entry["written"]), entry.get("letters"))
            sampled.answers.append(answer)
    if not sampled.answers:
        raise InvalidInput(f"{candidate.shown} answered nothing of {suite.name}: {entry['error']}")
    return sampled


def _folder(plan: Plan, suite: Suite, candidate: Candidate) -> Path:
    return plan.out / suite.name / candidate.label


class _Questions:
    """One suite's questions to one model, by their number in the journal."""

    def __init__(self, asker: Asker, suite: Suite, items: Sequence[Item]) -> None:
        self._asker, self._suite, self._items = asker, suite, items
        self._refused_in_a_row = 0

    async def ask(self, index: int) -> tuple[bool, dict[str, Any]]:
        """Whether the answer is there, and the journal's entry."""
        suite, item = self._suite, self._items[index // self._suite.samples]
        sampling = Sampling(
            max_tokens=suite.max_tokens,
            temperature=suite.temperature,
            seed=(suite.seed + index) % 2**31,
        )
        try:
            written = await self._asker.write(item.messages, sampling)
        except RowRefused as error:
            self._refused_in_a_row += not isinstance(error, TooLong)
            if self._refused_in_a_row == IN_A_ROW:
                raise InvalidInput(f"{IN_A_ROW} rows in a row were refused: {error}") from None
            return False, {"error": str(error)}
        self._refused_in_a_row = 0
        letters = await self._letters(item, index % suite.samples)
        entry = {"written": asdict(written), "letters": letters}
        return True, {name: value for name, value in entry.items() if value is not None}

    async def _letters(self, item: Item, sample: int) -> dict[str, float] | None:
        """Of an exam's question with one right letter, once for all its samples."""
        if not self._suite.by_logprob or sample or len(item.reference or "") != 1:
            return None
        try:
            return await self._asker.letters(item.messages, list(item.options or {}))
        except RowRefused:
            return None  # what was written counts all the same


async def _score(plan: Plan, sampled: Sampled, judge: JudgeClient, watch: Watch) -> Measured:
    suite, candidate = sampled.suite, sampled.candidate
    found = await _scores(plan, sampled, judge, watch)
    made = result.of(
        suite,
        sampled.answers,
        found,
        model=candidate.shown,
        model_sha256=candidate.sha256,
        data_sha256=sampled.data_sha256,
        template=sampled.template,
        missing=sampled.missing,
    )
    whole = suite.model_dump(mode="json", exclude={"description", "data"})
    name = f"result-{digest.of_json([sampled.identity, whole])[:12]}.json"
    made.write(_folder(plan, suite, candidate) / name)
    return Measured(suite, sampled.answers, found.values, made)


async def _scores(plan: Plan, sampled: Sampled, judge: JudgeClient, watch: Watch) -> Scores:
    suite = sampled.suite
    if suite.rubric is not None:
        what = f"{suite.name}: judging {sampled.candidate.shown}"
        watch.start(what, len(sampled.answers), 0)
        return await scoring.by_judge(
            suite,
            sampled.answers,
            judge,
            run=f"evaluate-{suite.name}",
            allow_mock=plan.allow_mock,
            on_rows=watch.step,
        )
    return scoring.by_rule(suite, sampled.answers)
