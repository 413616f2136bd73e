"""Laws of `galen train` and `merge`, as far as no model is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.train import _next_command
from trainer import recipes

DEMO = Path("configs/recipes/demo")


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("sft", "galen train configs/recipes/demo/ppo.yaml"),
        ("ppo", "galen compare configs/recipes/demo/compare.yaml"),
    ],
)
def test_a_stage_names_the_next_command(
    stage: str, command: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stage a person is told what to type, and it is a recipe that exists."""
    monkeypatch.chdir(root)
    path = DEMO / f"{stage}.yaml"
    assert _next_command(path, recipes.load(path)) == command


def test_a_recipe_alone_in_its_folder_leads_to_a_chat(tmp_path: Path, root: Path) -> None:
    """No recipe is named that is not there."""
    path = tmp_path / "ppo.yaml"
    path.write_text((root / DEMO / "ppo.yaml").read_text("utf-8"), "utf-8")
    assert _next_command(path, recipes.load(path)) == "galen chat"
