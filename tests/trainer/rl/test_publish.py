"""Laws of policy versions on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM

from galen import digest
from galen.errors import RecipeError, Unavailable
from server.client import PolicyClient
from server.schemas import MANIFEST, VersionManifest
from tests.fakes.loop_services import LoopPolicyServer
from trainer.model import add_lora, load_policy, load_tokenizer
from trainer.recipes import Lora
from trainer.rl import publish

SEQUENCES = [[1, 2, 3, 4, 5], [9, 8, 7]]
LINEAGE = publish.Lineage("run-a", 16, "b" * 64, parent="base", base_sha256="c" * 64)
BASE = "d" * 64


def adapted(toy: Path, seed: int = 0) -> PeftModel:
    """The toy with an adapter that says something."""
    torch.manual_seed(seed)
    policy = add_lora(load_policy(toy), Lora(r=4, alpha=8, dropout=0.0))
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return policy.eval()


def written(
    policy: nn.Module, toy: Path, folder: Path, kind: Literal["adapter", "merged"] = "adapter"
) -> Path:
    tokenizer = load_tokenizer(toy)
    return publish.write_version(policy, tokenizer, kind, folder, "run-a-0001", SEQUENCES, LINEAGE)


def manifest_of(folder: Path) -> VersionManifest:
    return VersionManifest.model_validate_json((folder / MANIFEST).read_text("utf-8"))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_manifest_tells_what_the_folder_holds(
    toy: Path, tmp_path: Path, kind: Literal["adapter", "merged"]
) -> None:
    """Name, checksum of everything but the manifest, kind and lineage; no draft is left over."""
    folder = written(adapted(toy), toy, tmp_path, kind)
    manifest = manifest_of(folder)
    assert manifest.sha256 == digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
    assert manifest.name == folder.name == f"run-a-0001-{manifest.sha256[:8]}"
    assert (manifest.kind, manifest.run, manifest.step, manifest.parent) == (
        kind,
        "run-a",
        16,
        "base",
    )
    assert manifest.base == (LINEAGE.base_sha256 if kind == "adapter" else None)
    assert list(tmp_path.iterdir()) == [folder]


def test_the_same_weights_are_one_version_and_others_another(toy: Path, tmp_path: Path) -> None:
    """The name follows the weights, so a redone batch publishes nothing new."""
    first = written(adapted(toy), toy, tmp_path)
    assert first == written(adapted(toy), toy, tmp_path)
    assert first != written(adapted(toy, seed=1), toy, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_adapter_is_written_alike_by_every_process(toy: Path, tmp_path: Path) -> None:
    """Lists in its settings have an order of their own, not that of a process's hashes."""
    folder = written(adapted(toy), toy, tmp_path)
    modules = json.loads((folder / "adapter_config.json").read_text("utf-8"))["target_modules"]
    assert len(modules) == 2 * 7
    assert modules == sorted(modules)


def test_probe_logprobs_are_a_plain_log_softmax(toy: Path) -> None:
    """Row by row, log p of each token given those before it."""
    policy = adapted(toy)
    found = publish.probe(policy, SEQUENCES)
    assert found.token_ids == tuple(map(tuple, SEQUENCES))
    with torch.no_grad():
        for ids, logprobs in zip(SEQUENCES, found.token_logprobs, strict=True):
            rows = policy(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = [float(rows[t, token]) for t, token in enumerate(ids[1:])]
            assert list(logprobs) == pytest.approx(expected, abs=1e-4)


def test_probe_text_is_the_prompt_and_what_the_policy_says_next(toy: Path) -> None:
    """Greedy, and for each prompt what it would be alone; padding is no part of it."""
    policy = load_policy(toy).eval()
    prompts = [[11, 12, 13, 14, 15, 16], [21, 22]]
    together = publish.probe_ids(policy, prompts, pad=0)
    assert together == [publish.probe_ids(policy, [prompt], pad=0)[0] for prompt in prompts]
    for ids, prompt in zip(together, prompts, strict=True):
        assert ids[: len(prompt)] == prompt
        assert len(prompt) < len(ids) <= len(prompt) + publish.PROBE_TOKENS


def test_a_probe_takes_idle_cores_alone(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one thread is faster than many; afterwards there are as many as before."""
    threads = torch.get_num_threads()
    seen = []
    monkeypatch.setattr("os.getloadavg", lambda: (1000.0, 0.0, 0.0))
    monkeypatch.setattr(publish, "probe", lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    publish.probe_of_folder(toy, toy, ["q"])
    assert (seen, torch.get_num_threads()) == ([1], 2)
    torch.set_num_threads(threads)


def test_merged_weights_say_what_the_adapter_says(toy: Path, tmp_path: Path) -> None:
    """The published folder loads by path alone, and its probe is what it answers."""
    folder = written(adapted(toy), toy, tmp_path, "merged")
    alone = publish.probe(AutoModelForCausalLM.from_pretrained(folder).eval(), SEQUENCES)
    for expected, actual in zip(
        manifest_of(folder).probe.token_logprobs, alone.token_logprobs, strict=True
    ):
        assert list(actual) == pytest.approx(list(expected), abs=1e-4)


@pytest.fixture
def server() -> Iterator[LoopPolicyServer]:
    with LoopPolicyServer(BASE) as server:
        yield server


async def test_a_server_with_another_base_is_refused(server: LoopPolicyServer) -> None:
    """KL and importance weights would be about two different models."""
    async with PolicyClient(server.url) as client:
        assert (await publish.refuse_other_base(client, BASE)).current == "base"
        with pytest.raises(RecipeError, match="another base model"):
            await publish.refuse_other_base(client, "e" * 64)


async def test_a_server_whose_engine_still_starts_is_waited_for() -> None:
    """It cannot name its base yet; that is no other base."""
    with LoopPolicyServer("") as starting:
        async with PolicyClient(starting.url) as client:
            with pytest.raises(Unavailable, match="has not started yet") as found:
                await publish.refuse_other_base(client, BASE)
    assert found.value.retry_after_s


async def test_pruning_keeps_the_newest_and_the_one_that_serves(
    server: LoopPolicyServer, toy: Path, tmp_path: Path
) -> None:
    """Only this run's versions go, the oldest first, from server and disk."""
    async with PolicyClient(server.url) as client:
        names = []
        for step in range(4):
            lineage = publish.Lineage("run-a", step, "b" * 64, "base", BASE)
            folder = publish.write_version(
                adapted(toy, step),
                load_tokenizer(toy),
                "adapter",
                tmp_path,
                f"v{step}",
                SEQUENCES,
                lineage,
            )
            await client.publish(folder.name, folder)
            names.append(folder.name)
        await client.activate(names[0])
        await publish.prune(client, tmp_path, "run-a", keep=1)
    kept = {names[0], names[3]}
    assert set(server.cards) == {"base", *kept}
    assert names_in(tmp_path) == kept
