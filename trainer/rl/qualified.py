"""Checks that the judge's teacher has passed its examination."""

from __future__ import annotations

import asyncio
import os

from galen.errors import Conflict
from judge.client import JudgeClient
from trainer.recipes import Services
from trainer.services import KEY_VARIABLE


def require_qualified(services: Services) -> str | None:
    """Refuse a teacher that has not passed its examination.

    Returns a warning for the run's log if the recipe allows such a teacher, else None. Raises
    `Conflict`, and `Unavailable` if the judge cannot be reached.
    """
    return asyncio.run(_require_qualified(services))


async def _require_qualified(services: Services) -> str | None:
    async with JudgeClient(services.judge, key=os.environ.get(KEY_VARIABLE)) as judge:
        examinee = await judge.examinee(services.rubric)
    if examinee.is_qualified:
        return None
    found = (
        "has not been examined"
        if examinee.latest is None
        else f"has not passed its examination ({'; '.join(examinee.latest.shortfalls)})"
    )
    message = f"the judge's teacher ({examinee.provider}) {found} under {services.rubric}"
    if services.allow_unqualified:
        return f"{message}; the recipe allows it"
    # The shipped labels have the medical rubrics' dimensions.
    labels = "data/judge/labels.jsonl" if services.rubric.startswith("medical") else "LABELS.jsonl"
    raise Conflict(
        f"{message}: run `galen judge qualify {labels} --rubric {services.rubric} "
        f"--judge {services.judge}`, or allow it with `services: {{allow_unqualified: true}}` in "
        "the recipe"
    )
