"""Laws of `galen train` and `merge`, as far as no model is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.train import _next_command
from galen.errors import NotFound
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


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("sft", "galen server serve --set server.model=runs/mine/final"),
        (
            "ppo",
            "galen compare configs/recipes/demo/compare.yaml --set run=mine-compare "
            "--set candidate=run:mine",
        ),
    ],
)
def test_the_next_command_is_about_the_run_that_was_made(
    stage: str, command: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name than the recipe's own, the next recipe would take the demo's run."""
    monkeypatch.chdir(root)
    path = DEMO / f"{stage}.yaml"
    assert _next_command(path, recipes.load(path, ["run=mine"])) == command


@pytest.mark.parametrize(
    ("stage", "command"), [("sft", "galen server serve --set server.model="), ("ppo", "galen chat")]
)
def test_a_recipe_alone_in_its_folder_leads_to_its_result(
    tmp_path: Path, root: Path, stage: str, command: str
) -> None:
    """No recipe is named that is not there."""
    path = tmp_path / f"{stage}.yaml"
    path.write_text((root / DEMO / f"{stage}.yaml").read_text("utf-8"), "utf-8")
    assert _next_command(path, recipes.load(path)).startswith(command)


def test_only_reinforcement_learning_is_replayed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recipe has no rollouts; a run that is not there is named."""
    monkeypatch.chdir(root)
    refused = CliRunner().invoke(app, ["train", str(DEMO / "sft.yaml"), "--replay", "demo-sft"])
    assert refused.exit_code == 2
    assert "only reinforcement learning" in refused.output
    missing = CliRunner().invoke(app, ["train", str(DEMO / "grpo.yaml"), "--replay", "none-such"])
    assert isinstance(missing.exception, NotFound)
    assert "none-such" in missing.exception.message
