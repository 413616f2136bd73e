"""From items to judgements: the rules first, then the ledger, then the teacher for what is left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from galen.errors import Overloaded
from judge.ledger.group_commit import RETRY_AFTER_S
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import Rubric
from judge.schemas import MAX_TEXT, ItemError, ScoreItem, ScoreRequest, ScoreResult
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.results import Assessed, Outcome, result_of
from judge.scoring.rule_workers import Readers, Reading
from judge.teacher.question import Question, key_of
from judge.teacher.verdict import Client, Spent, Teacher, TeacherError, Verdict
from judge.text.case import Case

_ATTACKED = ItemError(
    code="prompt_attacks_judge",
    message="the prompt addresses the judge, so no answer to it can be judged; leave it out",
    retryable=False,
)
_NO_REFERENCE = ItemError(
    code="no_reference",
    message="this rubric compares an answer with a reference; give the item one",
    retryable=False,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A result and, if a teacher was needed, its key in the ledger."""

    result: ScoreResult
    verdict_key: str | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One judgement for each item of a request, in order, and their total cost."""

    judged: tuple[Judged, ...]
    spent: Spent


CHUNK = 16
"""Items in one call of the rules. A small number lets the teacher start while the rules read the
rest."""


class Assessor:
    def __init__(
        self, teacher: Teacher, ledger: Ledger, metrics: JudgeMetrics, readers: Readers
    ) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._metrics = metrics
        self._readers = readers
        self._expected: set[str] = set()
        """Keys that have room in the teacher's queue but are not in it yet."""

    async def assess(self, rubric: Rubric, request: ScoreRequest, client: Client) -> Assessment:
        """Judge all items; identical ones are asked once. A teacher's failure is in its item.

        Raises `Overloaded` or `Unavailable` before any call is made.
        """
        entries = [self._entry(rubric, request, item) for item in request.items]
        wanted = {entry.key for entry in entries if entry.key}
        known = await self._ledger.find(sorted(wanted))
        examined: list[Assessed] = []
        pending: dict[str, asyncio.Task[Outcome]] = {}
        with self._room_for(wanted - known.keys()) as expected:
            try:
                async with aclosing(self._in_chunks(rubric, entries)) as chunks:
                    async for chunk in chunks:
                        for one in chunk:
                            if one.key and one.key not in known and one.key not in pending:
                                pending[one.key] = self._ask(rubric, one.key, one.case, client)
                        begun = {entry.key for entry in entries[len(examined) :][: len(chunk)]}
                        expected -= begun
                        self._expected -= begun
                        examined += chunk
                asked = dict(zip(pending, await asyncio.gather(*pending.values()), strict=True))
            finally:
                await _stop_waiting(pending.values())
        self._count_look_ups(examined, known)
        asked |= {key: Outcome(self._teacher.provider, known[key], cached=True) for key in known}
        return _assessment(rubric, request, examined, asked)

    def _entry(self, rubric: Rubric, request: ScoreRequest, item: ScoreItem) -> Assessed:
        """An item before its rules are read; with a key if a teacher may be needed."""
        case = Case(item.prompt, item.response, item.reference or "")
        problem = _too_long(item) or _lacks_reference(rubric, item)
        if problem or request.teacher == "off" or not rubric.asks_teacher:
            return Assessed(item, case, rules=None, refused=problem)
        key = key_of(self._teacher, rubric, case, request.sample)
        return Assessed(item, case, rules=None, key=key)

    async def _in_chunks(
        self, rubric: Rubric, entries: Sequence[Assessed]
    ) -> AsyncGenerator[list[Assessed], None]:
        """The entries with their rules' verdicts, in order; a few chunks are read ahead."""
        chunks = [entries[at : at + CHUNK] for at in range(0, len(entries), CHUNK)]
        ahead: deque[asyncio.Task[list[Assessed]]] = deque()
        try:
            for chunk in chunks:
                ahead.append(asyncio.create_task(self._examined(rubric, chunk)))
                if len(ahead) > self._readers.at_once:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            await _stop_waiting(ahead)

    async def _examined(self, rubric: Rubric, entries: Sequence[Assessed]) -> list[Assessed]:
        open_ones = [entry for entry in entries if entry.refused is None]
        readings = await self._readers.read(rubric, [entry.case for entry in open_ones])
        in_order = iter(readings)
        return [entry if entry.refused else _with(entry, next(in_order)) for entry in entries]

    def _ask(self, rubric: Rubric, key: str, case: Case, client: Client) -> asyncio.Task[Outcome]:
        shared = self._ledger.is_flying(key)
        flight = self._ledger.obtain(Question(key, rubric, case, self._teacher, client))
        return asyncio.create_task(self._finish(shared, flight))

    @contextmanager
    def _room_for(self, keys: set[str]) -> Iterator[set[str]]:
        """Reserve room in the teacher's queue for `keys`; yields those that it was reserved for.

        Removing a key from the yielded set frees its room. Keys that are being asked already need
        none. Raises `Overloaded` if there is not room for all.
        """
        new = {key for key in keys if key not in self._expected and not self._ledger.is_flying(key)}
        room = max(0, self._teacher.room - self._ledger.queued - len(self._expected))
        if len(new) > room:
            raise Overloaded(
                f"{len(new)} answers need the teacher and the queue has room for {room}; "
                "send the request again later, or fewer items at once",
                retry_after_s=RETRY_AFTER_S,
            )
        self._expected |= new
        try:
            yield new
        finally:
            self._expected -= new

    def _count_look_ups(self, examined: Sequence[Assessed], known: Mapping[str, Verdict]) -> None:
        keys = {one.key for one in examined if one.key}
        self._metrics.look_up(len(keys), len(keys & known.keys()))

    async def _finish(self, shared: bool, flight: Awaitable[tuple[Verdict, bool]]) -> Outcome:
        try:
            verdict, ours = await flight
        except TeacherError as failure:
            if shared:  # the request that asked first has paid for it and counted it
                return Outcome(self._teacher.provider, failure=failure)
            self._metrics.asked(failure)
            return Outcome(self._teacher.provider, failure=failure, spent=failure.spent)
        if not ours:
            return Outcome(self._teacher.provider, verdict, cached=True)
        self._metrics.asked(verdict)
        return Outcome(self._teacher.provider, verdict, spent=verdict.spent)


