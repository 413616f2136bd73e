"""Laws of a pipeline's order and of what of it is done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from galen.errors import RecipeError
from tests.trainer.pipeline.conftest import Bench
from trainer.pipeline import chain as chains
from trainer.pipeline.chain import lacking, load, standings

ALL = ("pre", "sft", "rm", "dpo")


def states(path: Path) -> dict[str, str]:
    return {each.link.name: str(each) for each in standings(load(path))}


def test_stages_run_after_those_whose_models_they_start_from(bench: Bench) -> None:
    """Whatever the order in which the file lists them."""
    chain = load(bench.pipeline("dpo", "rm", "sft", "pre"))
    assert [link.name for link in chain.links] == ["pre", "sft", "dpo", "rm"]
    assert [link.origin for link in chain.links] == [str(bench.base), "pre", "sft", "sft"]


def test_a_circle_is_refused_by_the_names_of_its_stages(bench: Bench) -> None:
    """No stage of it could run first."""
    bench.recipe("pretrain", "pre", bench.final("sft"))
    with pytest.raises(RecipeError, match=r"circle: (sft → pre → sft|pre → sft → pre)"):
        load(bench.pipeline(*ALL))


def test_a_parent_that_is_neither_stage_nor_run_is_refused_by_name(bench: Bench) -> None:
    """With the stage that needs it."""
    with pytest.raises(RecipeError, match=r"sft: needs .*runs/pre/final, but no stage is called"):
        load(bench.pipeline("sft"))
    bench.final("pre").mkdir(parents=True)  # a run from before
    assert [link.parents for link in load(bench.pipeline("sft")).links] == [()]


@pytest.mark.parametrize(
    ("runs", "more", "named"),
    [
        (("pre", "pre"), {}, "'pre' is the name of two"),
        (("pre",), {"pipeline": "pre"}, "'pre' is the name of two"),
        (("pre",), {"stage": []}, "galen train"),
        (("pre",), {"held": []}, "held"),
    ],
)
def test_a_wrong_pipeline_is_refused(
    bench: Bench, runs: tuple[str, ...], more: dict[str, object], named: str
) -> None:
    """The message names what is wrong."""
    with pytest.raises(RecipeError, match=named):
        load(bench.pipeline(*runs, **more))


def test_what_a_pipeline_cannot_measure_is_refused(bench: Bench) -> None:
    """An adapter alone is no model, and rows that are learnt are not held out."""
    bench.recipe("dpo", "dpo", bench.final("sft"), train="pairs", merge=False)
    with pytest.raises(RecipeError, match=r"dpo.yaml: `merge: false` leaves no dense weights"):
        load(bench.pipeline(*ALL))
    bench.recipe("dpo", "dpo", bench.final("sft"), train="held_out")
    with pytest.raises(RecipeError, match=r"dpo.yaml: learns from .*held_out.jsonl"):
        load(bench.pipeline(*ALL))


def test_overrides_of_a_stage_reach_its_recipe(bench: Bench) -> None:
    """As `--set` does."""
    stage = {"recipe": str(bench.folder / "pre.yaml"), "set": ["run=other", "learning_rate=0.5"]}
    (link,) = load(bench.pipeline(stages=[stage])).links
    assert (link.name, getattr(link.recipe, "learning_rate")) == ("other", 0.5)  # noqa: B009


def test_what_is_missing_is_told_before_anything_runs(bench: Bench) -> None:
    """Models and data, of every stage; not what a stage will make."""
    chain = load(bench.pipeline(*ALL))
    assert lacking(chain) == []
    (bench.folder / "pairs.jsonl").unlink()
    shutil.rmtree(bench.base)
    found = lacking(chain)
    assert [line.partition(":")[0] for line in found] == ["pre", "rm", "dpo"]
    assert ["galen models get" in line for line in found] == [True, False, False]


def test_a_changed_recipe_marks_its_stage_and_those_after_it(bench: Bench) -> None:
    """Its parents and its siblings stay finished."""
    path = bench.pipeline(*ALL)
    assert set(states(path).values()) == {"to do"}
    for link in load(path).links:
        bench.learn(link.recipe)
    assert set(states(path).values()) == {"finished"}
    bench.recipe("sft", "sft", bench.final("pre"), epochs=7)
    expected = {"pre": "finished", "sft": "changed: another recipe"}
    assert states(path) == {**expected, "rm": "changed: follows sft", "dpo": "changed: follows sft"}


def test_changed_data_and_lost_weights_mark_a_stage(bench: Bench) -> None:
    """A finished run is what its inputs make, and is there."""
    path = bench.pipeline(*ALL)
    for link in load(path).links:
        bench.learn(link.recipe)
    shutil.rmtree(bench.final("rm"))
    assert states(path)["rm"] == "changed: its weights are gone"
    (bench.folder / "pairs.jsonl").write_text("others")
    found = states(path)
    assert (found["sft"], found["dpo"]) == ("finished", "changed: another data")


def test_a_pipeline_is_checked_before_torch_is_loaded(root: Path) -> None:
    """A circle or a misspelt field is reported at once."""
    code = f"import sys\nimport {chains.__name__}\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("pack", ["demo", "medicalgpt"])
def test_the_shipped_pipelines_lead_from_text_to_dpo(
    pack: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their stages fit together, and each follows the one before it."""
    monkeypatch.chdir(root)
    links = load(Path(f"configs/recipes/{pack}/pipeline.yaml")).links
    assert [link.recipe.stage for link in links] == ["pretrain", "sft", "reward", "dpo"]
    by_name = {link.name: link.recipe.stage for link in links}
    assert [by_name.get(link.origin) for link in links] == [None, "pretrain", "sft", "sft"]
