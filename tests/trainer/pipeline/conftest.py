"""A pipeline of small recipes in a folder of its own, and stages that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from galen import digest
from trainer.data.example import Example
from trainer.recipes import Recipe
from trainer.runs import Run

PAIR = {"prompt": "头痛？", "chosen": "请就医。", "rejected": "没事。"}


class Bench:
    """Writes recipes and a pipeline, and counts what is learnt and measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.learnt: list[str] = []
        self.measured: list[str] = []
        self.told: list[str] = []
        self.fails: str | None = None
        """Name of the run that stops before it saves anything."""
        self.base = folder / "base"
        self.base.mkdir()
        (self.base / "config.json").write_text("{}")
        (folder / "rows.jsonl").write_text("rows")
        (folder / "pairs.jsonl").write_text("pairs")
        (folder / "held_out.jsonl").write_text(json.dumps(PAIR))
        self.recipe("pretrain", "pre", self.base)
        self.recipe("sft", "sft", self.final("pre"))
        self.recipe("reward", "rm", self.final("sft"), train="pairs")
        self.recipe("dpo", "dpo", self.final("sft"), train="pairs")

    def final(self, run: str) -> Path:
        return self.folder / "runs" / run / "final"

    def recipe(
        self, stage: str, run: str, model: Path, train: str = "rows", **more: object
    ) -> Path:
        """Write a stage's recipe; the same run's recipe is written over."""
        data = [str(self.folder / f"{train}.jsonl")]
        fields = {"stage": stage, "run": run, "runs": str(self.folder / "runs"), "train": data}
        text = yaml.safe_dump({**fields, "model": str(model), **more})
        (self.folder / f"{run}.yaml").write_text(text)

    def pipeline(self, *runs: str, **more: object) -> Path:
        """Write the pipeline of these runs' recipes."""
        path = self.folder / "pipeline.yaml"
        fields: dict[str, object] = {
            "pipeline": "chain",
            "runs": str(self.folder / "runs"),
            "stages": [str(self.folder / f"{run}.yaml") for run in runs],
            "held_out": [str(self.folder / "held_out.jsonl")],
            "resamples": 100,
        }
        path.write_text(yaml.safe_dump({**fields, **more}))
        return path

    def learn(self, recipe: Recipe) -> Path:
        """Stands in for a stage: its weights follow from its recipe and its start model."""
        if recipe.run == self.fails:
            raise KeyboardInterrupt
        self.learnt.append(recipe.run)
        run = Run(recipe)
        run.open()
        run.final.mkdir()
        assert recipe.model
        weights = f"{recipe.sha256} {digest.of_folder(recipe.model)}"
        (run.final / "config.json").write_text(weights)
        run.finish()
        return run.final

    def measure(self, folder: Path, rows: list[Example], is_reward: bool) -> dict[str, list[float]]:
        """Stands in for scoring: the model's name, noted, and a figure."""
        self.measured.append(folder.parent.name if folder.name == "final" else folder.name)
        return {"preferred": [1.0, 0.0], **({} if is_reward else {"logprob": [-1.0, -2.0]})}

    def tell(self, name: str, what: str) -> None:
        self.told.append(f"{name}: {what}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
