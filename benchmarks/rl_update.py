"""The update phase of GRPO beside a bare loop of forward and backward passes over the same rows.

A Qwen3 of about 60 M random parameters under LoRA, 32 completions of 16 to 512 tokens a batch, two
optimizer steps, computed 8 completions at a time, two threads, in turns. What is ours beyond the
bare loop: one completion in eight computed anew, credit, loss, figures, entropy, the Trainer.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import _services
from benchmarks._results import as_met, record
from galen.records import Meta, PromptRow
from judge.schemas import ScoreResult
from server.schemas import TokenCompletion
from trainer.model import add_lora, completion_logprobs, load_policy, pack
from trainer.recipes import GrpoRecipe, Lora
from trainer.rl import stage
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms.grpo import Grpo
from trainer.rl.rollout import Question, Rollout
from trainer.rl.trainer import RlTrainer
from trainer.runs import Run

BATCHES, SAMPLES, MINI, AT_ONCE, GROUP = 4, 32, 16, 8, 4
PROMPT, SHORTEST, LONGEST = 24, 16, 512
LORA = Lora(r=32, alpha=64, dropout=0.0)
TARGET = 0.85
Rows = list[tuple[list[int], list[int]]]
_META = Meta(
    source="benchmark", risk_level="low", specialty="-", complexity=1, lang_style="-",
    is_deidentified=True,
)  # fmt: skip


def main() -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks._random_model", str(folder / "model")]
        subprocess.run(command, env=_services.ours(), check=True)
        bare = _bare(folder / "model")
        ours = _ours(folder)
        bare += _bare(folder / "model")
    speeds = [statistics.median(found) for found in (bare, ours)]
    ratio = speeds[1] / speeds[0]
    record(
        __file__,
        [
            ("bare loop", f"{speeds[0]:,.0f} tokens/s", "-"),
            ("update phase", f"{speeds[1]:,.0f} tokens/s", "-"),
            ("ratio", f"{ratio:.2f}", as_met(ratio >= TARGET, f"at least {TARGET}")),
        ],
    )


def _rows(batch: int) -> Rows:
    """Prompts and completions of random tokens; the lengths fall off as those of answers do."""
    rng = random.Random(batch)
    found = []
    for _ in range(SAMPLES):
        length = min(LONGEST, SHORTEST + int(rng.expovariate(1 / 140)))
        tokens = [rng.randrange(10, 1000) for _ in range(PROMPT + length)]
        found.append((tokens[:PROMPT], tokens[PROMPT:]))
    return found


def _tokens(rows: Rows) -> int:
    return sum(len(prompt) + len(written) for prompt, written in rows)


def _bare(model: Path) -> list[float]:
    """Tokens per second of each batch but the first, in a loop of one's own."""
    policy = add_lora(load_policy(model), LORA).train()
    trained = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    found = []
    for number in range(BATCHES):
        rows, started = _rows(number), time.monotonic()
        for at in range(0, SAMPLES, AT_ONCE):
            prompts, written = zip(*rows[at : at + AT_ONCE], strict=True)
            batch = pack(prompts, written, pad=0)
            logits_BTV = policy(input_ids=batch.ids_BT, attention_mask=batch.attention_BT).logits
            targets_BT = batch.ids_BT.roll(-1, dims=1)
            lost = nn.functional.cross_entropy(
                logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none"
            )
            loss = (lost.view_as(targets_BT) * batch.attention_BT).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            if (at + AT_ONCE) % MINI == 0:
                optimizer.step()
                optimizer.zero_grad()
        found.append(_tokens(rows) / (time.monotonic() - started))
    return found[1:]


def _ours(folder: Path) -> list[float]:
    """The same of the update phase, by the run's own figures."""
    recipe = GrpoRecipe(
        stage="grpo", run="run", runs=folder, model=folder / "model", prompts=(folder,), lora=LORA,
        publish="merged", batches=BATCHES, batch_size=SAMPLES, generations=GROUP, beta=0.0,
        mini_batch_size=MINI, micro_batch_size=AT_ONCE, temperature=1.0, max_new_tokens=LONGEST,
        epochs=1, learning_rate=1e-5,
    )  # fmt: skip
    trainer = RlTrainer(
        model=ActorCritic(recipe),
        args=stage.arguments(recipe, Run(recipe)),
        recipe=recipe,
        algorithm=Grpo(recipe),
        source=Drawn(),
        pad=0,
    )
    trainer.train()
    seconds = [row["train_s"] for row in trainer.state.log_history if "batch" in row]
    pairs = enumerate(seconds)
    return [_tokens(_rows(number)) / took for number, took in pairs][1:]


class Drawn:
    """A `RolloutSource` of random tokens, with the log-probabilities that the policy gives them."""

    @torch.no_grad()
    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        found = []
        for number, (prompt, written) in enumerate(_rows(batch)):
            logprobs = completion_logprobs(policy, pack([prompt], [written], pad=0))[0].tolist()
            completion = TokenCompletion(
                token_ids=tuple(written), logprobs=tuple(logprobs), text="", finish_reason="stop",
                version="base",
            )  # fmt: skip
            result = ScoreResult(
                id=f"{number}", status="ok", reward=float(number % 2), rules=None, teacher=None,
                provider="exact", error=None,
            )  # fmt: skip
            asked = Question(PromptRow(id=f"{number}", input="-", meta=_META), tuple(prompt))
            found.append(Rollout(f"{number}", asked, completion, result, number // GROUP))
        return found, {"reward_mean": 0.5}


if __name__ == "__main__":
    main()
