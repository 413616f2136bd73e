"""Laws of a run in several processes, on CPUs; `accelerate launch` starts them as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from galen import digest
from galen.errors import RecipeError
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer import recipes
from trainer.recipes import RlRecipe
from trainer.runs import Run, is_finished
from trainer.train import replay as rl_replay
from trainer.train import train

ROWS = [{"question": f"头痛第{i}天？", "answer": f"<think>第{i}天</think>就医"} for i in range(16)]
PAIRS = [{"prompt": f"头痛第{i}天？", "chosen": "就医", "rejected": f"吃{i}片"} for i in range(16)]
DEMO = {"vocabulary": 400, "hidden": 64, "layers": 2}
LORA = {"r": 4, "alpha": 8, "dropout": 0}
PROVE = [pytest.mark.prove, pytest.mark.timeout(300)]


def written(folder: Path, stage: str, run: str, **changes: Any) -> Path:
    """A recipe file."""
    data = folder / f"{stage}.jsonl"
    rows = ROWS if stage == "sft" else PAIRS
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    fields = {
        "stage": stage,
        "run": run,
        "runs": str(folder / "runs"),
        "train": [str(data)],
        "epochs": 4,
        "batch_size": 2,
        "dev_share": 0.25,
        "save_steps": 3,
        "learning_rate": 1e-3,
        **changes,
    }
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(fields), "utf-8")
    return path


def launched(root: Path, recipe: Path) -> subprocess.Popen[str]:
    """`galen train` in two processes."""
    config = root / "configs/accelerate/ddp-cpu.yaml"
    command = ["accelerate.commands.launch", "--config_file", str(config), "-m", "cli.main"]
    return subprocess.Popen(
        [sys.executable, "-m", *command, "train", str(recipe)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def curve(recipe: Path) -> list[list[float]]:
    """Losses, learnt and evaluated, and the gradient's norm at each logged step."""
    lines = Run(recipes.load(recipe)).metrics.read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [[row[key] for key in ("step", "loss", "grad_norm") if key in row] for row in rows] + [
        [row["step"], row["eval_loss"]] for row in rows if "eval_loss" in row
    ]


def weights(recipe: Path) -> torch.Tensor:
    found = load_file(Run(recipes.load(recipe)).final / "model.safetensors")
    return torch.cat([found[name].flatten() for name in sorted(found)])


@pytest.mark.parametrize(
    ("stage", "model"),
    [
        pytest.param("sft", {"demo_model": DEMO, "lora": None}, marks=PROVE, id="demo"),
        pytest.param("sft", {"lora": LORA}, marks=PROVE, id="sft"),
        pytest.param("dpo", {"lora": LORA}, marks=PROVE, id="dpo"),
        pytest.param("orpo", {"lora": LORA}, marks=PROVE, id="orpo"),
        pytest.param("reward", {"lora": None}, marks=PROVE, id="reward"),
    ],
)
def test_two_processes_learn_what_one_does_from_the_same_batches(
    root: Path, toy: Path, tmp_path: Path, stage: str, model: dict[str, Any]
) -> None:
    """The same losses, gradients and weights, but for the order in which floats are added."""
    if "demo_model" not in model:
        model = {**model, "model": str(toy)}
    two = written(tmp_path, stage, "two", **model)
    one = written(tmp_path, stage, "one", **model, gradient_accumulation=2)
    process = launched(root, two)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    train(recipes.load(one))
    assert len(curve(one)) > 6
    for found, expected in zip(curve(two), curve(one), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-3, atol=1e-4)
    assert said.count("Results:") == 1


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_run_in_two_processes_that_was_stopped_goes_on(root: Path, tmp_path: Path) -> None:
    """SIGTERM to the launcher stops both at one step with a checkpoint; the same command ends."""
    fields = {"demo_model": DEMO, "lora": None, "epochs": 400, "save_steps": 100_000}
    recipe = written(tmp_path, "sft", "cut", **fields, dev_share=0)
    run = Run(recipes.load(recipe))
    process = launched(root, recipe)
    while process.poll() is None and not run.metrics.is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert "stopped by SIGTERM at step" in said
    assert not is_finished(run.recipe)
    saved = run.last_checkpoint()
    assert saved is not None
    process = launched(root, recipe)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert is_finished(run.recipe)
    steps = [json.loads(line)["step"] for line in run.metrics.read_text("utf-8").splitlines()]
    assert steps == sorted(steps)


