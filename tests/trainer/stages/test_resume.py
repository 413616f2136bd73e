"""Laws of a run that was killed, from its first batch to its last weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galen import digest
from galen.journal import Journal
from judge.schemas import ScoreResult
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.recipes import GrpoRecipe
from trainer.rl.trainer import RlTrainer
from trainer.stages import grpo
from trainer.train import replay


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the trainer catches it."""


class TasteJudge(LoopJudge):
    """Rewards an answer by its words, the same whenever it is asked."""

    def _next(self, item: dict[str, Any]) -> ScoreResult:
        answer = (item["messages"][-1]["content"], item["response"])
        if answer not in self.paid:
            self.paid.append(answer)
        return verdict(sum(map(ord, item["response"])) % 7 / 7)


def test_a_killed_run_ends_with_the_weights_of_one_that_never_was_and_of_its_replay(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte; killed while a batch was drawn and while one was learnt. No answer is judged
    twice, and what an earlier life drew is not drawn again."""
    write_jsonl(tmp_path / "p.jsonl", [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, TasteJudge() as judge:
        server.tells_seed = True
        recipe = GrpoRecipe.model_validate(
            {
                **{"stage": "grpo", "run": "r", "runs": tmp_path / "runs", "model": toy},
                **{"prompts": (tmp_path / "p.jsonl",), "lora": None, "publish": "merged"},
                **{"batches": 2, "batch_size": 4, "generations": 2, "mini_batch_size": 2},
                **{"max_new_tokens": 8, "epochs": 1, "learning_rate": 1e-3, "preflight": False},
                "services": {"server": server.url, "judge": judge.url, "drift_every": 0},
            }
        )
        put, step = Journal.put, RlTrainer.training_step

        def dies_drawing(journal: Journal, *entry: Any) -> None:
            put(journal, *entry)
            if "batch-00000" in journal.path.name and len(judge.paid) >= 2:
                raise Killed

        def dies_learning(trainer: RlTrainer, *inputs: Any) -> Any:
            if trainer.state.global_step == 3:
                raise Killed
            return step(trainer, *inputs)

        for name, dies in (("put", dies_drawing), ("training_step", dies_learning)):
            monkeypatch.setattr(Journal if name == "put" else RlTrainer, name, dies)
            with pytest.raises((Killed, BaseExceptionGroup)):
                grpo.train(recipe)
            monkeypatch.undo()
        final = grpo.train(recipe)
        assert len(judge.paid) == len(set(judge.paid)) == 8
        assert len(server.asked("POST", "/v1/completions")) <= 8 + 4
        _, is_same = replay(recipe, "r")
        assert is_same
        whole = grpo.train(recipe.model_copy(update={"run": "whole"}))
    assert digest.of_folder(final) == digest.of_folder(whole) != digest.of_folder(toy)
    assert not (recipe.folder / "samples").exists()
