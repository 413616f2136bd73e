"""Laws of a run's folder."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from galen.errors import RecipeError
from trainer.recipes import SftRecipe, load
from trainer.runs import Run, finished, is_finished, resolve


@pytest.fixture
def recipe(toy: Path, tmp_path: Path) -> SftRecipe:
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n", "utf-8")
    return SftRecipe(stage="sft", run="r1", runs=tmp_path / "runs", model=toy, train=(data,))


def test_the_same_recipe_opens_its_folder_again(recipe: SftRecipe) -> None:
    """Opening twice is how a run is resumed; what the first wrote stays."""
    Run(recipe).open()
    before = Run(recipe).manifest()
    Run(recipe).open()
    assert before is not None
    assert before == Run(recipe).manifest()
    assert (recipe.folder / "recipe.yaml").is_file()


def test_a_run_that_saved_nothing_may_start_over(recipe: SftRecipe) -> None:
    """After a mended recipe or data file the same command goes on, under the same name."""
    Run(recipe).open()
    mended = recipe.model_copy(update={"learning_rate": 0.5})
    Run(mended).open()
    manifest = Run(mended).manifest()
    assert manifest is not None
    assert mended.sha256 == manifest["recipe"]


def test_another_recipes_folder_is_refused_naming_what_changed(recipe: SftRecipe) -> None:
    """A folder holds one run; the message says what differs and what to do."""
    Run(recipe).open()
    saved = Run(recipe).checkpoints / "checkpoint-3"
    saved.mkdir(parents=True)
    (saved / "trainer_state.json").write_text("{}", "utf-8")
    other = recipe.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(RecipeError, match=r"another recipe; choose another `run` name"):
        Run(other).open()
    recipe.train[0].write_text("{} \n", "utf-8")
    with pytest.raises(RecipeError, match="another data;"):
        Run(recipe).open()


def test_where_a_run_computes_makes_no_other_run_of_it(recipe: SftRecipe) -> None:
    """Threads may change between two starts."""
    Run(recipe).open()
    Run(recipe.model_copy(update={"cpu_threads": 3})).open()


def test_a_run_is_finished_until_its_data_changes(recipe: SftRecipe) -> None:
    """Not before its end, and no more once the files are not those that it was made from."""
    assert not is_finished(recipe)
    run = Run(recipe)
    run.open()
    assert not is_finished(recipe)
    run.finish(steps=3)
    assert is_finished(recipe)
    assert not is_finished(recipe.model_copy(update={"epochs": 9}))
    recipe.train[0].write_text("{}\n{}\n", "utf-8")
    assert not is_finished(recipe)


def test_a_half_written_checkpoint_is_none(recipe: SftRecipe) -> None:
    """The state file is written last; without it the checkpoint before counts."""
    run = Run(recipe)
    assert run.last_checkpoint() is None
    for step in (8, 16, 100):
        (run.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
    for step in (8, 16):
        (run.checkpoints / f"checkpoint-{step}" / "trainer_state.json").write_text("{}", "utf-8")
    assert run.last_checkpoint() == run.checkpoints / "checkpoint-16"


def test_what_a_finished_run_published_is_found_by_its_name(recipe: SftRecipe) -> None:
    """Any other name is a version's own."""
    run = Run(recipe)
    run.open()
    run.finish(version="r1-0004-abcdef01")
    assert resolve(recipe.runs, "run:r1") == "r1-0004-abcdef01"
    assert resolve(recipe.runs, "r1") == "r1"


def test_a_run_that_published_nothing_has_a_name_for_its_weights(recipe: SftRecipe) -> None:
    """Supervised runs are such; other weights get another name."""
    run = Run(recipe)
    run.open()
    run.finish()
    with pytest.raises(RecipeError, match=r"run:r1: .* holds no weights any more"):
        resolve(recipe.runs, "run:r1")
    names = []
    for weights in ("one", "two"):
        run.final.mkdir(exist_ok=True)
        (run.final / "config.json").write_text(weights)
        names.append(resolve(recipe.runs, "run:r1"))
    assert all(re.fullmatch("r1-[0-9a-f]{8}", name) for name in names)
    assert names[0] != names[1]


def test_a_run_that_made_the_served_base_means_base(recipe: SftRecipe) -> None:
    """A server of adapters takes no whole weights, and has these already."""
    run = Run(recipe)
    run.open()
    run.final.mkdir()
    (run.final / "config.json").write_text("{}")
    run.finish()
    assert resolve(recipe.runs, "run:r1", run.final) == "base"


def test_a_run_that_is_not_there_is_refused(recipe: SftRecipe) -> None:
    """With the name that was probably meant."""
    with pytest.raises(RecipeError, match=r"run:r1: no such run .*; train it first"):
        finished(recipe.runs, "r1")
    Run(recipe).open()
    with pytest.raises(RecipeError, match=r"did you mean run:r1\?"):
        finished(recipe.runs, "r11")


def test_an_unfinished_run_is_refused_with_its_state(recipe: SftRecipe) -> None:
    """And with the command that goes on with it."""
    run = Run(recipe)
    run.open()
    with pytest.raises(RecipeError, match=r"no checkpoint yet; .*galen train .*/r1/recipe.yaml"):
        finished(recipe.runs, "r1")
    checkpoint = run.checkpoints / "checkpoint-16"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    with pytest.raises(RecipeError, match="its last checkpoint is checkpoint-16"):
        finished(recipe.runs, "r1")


def test_the_recipe_in_a_runs_folder_goes_on_with_it(recipe: SftRecipe) -> None:
    """It is the same recipe to the last field."""
    Run(recipe).open()
    assert load(recipe.folder / "recipe.yaml").sha256 == recipe.sha256


def test_the_log_is_kept_while_the_stage_runs_and_no_longer(recipe: SftRecipe) -> None:
    """The handler goes with the block, so that the next run's lines are its own."""
    run = Run(recipe)
    run.open()
    logger = logging.getLogger("trainer.anything")
    with run.logging():
        logger.info("within")
    logger.warning("after")
    assert "within" in run.log.read_text("utf-8")
    assert "after" not in run.log.read_text("utf-8")


def test_the_manifest_is_never_half_written(recipe: SftRecipe) -> None:
    """It is renamed into place, and its parts are what reproduces the run."""
    run = Run(recipe)
    run.open()
    manifest = json.loads((run.folder / "manifest.json").read_text("utf-8"))
    assert {"recipe", "data", "model", "finished", "python", "packages", "commit"} <= set(manifest)
    assert not list(run.folder.glob(".*.partial"))