def test_what_cannot_be_shared_out_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison runs in one process; reinforcement learning needs whole weights in each."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="compare: runs in one process"):
        train(recipes.load(root / "configs/recipes/demo/compare.yaml"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(RecipeError, match="ppo: each process needs whole weights"):
        train(recipes.load(root / "configs/recipes/demo/ppo.yaml"))


@pytest.mark.parametrize("name", ["ddp-cpu", "fsdp2", "deepspeed-zero3"])
def test_a_configuration_is_one_of_accelerates(root: Path, name: str) -> None:
    """No field is unknown, and the launcher starts two processes."""
    path = root / f"configs/accelerate/{name}.yaml"
    assert isinstance(load_config_from_file(str(path)), ClusterConfig)
    words = ["--config_file", str(path), "galen", "train", "r.yaml"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert (args.num_processes, args.use_fsdp, args.use_deepspeed) == (
        2,
        name == "fsdp2",
        name == "deepspeed-zero3",
    )
    if name == "deepspeed-zero3":
        assert (args.zero_stage, args.zero3_save_16bit_model) == (3, True)


def test_the_sharded_configuration_is_understood_as_fsdp2(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the class that shares out the weights, without a warning."""
    words = ["--config_file", str(root / "configs/accelerate/fsdp2.yaml"), "galen"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    for key, value in prepare_multi_gpu_env(args).items():
        if key.startswith("FSDP_"):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert "FULL" in str(plugin.state_dict_type)
    assert not plugin.cpu_ram_efficient_loading


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("stage", "lora"), [("ppo", None), ("grpo", LORA)], ids=["ppo", "grpo"])
def test_reinforcement_learning_in_two_processes_is_that_of_one(
    root: Path, toy: Path, tmp_path: Path, stage: str, lora: dict[str, Any] | None
) -> None:
    """The same weights within 1e-6 in fp32, whether or not the rows divide; each completion is
    asked for and judged once, by the first process."""
    write_jsonl(tmp_path / "p.jsonl", [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, LoopJudge() as judge:
        fields: dict[str, Any] = {
            **{"stage": stage, "run": "two", "runs": str(tmp_path / "runs"), "model": str(toy)},
            **{"prompts": [str(tmp_path / "p.jsonl")], "lora": lora, "publish": "merged"},
            **{"batches": 2, "batch_size": 6, "mini_batch_size": 3, "micro_batch_size": 1},
            **{"generations": 2, "epochs": 2, "max_new_tokens": 8, "learning_rate": 1e-4},
            **{"target_kl": 10.0, "preflight": False, "correction": None},
            "services": {"server": server.url, "judge": judge.url, "drift_every": 0},
        }
        fields |= {"critic": {"layers": 1}} if stage == "ppo" else {}
        for number in range(6):
            judge.enqueue(f"00001-000{number}", verdict(0.3 * number))
            judge.enqueue(f"00002-000{number}", verdict(-0.2 * number))
        path = tmp_path / "two.yaml"
        path.write_text(yaml.safe_dump(fields), "utf-8")
        process = launched(root, path)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert len(server.asked("POST", "/v1/completions")) == 12
        assert len(judge.asked("POST", "/v1/score")) == 12
    recipe = recipes.load(path)
    assert isinstance(recipe, RlRecipe)
    rl_replay(recipe, "two")
    one = load_file(recipe.runs / "two-replay" / "final" / "model.safetensors")
    two, before = (
        load_file(recipe.folder / "final" / "model.safetensors"),
        load_file(toy / "model.safetensors"),
    )
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-6)
    assert any(float((one[name] - before[name]).abs().max()) > 1e-4 for name in one)
    rows = Run(recipe).metrics.read_text("utf-8").splitlines()
    assert [json.loads(row)["batch"] for row in rows] == [1, 2]
