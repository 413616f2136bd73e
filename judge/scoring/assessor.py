"""From items to judgements: the rules first, then the ledger, then the teacher for what is left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from judge.rubrics.rubric import Rubric
from judge.schemas import MAX_TEXT, ItemError, ScoreItem, ScoreRequest, ScoreResult
from judge.scoring import criteria
from judge.scoring.asking import Asking, stop_waiting
from judge.scoring.results import Ask, Assessed, Outcome, result_of
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
    """A result and, if a teacher was asked one question, its key in the ledger."""

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
        wanted = _keys(entries)
        known = await self._asking.known(wanted)
        examined: list[Assessed] = []
        pending: dict[str, asyncio.Task[Outcome]] = {}
        with self._asking.room_for(wanted - known.keys()) as reserved:
            try:
                async with aclosing(self._in_chunks(rubric, entries)) as chunks:
                    async for chunk in chunks:
                        before = _keys(entries[len(examined) :][: len(chunk)])
                        self._asking.begun(reserved, before - _keys(chunk))
                        for one in chunk:
                            new = [ask for ask in one.asks if ask.key not in known]
                            self._begin(rubric, new, client, request.sample, pending, reserved)
                        examined += chunk
                asked = dict(zip(pending, await asyncio.gather(*pending.values()), strict=True))
            finally:
                await stop_waiting(pending.values())
        self._asking.count_look_ups(_keys(examined), known)
        return _assessment(rubric, request, examined, asked | known)

    def _begin(
        self,
        rubric: Rubric,
        asks: Sequence[Ask],
        client: Client,
        sample: int,
        pending: dict[str, asyncio.Task[Outcome]],
        reserved: set[str],
    ) -> None:
        """Ask about one answer what is not being asked.

        Of several questions the first goes ahead: it puts what they share into the endpoint's cache
        of prefixes, and where it fails the others are not paid for.
        """
        lead: asyncio.Task[Outcome] | None = None

        def begin(ask: Ask) -> asyncio.Task[Outcome]:
            task = self._asking.ask(rubric, ask.key, ask.case, client, sample)
            self._asking.begun(reserved, {ask.key})
            return task

        for ask in asks:
            if ask.key not in pending:
                after = _after(lead, partial(begin, ask)) if lead else None
                pending[ask.key] = asyncio.create_task(after) if after else begin(ask)
            lead = lead or pending[ask.key]

    def _entry(self, rubric: Rubric, request: ScoreRequest, item: ScoreItem) -> Assessed:
        """An item before its rules are read; with questions if a teacher may be needed."""
        case = Case(item.question, item.response, item.reference or "", item.earlier)
        problem = (
            _too_long(item)
            or _lacks_reference(rubric, item)
            or criteria.problem(rubric, item, request.teacher)
        )
        if problem or request.teacher == "off" or not rubric.asks_teacher:
            return Assessed(item, case, rules=None, refused=problem)
        asked = criteria.cases(rubric, item, case) if rubric.grades_criteria else [case]
        asks = (Ask(self._asking.key_of(rubric, one, request.sample), one) for one in asked)
        return Assessed(item, case, rules=None, asks=tuple(asks))

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
    return too_long({**item.asked, "response": item.response, "reference": item.reference or ""})


def too_long(texts: Mapping[str, str]) -> ItemError | None:
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are judged"
            return ItemError(code="too_long", message=message, retryable=False)
    return None


def _with(entry: Assessed, reading: Reading) -> Assessed:
    """The entry with its rules' verdict; without questions if no teacher may see it."""
    if not entry.asks or reading.is_kept_back:
        return replace(entry, rules=reading.rules, asks=())
    if reading.is_prompt_distrusted:
        return replace(entry, asks=(), refused=ATTACKED)
    return replace(entry, rules=reading.rules)


def _assessment(
    rubric: Rubric,
    request: ScoreRequest,
    examined: Sequence[Assessed],
    asked: Mapping[str, Outcome],
) -> Assessment:
    judged = tuple(_judged(rubric, request, one, asked) for one in examined)
    return Assessment(judged, sum((one.spent for one in asked.values()), Spent()))


def _judged(
    rubric: Rubric, request: ScoreRequest, one: Assessed, asked: Mapping[str, Outcome]
) -> Judged:
    outcomes = [asked[ask.key] for ask in one.asks]
    if outcomes and rubric.grades_criteria:
        return Judged(criteria.result_of_criteria(rubric, one, outcomes), None)
    outcome = outcomes[0] if outcomes else None
    key = one.asks[0].key if one.asks else None
    return Judged(result_of(rubric, request.teacher, one, outcome), key)


def _keys(entries: Iterable[Assessed]) -> set[str]:
    return {ask.key for entry in entries for ask in entry.asks}


async def _after(
    lead: asyncio.Task[Outcome], begin: Callable[[], asyncio.Task[Outcome]]
) -> Outcome:
    """Ask once `lead` has its verdict; if it has none, this has none for the same reason."""
    await asyncio.wait({lead})
    first = lead.result()
    if first.failure is not None:
        return Outcome(first.provider, failure=first.failure)
    return await begin()


def _lacks_reference(rubric: Rubric, item: ScoreItem) -> ItemError | None:
    """Without a reference the rules would find every answer wrong."""
    return _NO_REFERENCE if rubric.needs_reference and not (item.reference or "").strip() else None
