"""Laws of on-policy distillation as a whole, on a toy policy before fake services."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galen import digest
from galen.errors import RecipeError
from tests.fakes.grading_engine import GradingEngine
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of
from tests.fakes.rows import write_jsonl
from trainer.model import load_tokenizer
from trainer.recipes import OpdRecipe
from trainer.rl.teacher import SAMPLE
from trainer.runs import Run, is_finished
from trainer.stages import opd
from trainer.train import replay


def test_a_run_goes_to_its_end_without_a_judge(toy: Path, tmp_path: Path) -> None:
    """The teacher alone grades; a replay needs not even that, and gives the same weights. Another
    tokenizer is refused before there is a run."""
    write_jsonl(tmp_path / "p.jsonl", [row_of("q", "头痛怎么办？")])
    same = load_tokenizer(toy)(SAMPLE, add_special_tokens=False)["input_ids"]
    server = LoopPolicyServer(digest.of_folder(toy))
    with server, LoopJudge() as judge, GradingEngine([1]) as teacher:
        recipe = OpdRecipe.model_validate(
            {
                **{"stage": "opd", "run": "r", "runs": tmp_path / "runs", "model": toy},
                **{"prompts": [tmp_path / "p.jsonl"], "lora": None, "publish": "merged"},
                **{"batches": 2, "batch_size": 4, "mini_batch_size": 2, "max_new_tokens": 8},
                "services": {"server": server.url, "judge": judge.url},
                "teacher": {"url": teacher.url, "model": "t"},
            }
        )
        with pytest.raises(RecipeError, match="another tokenizer"):
            opd.train(recipe)
        assert not Run(recipe).folder.exists()
        teacher.tokens = list(same)
        opd.train(recipe)
        assert judge.requests == []
    assert is_finished(recipe)
    rows = [json.loads(line) for line in Run(recipe).metrics.read_text("utf-8").splitlines()]
    assert [row["judged"] for row in rows] == [4, 4]
    _, is_same = replay(recipe, "r")
    assert is_same
