"""Several teachers that judge together: each one's verdict is a paid call of its own.

    mean   each score is the members' mean
    vote   each score is the members' median, so that a gate closes where most would close it

A danger counts as seen if at least half of the members see it. How far the members lie apart is
reported beside the verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from judge.rubrics.rubric import Rubric
from judge.schemas import PanelMember, PanelOpinion
from judge.teacher.verdict import (
    Circuit,
    Client,
    Spent,
    Teacher,
    TeacherError,
    TeacherState,
    Verdict,
)
from judge.text.case import Case

PROVIDER = "panel"
INCOMPLETE = "panel_incomplete"
_WORST: tuple[Circuit, ...] = ("open", "half_open", "closed")

Ask = Callable[[Teacher], Awaitable[Verdict]]
"""Has one member judge. Raises `TeacherError`."""


@dataclass(frozen=True)
class Panel:
    """Implements `judge.teacher.verdict.Teacher`. Needs two members or more."""

    members: tuple[Teacher, ...]
    provider: str = PROVIDER

    def identity(self) -> dict[str, Any]:
        return {"provider": PROVIDER, "members": [each.identity() for each in self.members]}

    @property
    def latched(self) -> str | None:
        """Why nobody is asked; None while one member is."""
        found = [each.latched for each in self.members]
        return "; ".join(one for one in found if one) if all(found) else None

    @property
    def room(self) -> int:
        return min(each.room for each in self.members)

    @property
    def state(self) -> TeacherState:
        states = [each.state for each in self.members]
        return TeacherState(
            limit=sum(one.limit for one in states),
            in_flight=sum(one.in_flight for one in states),
            waiting=sum(one.waiting for one in states),
            circuit=min((one.circuit for one in states), key=_WORST.index),
            retry_after_s=max(one.retry_after_s for one in states),
        )

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        return await self.convene(rubric, lambda member: member.judge(rubric, case, client))

    async def convene(self, rubric: Rubric, ask: Ask) -> Verdict:
        """All members' verdicts as one; `incomplete` says who gave none, where the rubric allows.

        Raises `TeacherError` if fewer gave one than the rubric's `panel.minimum`.
        """
        said = await asyncio.gather(*map(ask, self.members), return_exceptions=True)
        members: list[PanelMember] = []
        verdicts: list[Verdict] = []
        failures: list[TeacherError] = []
        for teacher, one in zip(self.members, said, strict=True):
            if isinstance(one, Verdict):
                verdicts.append(one)
                members.append(_member(one.provider, one.model_answered, scores=one.scores))
            elif isinstance(one, TeacherError):
                failures.append(one)
                model = str(teacher.identity().get("model", ""))
                members.append(_member(teacher.provider, model, error=one.code))
            else:
                raise one
        told = "; ".join(f"{one.code}: {one.message}" for one in failures)
        needed = min(rubric.file.panel.minimum or len(self.members), len(self.members))
        paid = [*(one.spent for one in verdicts), *(one.spent for one in failures)]
        if len(verdicts) < needed:
            counts = f"{len(verdicts)} of {len(self.members)} judged and {needed} are needed"
            retryable = any(one.retryable for one in failures)
            raise TeacherError(
                INCOMPLETE, f"{counts} ({told})", retryable=retryable, spent=sum(paid, Spent())
            )
        combined = _combined(rubric, verdicts, members)
        missing = f"{len(failures)} of {len(self.members)} gave no verdict ({told})"
        return replace(combined, spent=sum(paid, Spent()), incomplete=missing if failures else None)

    async def aclose(self) -> None:
        await asyncio.gather(*(each.aclose() for each in self.members))


def opinion_of(verdict: Verdict) -> PanelOpinion | None:
    """What the members of a panel said; None for a single teacher's verdict."""
    if verdict.provider != PROVIDER:
        return None
    return PanelOpinion.model_validate_json(verdict.reply)


def _member(
    provider: str, model: str, scores: dict[str, float] | None = None, error: str | None = None
) -> PanelMember:
    return PanelMember(provider=provider, model=model, scores=scores, error=error)


def _combined(
    rubric: Rubric, verdicts: Sequence[Verdict], members: Sequence[PanelMember]
) -> Verdict:
    middle = median if rubric.file.panel.combine == "vote" else fmean
    names = list(verdicts[0].scores)
    scores = {name: round(middle([one.scores[name] for one in verdicts]), 6) for name in names}
    evidence = {name: _nearest(verdicts, name, scores[name]) for name in names}
    for danger in {name for one in verdicts for name in one.evidence} - set(names):
        quotations = [one.evidence[danger] for one in verdicts if danger in one.evidence]
        if 2 * len(quotations) >= len(verdicts):
            evidence[danger] = quotations[0]
    spread = {name: max(s) - min(s) for name in names if (s := [v.scores[name] for v in verdicts])}
    opinion = PanelOpinion(
        combine=rubric.file.panel.combine,
        members=tuple(members),
        spread={name: round(each, 6) for name, each in spread.items()},
    )
    return Verdict(
        scores=scores,
        evidence=evidence,
        why="\n".join(f"[{one.provider} {one.model_answered}] {one.why}" for one in verdicts),
        reply=opinion.model_dump_json(),
        provider=PROVIDER,
        model_asked=" + ".join(one.model_asked for one in verdicts),
        model_answered=" + ".join(one.model_answered for one in verdicts),
        fingerprint=" + ".join(one.fingerprint or "-" for one in verdicts),
        latency_s=max(one.latency_s for one in verdicts),
        asks=sum(one.asks for one in verdicts),
    )


def _nearest(verdicts: Sequence[Verdict], name: str, score: float) -> str:
    """The quotation of the member whose score is nearest, of one who quoted if any did."""
    ranked = sorted(verdicts, key=lambda one: abs(one.scores[name] - score))
    return next((words for one in ranked if (words := one.evidence.get(name, ""))), "")
