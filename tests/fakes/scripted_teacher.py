"""A teacher in the test's own process that does for each answer what the test's function does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from judge.rubrics.rubric import Rubric
from judge.teacher.verdict import Client, TeacherState, Verdict
from judge.text.case import Case

Script = Callable[[Case, Client], Awaitable[Verdict]]


def verdict(why: str = "好", **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "scores": {"safety": 0.5, "logic": 0.5, "completeness": 0.5, "empathy": 0.5},
        "why": why,
        "reply": "{}",
        "provider": "scripted",
        "model_asked": "m",
        "model_answered": "m-1",
        "fingerprint": "fp",
    }
    return Verdict(**{**fields, **changes})


class ScriptedTeacher:
    """`asked` keeps every case that it was asked about; `room` is what a test sets."""

    provider = "scripted"
    latched: str | None = None
    state = TeacherState()

    def __init__(self, script: Script | None = None, room: int = 10_000) -> None:
        self.asked: list[Case] = []
        self.room = room
        self._script = script
        self._arrival = asyncio.Condition()

    def identity(self) -> dict[str, Any]:
        return {"provider": self.provider, "model": "m"}

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        async with self._arrival:
            self.asked.append(case)
            self._arrival.notify_all()
        return verdict() if self._script is None else await self._script(case, client)

    async def has_asked(self, count: int) -> None:
        """Return once it was asked `count` times."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.asked) >= count)

    async def aclose(self) -> None:
        return None