def _too_long(item: ScoreItem) -> ItemError | None:
    texts = {"prompt": item.prompt, "response": item.response, "reference": item.reference or ""}
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are judged"
            return ItemError(code="too_long", message=message, retryable=False)
    return None


async def _stop_waiting(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the waiting, not the teacher's calls: other requests may wait for those too."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _with(entry: Assessed, reading: Reading) -> Assessed:
    """The entry with its rules' verdict; without its key if no teacher may see it."""
    if entry.key is None or reading.is_kept_back:
        return replace(entry, rules=reading.rules, key=None)
    if reading.is_prompt_distrusted:
        return replace(entry, key=None, refused=_ATTACKED)
    return replace(entry, rules=reading.rules)


def _assessment(
    rubric: Rubric,
    request: ScoreRequest,
    examined: Sequence[Assessed],
    asked: Mapping[str, Outcome],
) -> Assessment:
    judged = tuple(
        Judged(
            result_of(rubric, request.teacher, one, asked[one.key] if one.key else None), one.key
        )
        for one in examined
    )
    return Assessment(judged, sum((one.spent for one in asked.values()), Spent()))


def _lacks_reference(rubric: Rubric, item: ScoreItem) -> ItemError | None:
    """Without a reference the rules would find every answer wrong."""
    return _NO_REFERENCE if rubric.needs_reference and not (item.reference or "").strip() else None
