"""A teacher that says what a test tells it to, without a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from judge.rubrics.rubric import Rubric
from judge.teacher.verdict import Client, Spent, TeacherError, TeacherState, Verdict
from judge.text.case import Case


@dataclass
class SteadyTeacher:
    """Gives every case the scores that `score` gives for it and `time`, and what else is set."""

    score: Callable[[Case], float] = lambda case: 0.7
    shift: dict[str, float] = field(default_factory=dict)
    """Added to a dimension's score from now on."""
    fingerprint: str | None = "fp_1"
    model: str = "teacher-1"
    provider: str = "teacher.example"
    failing: TeacherError | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Response and client of each call."""
    latched: str | None = None
    room: int = sys.maxsize
    state: TeacherState = field(default_factory=TeacherState)
    epoch: str = ""

    def identity(self) -> dict[str, Any]:
        return {"provider": self.provider, "epoch": self.epoch}

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        self.asked.append((case.response, client.name))
        if self.failing is not None:
            raise self.failing
        reservation = await client.account.reserve(0.01)
        await reservation.settle(0.001)
        score = self.score(case)
        scores = {name: score + self.shift.get(name, 0.0) for name in rubric.dimensions}
        return Verdict(
            scores=scores,
            why="说明了风险。",
            reply="{}",
            provider=self.provider,
            model_asked=self.model,
            model_answered=self.model,
            fingerprint=self.fingerprint,
            spent=Spent(cost_usd=0.001),
        )

    async def aclose(self) -> None:
        return None
