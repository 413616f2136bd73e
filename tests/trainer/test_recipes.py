"""Laws of recipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from galen.errors import RecipeError
from trainer import recipes

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "recipes").rglob("*.yaml"))
PPO = "stage: ppo\nrun: r\nmodel: m\nprompts: [p.jsonl]\n"


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_shipped_recipe_parses(path: Path) -> None:
    """A recipe in the repository is one that the trainer accepts."""
    kind = path.stem.partition("-")[0]
    if kind == "pipeline":
        assert recipes.load_pipeline(path).stages
        return
    load = recipes.load_data if kind == "data" else recipes.load
    assert load(path).stage == kind


def test_a_recipe_of_data_is_not_trained(root: Path) -> None:
    """The command that reads it is named."""
    path = root / "configs/recipes/medical/data.yaml"
    with pytest.raises(RecipeError, match=f"galen data prepare {path}"):
        recipes.load(path)


def test_a_pipeline_and_a_recipe_name_each_others_command(root: Path) -> None:
    """Whoever takes one for the other is told what to type."""
    pipeline, stage = (root / f"configs/recipes/demo/{name}.yaml" for name in ("pipeline", "sft"))
    with pytest.raises(RecipeError, match=f"galen run {pipeline}"):
        recipes.load(pipeline)
    with pytest.raises(RecipeError, match=f"galen train {stage}"):
        recipes.load_pipeline(stage)


def test_the_missions_numbers_are_ppos_defaults(tmp_path: Path) -> None:
    """Learning rate, batch, mini-batch, epochs and target KL are those of the mission."""
    path = tmp_path / "ppo.yaml"
    path.write_text(PPO)
    recipe = recipes.load(path)
    assert isinstance(recipe, recipes.PpoRecipe)
    found = (
        recipe.learning_rate,
        recipe.batch_size,
        recipe.mini_batch_size,
        recipe.epochs,
        recipe.target_kl,
    )
    assert found == (1.41e-5, 4, 1, 4, 0.1)
    assert recipe.steps_per_batch == 16


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (PPO + "learning_rat: 1.0\n", "learning_rat"),
        (PPO + "batch_size: 5\nmini_batch_size: 2\n", "mini_batch_size"),
        (PPO + "lora: null\n", "publish"),
        (PPO + "top_p: 0.9\n", "whole distribution"),
        (PPO + "generations: 3\n", "generations"),
        (PPO + "rewards: {judge: 0}\n", "above 0"),
        (PPO + "staleness: 1\ncorrection: null\n", "needs `correction`"),
        ("stage: pppo\nrun: r\n", "stage"),
        ("stage: sft\nrun: r\ntrain: [x]\n", "demo_model"),
        ("stage: [", "not valid YAML"),
        ("- a\n", "mapping"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_file_and_field(
    tmp_path: Path, text: str, named: str
) -> None:
    """The message names the file and what is wrong in it."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        recipes.load(path)
    assert str(path) in error.value.message
    assert named in error.value.message


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    """`field=value` reaches nested fields and is checked like the file itself."""
    path = tmp_path / "ppo.yaml"
    path.write_text(PPO)
    recipe = recipes.load(path, ["kl.target=3", "lora.r=8"])
    assert isinstance(recipe, recipes.PpoRecipe)
    assert (recipe.kl.target, recipe.lora.r if recipe.lora else None) == (3.0, 8)
    with pytest.raises(RecipeError, match=r"kl\.targt"):
        recipes.load(path, ["kl.targt=3"])


def test_where_a_run_lives_is_no_part_of_what_it_computes(tmp_path: Path) -> None:
    """Other ports or another folder make the same run; another learning rate does not."""
    path = tmp_path / "ppo.yaml"
    path.write_text(PPO)
    plain = recipes.load(path)
    moved = recipes.load(path, ["runs=/elsewhere", "services.server=http://127.0.0.1:1"])
    assert plain.sha256 == moved.sha256
    assert plain.sha256 != recipes.load(path, ["learning_rate=1.0"]).sha256


def test_reading_a_recipe_loads_no_torch() -> None:
    """A recipe is checked whole before the heavy packages load."""
    code = (
        "import sys, pathlib; from trainer import recipes;"
        f"recipes.load(pathlib.Path({str(RECIPES[0])!r}));"
        "print(sorted({'torch', 'transformers', 'trl'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
