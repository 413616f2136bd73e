"""Laws of the second opinion: pairs in both orders beside a rubric's scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import Conflict, InvalidInput
from tests.fakes.rendering_server import RenderingServer
from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate import report
from trainer.evaluate.compare import compare
from trainer.evaluate.pairwise import cohens_kappa

JUDGED: dict[str, Any] = {
    "scorer": "judged",
    "rubric": "medical",
    "teacher": "required",
    "measures": {"reward": {"score": "reward"}},
}
ROWS = [{"id": f"q{n}", "question": f"嗓子痛{n}天，怎么办？"} for n in range(2, 6)]
FULL = (
    "<think>\n嗓子痛可能是咽炎，需要留意高烧。\n</think>\n\n"
    "嗓子痛可能与咽炎有关。建议多喝温水，饮食清淡。如果高烧不退，请尽快就医。您别担心。"
)
THIN = "嗓子痛的话多喝温水，注意休息。"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], -1.0),
        ([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")], 0.0),
        ([("a", "a"), ("a", "a"), ("b", "b"), ("draw", "b")], 0.6),
        ([("a", "a")], None),
        ([], None),
    ],
)
def test_kappa_of_tables_worked_by_hand(
    pairs: list[tuple[str, str]], expected: float | None
) -> None:
    """Agreement beyond chance; nothing is said where chance could not fail."""
    assert cohens_kappa(pairs) == (expected if expected is None else pytest.approx(expected))


def test_a_second_opinion_stands_beside_the_scores(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """Won, draw and lost, the share with its interval, and the agreement, in all three reports."""
    server.said = {"base": lambda _: THIN, "new": lambda _: FULL}
    plan = make_plan(["base", "new"], make_suite(ROWS, **JUDGED), allow_mock=True)
    (comparison,) = compare(plan, tmp_path, by_pairs=True)
    (found,) = comparison.pairwise
    assert (found.candidate, found.wins, found.draws, found.losses) == ("new", 4, 0, 0)
    assert (found.share, found.position_bias, found.agreement) == (1.0, 0.0, 1.0)
    assert (found.kappa, found.measure, found.provider) == (None, "reward", "mock")
    (facts,) = json.loads((tmp_path / report.FACTS).read_text("utf-8"))
    assert facts["pairwise"] == [found.model_dump()]
    cells = "| new | 100.0% [51.0%, 100.0%] | 4/0/0 | 0.0% | reward: 100.0% | – |"
    assert cells in (tmp_path / report.TABLE).read_text("utf-8")
    assert "Pair by pair" in (tmp_path / report.PAGE).read_text("utf-8")
    assert any("new pair by pair" in line for line in report.summary([comparison]))


def test_what_cannot_be_compared_is_refused_before_anything_is_sampled(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """A suite without a rubric that compares, and a mock that was not allowed."""
    exact = make_suite(
        [{"id": "s", "question": "1+1=?", "answer": "2"}], scorer="exact", measures={"right": {}}
    )
    with pytest.raises(InvalidInput, match=r"suite own has no rubric.*medical"):
        compare(make_plan(["base", "new"], exact), tmp_path, by_pairs=True)
    judged = make_suite(ROWS, name="judged", **JUDGED)
    with pytest.raises(Conflict, match="--allow-mock"):
        compare(make_plan(["base", "new"], judged), tmp_path, by_pairs=True)
    assert server.asked("POST", "/v1/completions") == []
