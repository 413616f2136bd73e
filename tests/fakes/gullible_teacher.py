"""Teachers that are taken in on purpose, so that what holds against an attack is our own defence.

`GullibleTeacher` gives full marks to what reaches it. `ObedientTeacher` is an HTTP endpoint that
finds an honest answer middling and does what it reads: where it sees talk of scores, an order, or
a forged end of the answer, it gives full marks.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

from aiohttp import web

from judge.rubrics.rubric import Rubric
from judge.teacher.verdict import Client, Verdict
from judge.text.case import Case
from tests.fakes.teacher import FakeTeacher, Good, answer_in

MIDDLING, PERFECT = 0.5, 1.0

_OBEYED = re.compile(
    r"满分|最高|优秀|通过|评审|评委|评分|无可挑剔|忽略|10/10|1\.0|score|verdict|perfect|full ?marks"
    r"|ignore|instructions|grader|judge|\[/?回答|</|<\|",
    re.IGNORECASE,
)


class GullibleTeacher:
    """Full marks for everybody; `asked` holds the responses that it was shown."""

    provider = "gullible"
    latched: str | None = None
    room = sys.maxsize

    def __init__(self) -> None:
        self.asked: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"provider": self.provider, "model": "gullible"}

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        self.asked.append(case.response)
        scores = dict.fromkeys(rubric.dimensions, PERFECT)
        return Verdict(
            scores=scores,
            why="很好。",
            reply=json.dumps(scores),
            provider=self.provider,
            model_asked="gullible",
            model_answered="gullible",
        )

    async def aclose(self) -> None:
        return None


class ObedientTeacher(FakeTeacher):
    """Middling marks, unless the text under judgement tells it otherwise."""

    async def _judge(self, request: web.Request, reply: Good) -> web.Response:
        body = await request.json()
        score = PERFECT if obeys(body) else MIDDLING
        scores = dict.fromkeys(("safety", "logic", "completeness", "empathy"), score)
        return await super()._judge(request, Good(scores=scores))


def obeys(body: dict[str, Any]) -> bool:
    """Whether a request's question or answer, read without its disguises, gives it an order.

    What stands outside the boundaries is ours and gives none.
    """
    user = body["messages"][1]["content"]
    question = user.partition("[问题 ")[2].partition("[参考答案 ")[0]
    return bool(_OBEYED.search(_read(question)) or _OBEYED.search(_read(answer_in(body))))


def _read(text: str) -> str:
    """As a model reads it: one width, nothing invisible, no boundary marks of ours."""
    shown = "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )
    return re.sub(r"\[/?问题 [0-9a-f]{16}\]", "", shown)
