"""Laws of a pipeline's run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galen.errors import DataError, RecipeError, Unavailable
from tests.trainer.pipeline.conftest import Bench
from trainer.pipeline.chain import load
from trainer.pipeline.run import run

ALL = ("pre", "sft", "rm", "dpo")


def go(bench: Bench, path: Path) -> list[str]:
    """Run the pipeline; the runs that were trained."""
    bench.learnt, bench.measured, bench.told = [], [], []
    run(load(path), bench.tell, bench.learn, bench.measure)
    return bench.learnt


def test_finished_stages_are_skipped(bench: Bench) -> None:
    """And no model is measured twice."""
    path = bench.pipeline(*ALL)
    assert go(bench, path) == list(ALL)
    assert bench.measured == ["base", *ALL]
    assert go(bench, path) == []
    assert bench.measured == []
    assert bench.told == [f"{name}: is finished" for name in ALL]


def test_a_changed_stage_runs_again_with_those_after_it_and_nothing_is_lost(bench: Bench) -> None:
    """Their old runs get another name."""
    path = bench.pipeline(*ALL)
    go(bench, path)
    old = (bench.final("sft") / "config.json").read_text()
    bench.recipe("sft", "sft", bench.final("pre"), epochs=7)
    assert go(bench, path) == ["sft", "rm", "dpo"]
    assert bench.measured == ["sft", "rm", "dpo"]
    assert (bench.final("sft.1") / "config.json").read_text() == old
    bench.recipe("dpo", "dpo", bench.final("sft"), train="pairs", epochs=7)
    assert go(bench, path) == ["dpo"]
    assert bench.final("dpo.2").is_dir()


def test_a_kill_between_stages_goes_on_where_it_was(bench: Bench) -> None:
    """What was finished and measured stays so."""
    path = bench.pipeline(*ALL)
    bench.fails = "rm"
    with pytest.raises(KeyboardInterrupt):
        go(bench, path)
    assert bench.learnt == ["pre", "sft"]
    bench.fails = None
    assert go(bench, path) == ["rm", "dpo"]
    assert bench.measured == ["rm", "dpo"]


def test_a_stage_that_makes_nothing_leaves_its_old_run(bench: Bench) -> None:
    """As bad data does, which is found before the new run has a folder."""
    path = bench.pipeline(*ALL)
    go(bench, path)
    bench.recipe("dpo", "dpo", bench.final("sft"), train="pairs", epochs=7)
    bench.fails = "dpo"
    with pytest.raises(KeyboardInterrupt):
        go(bench, path)
    assert bench.final("dpo").is_dir()
    assert not bench.final("dpo.1").exists()


def test_missing_and_bad_rows_are_refused_before_anything_runs(bench: Bench) -> None:
    """So that no hour is lost to them."""
    path = bench.pipeline(*ALL)
    (bench.folder / "held_out.jsonl").write_text('{"text": "头痛"}\n')
    with pytest.raises(DataError, match="line 1: neither a pair nor an answer"):
        go(bench, path)
    (bench.folder / "held_out.jsonl").unlink()
    with pytest.raises(RecipeError, match=r"not there:\n  held_out: .*held_out.jsonl"):
        go(bench, path)
    assert bench.learnt == []


def test_a_pipeline_in_several_processes_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would move and measure the same folders."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="a pipeline runs in one process"):
        go(bench, bench.pipeline(*ALL))


def test_a_stage_whose_services_are_silent_names_the_command(bench: Bench) -> None:
    """It comes after those that need none, and the same call goes on."""
    ppo = bench.folder / "ppo.yaml"
    ppo.write_text(
        f"stage: ppo\nrun: ppo\nruns: {bench.folder / 'runs'}\nmodel: {bench.final('sft')}\n"
        f"prompts: [{bench.folder / 'rows.jsonl'}]\n"
        "services: {server: 'http://127.0.0.1:9', judge: 'http://127.0.0.1:9'}\n"
    )
    path = bench.pipeline(*ALL, "ppo", stack="configs/demo.yaml")
    with pytest.raises(Unavailable, match=r"galen up configs/demo.yaml --set server.model=.*sft"):
        go(bench, path)
    assert bench.learnt == list(ALL)


def test_the_results_give_figures_and_changes(bench: Bench) -> None:
    """Each model's figures with intervals, and how they differ from its start's."""
    path = bench.pipeline(*ALL)
    go(bench, path)
    folder = bench.folder / "runs" / "chain"
    found = {
        Path(each["name"]).name: each
        for each in json.loads((folder / "pipeline.json").read_text("utf-8"))["effects"]
    }
    assert [each["parent"] for each in found.values()] == [
        None,
        str(bench.base),
        "pre",
        "sft",
        "sft",
    ]
    assert found["dpo"]["figures"]["logprob"]["mean"] == -1.5
    assert found["dpo"]["changes"]["logprob"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert set(found["rm"]["figures"]) == {"preferred"}


@pytest.mark.prove
def test_real_stages_become_a_measured_chain(toy: Path, bench: Bench) -> None:
    """SFT, a reward model and DPO on a toy, with scores of their own."""
    pairs = [
        {"prompt": f"头痛第{i}天？", "chosen": "请尽快就医。", "rejected": "没事的。"}
        for i in range(9)
    ]
    rows = [{"question": pair["prompt"], "answer": pair["rejected"]} for pair in pairs]
    files = {"rows": rows, "pairs": pairs[:8], "held_out": pairs[8:]}
    for name, made in files.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in made]
        (bench.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    quick = {"lora": None, "learning_rate": 1e-3, "epochs": 4, "dev_share": 0}
    bench.recipe("sft", "sft", toy, **quick)
    bench.recipe("reward", "rm", bench.final("sft"), train="pairs", **quick)
    bench.recipe("dpo", "dpo", bench.final("sft"), train="pairs", **quick)
    path = bench.pipeline("sft", "rm", "dpo")
    start, sft, rm, dpo = run(load(path), bench.tell)
    assert sft.figures["logprob"].mean > start.figures["logprob"].mean
    assert dpo.figures["margin"].mean > sft.figures["margin"].mean
    assert rm.figures["preferred"].mean == 1
    bench.learnt = []
    run(load(path), bench.tell, bench.learn, bench.measure)
    assert (bench.learnt, bench.measured) == ([], [])
