"""TAT-QA's measures beside the figures of its official scorer."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from trainer.evaluate.tatqa import Score, score


def question(answer: object, kind: str, scale: str = "") -> dict[str, object]:
    return {"answer": answer, "answer_type": kind, "scale": scale}


@pytest.mark.parametrize(
    ("asked", "answer", "scale", "scores"),
    [
        (question(["$1,496.5"], "span", "million"), ["1496.5"], "million", (1.0, 1.0, 1.0)),
        (question(["$1,496.5"], "span", "million"), ["1496.5"], "", (0.0, 0.0, 0.0)),
        (question(23.42, "arithmetic", "percent"), [0.2342], "", (1.0, 1.0, 0.0)),
        (question(23.42, "arithmetic", "percent"), ["23.42%"], "", (1.0, 1.0, 0.0)),
        (question(["The net sales"], "span"), ["net sales, total"], "", (0.0, 0.8, 1.0)),
        (question(["2018", "2019"], "multi-span"), ["2019", "2018"], "", (1.0, 1.0, 1.0)),
        (question(3, "count"), [2], "", (0.0, 0.0, 1.0)),
        (question(["x"], "span"), [], "", (0.0, 0.0, 0.0)),
        (question(["x"], "span"), None, "", (0.0, 0.0, 0.0)),
    ],
)
def test_an_answer_is_measured_with_its_scale(
    asked: dict[str, object], answer: object, scale: str, scores: tuple[float, float, float]
) -> None:
    """Numbers in full, words as sets, F1 of calculations all or nothing."""
    assert score(asked, answer, scale) == Score(*scores)


def test_the_official_scorers_figures_are_reached(root: Path) -> None:
    """On its sample prediction, to the second decimal."""
    folder = root.parent / "shared" / "data"
    if not (folder / "tatqa_dev.json").is_file():
        pytest.skip("the sample tatqa_dev.json is not beside this checkout (../shared/data)")
    said = json.loads((folder / "tatqa_sample_prediction.json").read_text("utf-8"))
    scores = [
        score(each, *said[each["uid"]])
        for document in json.loads((folder / "tatqa_dev.json").read_text("utf-8"))
        for each in document["questions"]
    ]
    means = [100 * fmean(getattr(s, name) for s in scores) for name in ("exact", "f1", "scale")]
    assert [round(mean, 2) for mean in means] == [45.92, 58.88, 90.95]
