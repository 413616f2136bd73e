"""What a run of reinforcement learning writes: metrics.jsonl, rewards.csv, completions, log."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from galen.errors import TrainingStopped
from trainer.recipes import RlRecipe
from trainer.rl.rollout import Rollout
from trainer.runs import Run

log = logging.getLogger(__name__)

REWARD_COLUMNS = (
    "batch",
    "version",
    "reward_mean",
    "reward_std",
    "kl",
    "kl_coefficient",
    "violations",
    "expected",
    "judged",
    "failed",
    "cut_off",
    "foreign",
)


def summary(rollouts: Sequence[Rollout], foreign: int, expected: int) -> dict[str, float]:
    """A rollout batch's figures; rewards are over completions that have one.

    Each of the `expected` completions is counted once, as judged, failed, cut off or foreign.
    Raises `TrainingStopped` if one is not.
    """
    scored = [r for r in rollouts if r.is_judged]
    rewards = [r.result.reward for r in scored if r.result.reward is not None]
    lengths = [len(r.completion.token_ids) for r in rollouts]
    counts = {
        "judged": sum(r.has_ended for r in scored),
        "failed": len(rollouts) - len(scored),
        "cut_off": sum(not r.has_ended for r in scored),
        "foreign": foreign,
    }
    if (unknown := expected - sum(counts.values())) != 0:
        raise TrainingStopped(
            f"{unknown} of {expected} completions are unaccounted for ({counts}), so the run's "
            "figures would be wrong; please report this"
        )
    return {
        "reward_mean": fmean(rewards),
        "reward_std": pstdev(rewards),
        **_parts(scored),
        "violations": sum(r.is_violation for r in scored),
        **_by_rule(scored),
        "cost_usd": sum(r.result.cost for r in rollouts),
        "expected": expected,
        **counts,
        "cut_off_share": fmean(not r.has_ended for r in rollouts),
        "repetition": fmean(_repetition(r.completion.token_ids) for r in rollouts),
        "tokens_mean": fmean(lengths),
        "tokens_max": max(lengths),
        **_share_of_flat_groups(scored),
    }


def _parts(scored: Sequence[Rollout]) -> dict[str, float]:
    """Each source's mean reward, where there are several."""
    names = sorted({name for r in scored for name in r.parts})
    if len(names) < 2:
        return {}
    means = {name: [r.parts[name] for r in scored] for name in names}
    return {
        f"reward_{name}": fmean(value for value in values if value is not None)
        for name, values in means.items()
    }


def _by_rule(scored: Sequence[Rollout]) -> dict[str, float]:
    """How many completions each rule found unsafe; rules that found none are left out."""
    found = Counter(flag for r in scored for flag in set(r.result.flags))
    return {f"violations_{rule}": count for rule, count in sorted(found.items())}


def _repetition(ids: Sequence[int]) -> float:
    """The share of runs of four tokens that the completion had before."""
    runs = [tuple(ids[at : at + 4]) for at in range(len(ids) - 3)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def flat_groups(rollouts: Sequence[Rollout]) -> set[int]:
    """Prompts with several judged answers that all got the same reward: none is learnt from."""
    several = _rewards_by_group(rollouts)
    return {group for group, rewards in several.items() if len(set(rewards)) == 1}


def _rewards_by_group(rollouts: Sequence[Rollout]) -> dict[int, list[float]]:
    """The rewards of each prompt with more than one judged answer."""
    found: dict[int, list[float]] = {}
    for rollout in rollouts:
        if rollout.result.reward is not None:
            found.setdefault(rollout.group, []).append(rollout.result.reward)
    return {group: rewards for group, rewards in found.items() if len(rewards) > 1}


def _share_of_flat_groups(rollouts: Sequence[Rollout]) -> dict[str, float]:
    several = _rewards_by_group(rollouts)
    return {"flat_groups": len(flat_groups(rollouts)) / len(several)} if several else {}


class RunRecorder(TrainerCallback):
    """Appends a row for each rollout batch; a resumed run first drops the rows that it redoes."""

    def __init__(self, run: Run, recipe: RlRecipe) -> None:
        self._run = run
        self._recipe = recipe
        self._bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        done = state.global_step // self._recipe.steps_per_batch
        self._forget_after(done)
        self._bar = tqdm(
            total=self._recipe.batches,
            initial=done,
            unit="batch",
            desc=self._recipe.stage.upper(),
            mininterval=1.0,
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "reward_mean" not in logs:
            return
        with self._run.metrics.open("a", encoding="utf-8") as out:
            out.write(json.dumps(logs, ensure_ascii=False) + "\n")
        new = not self._run.rewards.exists() or not self._run.rewards.stat().st_size
        with self._run.rewards.open("a", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, REWARD_COLUMNS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(logs)
        log.info("batch %s: %s", logs["batch"], json.dumps(logs, ensure_ascii=False))
        if self._bar is not None:
            unsafe = f"{logs['violations']:.0f}/{logs['expected']:.0f}"
            self._bar.set_postfix(
                reward=f"{logs['reward_mean']:+.2f}", kl=f"{logs.get('kl', 0):.2f}", unsafe=unsafe
            )
            self._bar.update(1)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _forget_after(self, batch: int) -> None:
        if self._run.metrics.exists():
            lines = self._run.metrics.read_text("utf-8").splitlines(keepends=True)
            kept = [
                line for line in lines if line.endswith("\n") and json.loads(line)["batch"] <= batch
            ]
            self._run.metrics.write_text("".join(kept), "utf-8")
        if self._run.rewards.exists():
            lines = self._run.rewards.read_text("utf-8").splitlines(keepends=True)
            rows = [row for row in lines[1:] if row.endswith("\n")]
            kept = [row for row in rows if int(row.split(",")[0]) <= batch]
            self._run.rewards.write_text("".join([*lines[:1], *kept]), "utf-8", newline="")


def completions_file(folder: Path, batch: int) -> Path:
    """Where a batch's completions lie in a run's folder of them."""
    return folder / f"batch-{batch:05d}.jsonl"


def write_completions(run: Run, batch: int, rollouts: Sequence[Rollout]) -> None:
    """Store a batch's completions with their verdicts, and all that a replay needs."""
    folder = run.folder / "completions"
    folder.mkdir(exist_ok=True)
    path = completions_file(folder, batch)
    draft = path.with_name(f".{path.name}.partial")
    with draft.open("w", encoding="utf-8") as out:
        for r in rollouts:
            entry = {
                "id": r.id,
                "instruction": r.question.row.instruction,
                "history": r.question.row.history,
                "prompt": r.question.row.input,
                "completion": r.completion.text,
                "version": r.completion.version,
                "finish_reason": r.completion.finish_reason,
                "group": r.group,
                "reward": r.result.reward,
                "parts": dict(r.parts),
                "status": r.result.status,
                "flags": r.result.flags,
                "rules": [hit.rule for hit in r.result.rules.hits] if r.result.rules else [],
                "prompt_ids": r.question.prompt_ids,
                "token_ids": r.completion.token_ids,
                "logprobs": r.completion.logprobs,
                "teacher": r.teacher,
            }
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
    draft.replace(path)
