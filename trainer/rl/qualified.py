"""Whether the judge's teacher may be trusted with a run."""

from __future__ import annotations

import asyncio
import os

from galen.errors import Conflict
from judge.client import JudgeClient
from trainer.recipes import Services
from trainer.services import KEY_VARIABLE


def require_qualified(services: Services) -> str | None:
    """Refuse to go on with a teacher that has not passed its examination.

    Returns what to write into the run's log where the recipe allows it nevertheless. Raises
    `Conflict`, and what a judge out of reach raises.
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
    # The shipped labels are of the medical rubrics' dimensions.
    labels = "data/judge/labels.jsonl" if services.rubric.startswith("medical") else "LABELS.jsonl"
    raise Conflict(
        f"{message}: run `galen judge qualify {labels} --rubric {services.rubric} "
        f"--judge {services.judge}`, or allow it with `services: {{allow_unqualified: true}}` in "
        "the recipe"
    )
