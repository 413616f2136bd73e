"""From items to judgements: the rules first, then the ledger, then the teacher for what is left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from judge.rubrics.rubric import Rubric
from judge.schemas import MAX_TEXT, ItemError, ScoreItem, ScoreRequest, ScoreResult
from judge.scoring.asking import Asking, stop_waiting
from judge.scoring.results import Assessed, Outcome, result_of
from judge.scoring.rule_workers import Readers, Reading
from judge.teacher.verdict import Client, Spent
from judge.text.case import Case

ATTACKED = ItemError(
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
    def __init__(self, asking: Asking, readers: Readers) -> None:
        self._asking = asking
        self._readers = readers

    async def assess(self, rubric: Rubric, request: ScoreRequest, client: Client) -> Assessment:
        """Judge all items; identical ones are asked once. A teacher's failure is in its item.

        Raises `Overloaded` or `Unavailable` before any call is made.
        """
        entries = [self._entry(rubric, request, item) for item in request.items]
        wanted = {entry.key for entry in entries if entry.key}
        known = await self._asking.known(wanted)
        examined: list[Assessed] = []
        pending: dict[str, asyncio.Task[Outcome]] = {}
        with self._asking.room_for(wanted - known.keys()) as reserved:
            try:
                async with aclosing(self._in_chunks(rubric, entries)) as chunks:
                    async for chunk in chunks:
                        for one in chunk:
                            if one.key and one.key not in known and one.key not in pending:
                                pending[one.key] = self._asking.ask(
                                    rubric, one.key, one.case, client
                                )
                        begun = {e.key for e in entries[len(examined) :][: len(chunk)] if e.key}
                        self._asking.begun(reserved, begun)
                        examined += chunk
                asked = dict(zip(pending, await asyncio.gather(*pending.values()), strict=True))
            finally:
                await stop_waiting(pending.values())
        self._asking.count_look_ups({one.key for one in examined if one.key}, known)
        return _assessment(rubric, request, examined, asked | known)

    def _entry(self, rubric: Rubric, request: ScoreRequest, item: ScoreItem) -> Assessed:
        """An item before its rules are read; with a key if a teacher may be needed."""
        case = Case(item.question, item.response, item.reference or "", item.earlier)
        problem = _too_long(item) or _lacks_reference(rubric, item)
        if problem or request.teacher == "off" or not rubric.asks_teacher:
            return Assessed(item, case, rules=None, refused=problem)
        key = self._asking.key_of(rubric, case, request.sample)
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
            await stop_waiting(ahead)

    async def _examined(self, rubric: Rubric, entries: Sequence[Assessed]) -> list[Assessed]:
        open_ones = [entry for entry in entries if entry.refused is None]
        readings = await self._readers.read(rubric, [entry.case for entry in open_ones])
        in_order = iter(readings)
        return [entry if entry.refused else _with(entry, next(in_order)) for entry in entries]


def _too_long(item: ScoreItem) -> ItemError | None:
    return too_long(
        {**item.asked, "response": item.response, "reference": item.reference or ""}
    )


def too_long(texts: Mapping[str, str]) -> ItemError | None:
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are judged"
            return ItemError(code="too_long", message=message, retryable=False)
    return None


def _with(entry: Assessed, reading: Reading) -> Assessed:
    """The entry with its rules' verdict; without its key if no teacher may see it."""
    if entry.key is None or reading.is_kept_back:
        return replace(entry, rules=reading.rules, key=None)
    if reading.is_prompt_distrusted:
        return replace(entry, key=None, refused=ATTACKED)
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
