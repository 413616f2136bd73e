"""Writes policy versions for the server: immutable folders with a checksum and a parity probe."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.utils import logging

from galen import digest
from galen.errors import RecipeError, Unavailable
from server.client import PolicyClient
from server.schemas import BASE, MANIFEST, PolicyState, Probe, VersionManifest
from trainer.fit import ADAPTER_CONFIG, shapes_of
from trainer.model import completion_logprobs, load_tokenizer, merged_state, pack, prompt_ids

PROBE_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from."""

    run: str
    step: int
    recipe_sha256: str
    parent: str
    base_sha256: str


def probe_ids(policy: nn.Module, prompts: Sequence[Sequence[int]], pad: int) -> list[list[int]]:
    """Prompts with the policy's greedy continuation: text that depends on its weights."""
    width = max(map(len, prompts))
    device = next(policy.parameters()).device
    ids_BT = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    real = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
    with torch.no_grad():
        drawn = policy.generate(  # type: ignore[operator]  # nn.Module hides the mixin
            input_ids=ids_BT,
            attention_mask=torch.tensor(real, device=device),
            max_new_tokens=PROBE_TOKENS,
            do_sample=False,
            pad_token_id=pad,
        )
    written = [_without_end(row, pad) for row in drawn[:, width:].tolist()]
    return [[*prompt, *more] for prompt, more in zip(prompts, written, strict=True)]


def _without_end(ids: list[int], pad: int) -> list[int]:
    """Token ids without the padding after them."""
    while ids and ids[-1] == pad:
        ids.pop()
    return ids


@torch.no_grad()
def probe(policy: nn.Module, sequences: Sequence[Sequence[int]]) -> Probe:
    """The policy's log-probabilities of fixed token ids, to compare with the engine's."""
    batch = pack([s[:1] for s in sequences], [s[1:] for s in sequences], pad=0)
    logprobs_BC = completion_logprobs(policy, batch.to(next(policy.parameters()).device)).cpu()
    rows = [tuple(logprobs_BC[i, : len(s) - 1].tolist()) for i, s in enumerate(sequences)]
    return Probe(token_ids=tuple(map(tuple, sequences)), token_logprobs=tuple(rows))


def probe_of_folder(folder: Path, base: Path, questions: Sequence[str]) -> Probe:
    """The probe of the weights in `folder`, which is a whole model or an adapter for `base`.

    Its texts are the questions, continued by these weights.
    """
    tokenizer = load_tokenizer(base)
    prompts = [prompt_ids(tokenizer, question) for question in questions]
    policy = _load(folder, base)
    with _idle_cores():
        return probe(policy, probe_ids(policy, prompts, int(tokenizer.eos_token_id)))


@contextmanager
def _idle_cores() -> Iterator[None]:
    """One thread for each idle core. Threads that share a core spend their time waiting for one
    another: on a busy machine two took three times as long as one."""
    threads = torch.get_num_threads()
    idle = (os.cpu_count() or 1) - round(os.getloadavg()[0])
    torch.set_num_threads(max(1, min(threads, idle)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _load(folder: Path, base: Path) -> nn.Module:
    """In bf16 on a GPU with room for it; else in memory, in fp32 if there is room."""
    logging.disable_progress_bar()
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    parameters = sum(math.prod(shape) for shape in shapes_of(base).values())
    on_gpu = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 3 * parameters
    fits = psutil.virtual_memory().available > 5 * parameters
    dtype = torch.bfloat16 if on_gpu or not fits else torch.float32
    policy: nn.Module = AutoModelForCausalLM.from_pretrained(
        base if is_adapter else folder, dtype=dtype
    )
    if is_adapter:
        policy = PeftModel.from_pretrained(policy, folder)
    return policy.to("cuda" if on_gpu else "cpu").eval()


def write_version(
    policy: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    kind: Literal["adapter", "merged"],
    folder: Path,
    prefix: str,
    sequences: Sequence[Sequence[int]],
    lineage: Lineage,
) -> Path:
    """Write a version next to `folder/<name>` and rename it into place; returns that path.

    The name ends in the start of its checksum, so that the same weights always make the same
    version.
    """
    draft = folder / f".{prefix}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    if kind == "adapter":
        policy.save_pretrained(draft, selected_adapters=["default"])  # type: ignore[operator]
        (draft / "README.md").unlink(missing_ok=True)
    else:
        save_merged(policy, draft)
        tokenizer.save_pretrained(draft)
    checksum = digest.of_folder(draft)
    name = f"{prefix}-{checksum[:8]}"
    manifest = VersionManifest(
        name=name,
        kind=kind,
        sha256=checksum,
        probe=probe(policy, sequences),
        base=lineage.base_sha256 if kind == "adapter" else None,
        parent=lineage.parent,
        run=lineage.run,
        step=lineage.step,
        recipe_sha256=lineage.recipe_sha256,
    )
    (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    target = folder / name
    if target.is_dir():  # the same weights, from before a kill: an engine may be reading them
        shutil.rmtree(draft)
    else:
        draft.rename(target)
    return target


def save_merged(policy: nn.Module, folder: Path) -> None:
    """Write the policy as dense weights in its base's own precision; they load by path alone."""
    base: Any = policy.get_base_model() if isinstance(policy, PeftModel) else policy
    state = {name: tensor.to(base.dtype) for name, tensor in merged_state(policy).items()}
    if base.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    base.save_pretrained(folder, state_dict=state)


def save_merged_model(policy: nn.Module, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write dense weights and tokenizer next to `folder` and rename them into place."""
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    save_merged(policy, draft)
    tokenizer.save_pretrained(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def parent_of(folder: Path, step: int) -> str:
    """The newest version in a run's folder from before `step`; the base if there is none."""
    manifests = [
        VersionManifest.model_validate_json(path.read_text("utf-8"))
        for path in folder.glob(f"[!.]*/{MANIFEST}")
    ]
    before = [manifest for manifest in manifests if (manifest.step or 0) < step]
    return max(before, key=lambda m: m.step or 0).name if before else BASE


async def refuse_other_base(client: PolicyClient, base_sha256: str) -> PolicyState:
    """Refuse a server whose base weights are not those that training starts from.

    Raises `RecipeError`, or `Unavailable` while no engine has started.
    """
    state = await client.policy()
    served = next((card for card in state.versions if card.name == BASE), None)
    if served and not served.sha256:  # known once an engine has started on it
        raise Unavailable(f"the engine of {client.base_url} has not started yet", retry_after_s=5)
    if served is None or served.sha256 != base_sha256:
        raise RecipeError(
            f"the server at {client.base_url} serves another base model than the one that training "
            "starts from; start it with the recipe's `model` folder as its own `model`"
        )
    return state


async def prune(
    client: PolicyClient, folder: Path, run: str, keep: int, best: str | None = None
) -> None:
    """Forget and delete a run's oldest versions, never the one that serves or the best."""
    state = await client.policy()
    mine = sorted(
        (
            card
            for card in state.versions
            if card.run == run and card.name not in (state.current, best)
        ),
        key=lambda card: card.step or 0,
    )
    for card in mine[: max(0, len(mine) - keep)]:
        await client.delete(card.name)
        shutil.rmtree(folder / card.name, ignore_errors=True)
