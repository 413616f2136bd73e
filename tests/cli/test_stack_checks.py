"""Laws of what `galen doctor` says about a stack file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import stack, stack_checks
from cli.checks import Check
from cli.stack import StackConfig
from tests.fakes.rollouts import write_toy
from trainer import recipes

GB = 10**9
QWEN3_1_7B = {
    **{"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "head_dim": 128},
    **{"num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 151936},
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "model")


def write_stack(
    folder: Path, model: Path, *, ppo: dict[str, Any] | None = None, **more: Any
) -> Path:
    """A stack file with SFT on `model` and PPO after it."""
    runs = str(folder / "runs")
    files = {
        "sft": {"stage": "sft", "run": "s", "model": str(model), "train": [f"{folder}/a.jsonl"]},
        "ppo": {
            **{"stage": "ppo", "run": "p", "model": f"{runs}/s/final"},
            **{"prompts": [f"{folder}/b.jsonl"], **(ppo or {})},
        },
    }
    for name, fields in files.items():
        (folder / f"{name}.yaml").write_text(json.dumps({**fields, "runs": runs}), "utf-8")
    fields = {
        **{"name": "s", "server": {"model": f"{runs}/s/final"}, **more},
        **{"prepare": [f"{folder}/sft.yaml"], "train": [f"{folder}/ppo.yaml"]},
    }
    file = folder / "stack.yaml"
    file.write_text(json.dumps(fields), "utf-8")
    return file


def loaded(asked: StackConfig) -> list[recipes.Recipe]:
    return [recipes.load(path) for path in (*asked.prepare, *asked.train)]


def found(file: Path, environment: dict[str, str] | None = None) -> dict[str, Check]:
    checks = stack_checks.everything(stack.load(file), environment or {})
    return {check.name: check for check in checks}


def test_a_stack_without_model_data_and_key_is_not_well(tmp_path: Path) -> None:
    """Each is named with what to do about it."""
    checks = found(write_stack(tmp_path, tmp_path / "Qwen3-1.7B"))
    for name, word in (
        ("model", "Qwen3-1.7B: it holds no config.json"),
        ("data", "a.jsonl"),
        ("teacher", "p takes no mock"),
    ):
        assert not checks[name].ok
        assert word in checks[name].detail
        assert checks[name].advice


def test_a_stack_with_all_that_it_names_is_well(toy: Path, tmp_path: Path) -> None:
    """A model that another recipe makes need not be there yet."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("{}\n")
    checks = found(write_stack(tmp_path, toy), {"DEEPSEEK_API_KEY": "of-somebody"})
    assert {name for name, check in checks.items() if not check.ok} == set()
    assert "of-somebody" not in str(checks)


def test_a_mock_will_do_where_every_recipe_takes_it(toy: Path, tmp_path: Path) -> None:
    """A rehearsal needs no key."""
    asked = stack.load(write_stack(tmp_path, toy, ppo={"services": {"allow_mock": True}}))
    assert stack_checks.teacher(asked, loaded(asked), {}).ok


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "damaged or cut off"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
        (lambda f: (f / "chat_template.jinja").write_text("{{ 1 / 0 }}"), "a plain question"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as a JSON object"),
    ],
)
def test_what_a_models_folder_lacks_is_named(tmp_path: Path, spoil: Any, word: str) -> None:
    """One line for each, before anything is loaded."""
    folder = write_toy(tmp_path / "model")
    assert stack_checks.model(folder).ok
    spoil(folder)
    check = stack_checks.model(folder)
    assert not check.ok
    assert word in check.detail


@pytest.mark.parametrize(
    ("gpus", "ok", "word"),
    [
        ([24 * GB], False, "GPU of 24 GB"),
        ([48 * GB], True, "GPU of 48 GB"),
        ([], False, "no GPU found; on a CPU 1.7 B parameters"),
    ],
)
def test_memory_is_held_against_the_largest_stage(
    tmp_path: Path, gpus: Sequence[int], ok: bool, word: str
) -> None:
    """Qwen3-1.7B by the mission's numbers, the engine beside the trainer."""
    model = tmp_path / "Qwen3-1.7B"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(QWEN3_1_7B))
    server = {"model": str(model), "engine": {"kv_cache_bytes": 6 * 2**30}}
    asked = stack.load(write_stack(tmp_path, model, ppo={"critic": {"layers": 2}}, server=server))
    check = stack_checks.fits_memory(asked, loaded(asked), gpus, 64 * GB)
    assert check.ok is ok
    assert word in check.detail
    assert bool(check.advice) is not ok


def test_an_engine_that_takes_the_whole_gpu_leaves_no_room_to_train(
    toy: Path, tmp_path: Path
) -> None:
    """`auto` is right where the engine has the GPU for itself."""
    asked = stack.load(write_stack(tmp_path, toy))
    check = stack_checks.fits_memory(asked, loaded(asked), [80 * GB], 64 * GB)
    assert (check.ok, "server.engine.kv_cache_bytes" in check.advice) == (False, True)


def test_a_missing_model_that_needs_a_gpu_is_known_by_its_name(tmp_path: Path) -> None:
    """Nobody should download 3 GB to learn it."""
    asked = stack.load(write_stack(tmp_path, tmp_path / "Qwen3-1.7B"))
    assert not stack_checks.fits_memory(asked, loaded(asked), [], 64 * GB).ok


def test_a_broken_file_of_keys_is_named_without_its_secrets(toy: Path, tmp_path: Path) -> None:
    """Which service reads it is said as well."""
    (tmp_path / "keys.txt").write_text("anna:user\nme:admin:s3cret-of-mine\n")
    server = {"model": str(toy), "keys_file": str(tmp_path / "keys.txt")}
    check = stack_checks.keys(stack.load(write_stack(tmp_path, toy, server=server)))
    assert not check.ok
    assert check.detail.startswith(f"server: keys_file: {tmp_path / 'keys.txt'}: key 1")
    assert "s3cret" not in check.detail


def test_a_service_without_keys_may_not_listen_for_others(toy: Path, tmp_path: Path) -> None:
    """It would refuse to start, and so the doctor says it first."""
    server = {"model": str(toy), "host": "0.0.0.0"}
    check = stack_checks.keys(stack.load(write_stack(tmp_path, toy, server=server)))
    assert (check.ok, "server would listen on 0.0.0.0" in check.detail) == (False, True)


def test_a_page_that_others_cannot_reach_is_pointed_out(toy: Path, tmp_path: Path) -> None:
    """`server.host` opens the server alone; that may be meant, so it is no fault."""
    server = {"model": str(toy), "host": "0.0.0.0"}
    check = stack_checks.addresses(stack.load(write_stack(tmp_path, toy, server=server)))
    assert (check.ok, check.advice) == (True, "if both should be, set webui.host as well")


def test_a_recipe_that_cannot_be_read_is_named(toy: Path, tmp_path: Path) -> None:
    """The other checks go on."""
    file = write_stack(tmp_path, toy)
    (tmp_path / "ppo.yaml").write_text("stage: nonsense\n")
    checks = found(file)
    assert "`stage` must be one of" in checks["recipe"].detail
    assert checks["model"].ok
