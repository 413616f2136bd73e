"""Rollouts from the two services, by the trainer's present policy.

The policy is published before each batch, and only completions of the published version are used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from galen import digest
from galen.errors import TrainingStopped
from server.client import PolicyClient
from server.schemas import BASE, Sampling
from trainer.data import tokens
from trainer.data.prompts import read_prompts
from trainer.recipes import GrpoRecipe, OpdRecipe, RlRecipe
from trainer.rl import preflight, publish, records
from trainer.rl.best import Best, BestVersion
from trainer.rl.reward_model import RewardModelScores
from trainer.rl.rollout import Collector, Question, Rollout
from trainer.rl.teacher import graded
from trainer.runs import Run
from trainer.services import collector

log = logging.getLogger(__name__)

PROBES = 4


def load_questions(
    files: Sequence[Path], tokenizer: PreTrainedTokenizerBase, use_instruction: bool
) -> list[Question]:
    """All prompts of the files with their token ids."""
    return [
        Question(
            prompt.row,
            tuple(
                tokens.prompt_ids(
                    tokenizer, prompt.messages if use_instruction else prompt.without_system
                )
            ),
        )
        for prompt in read_prompts(files)
    ]


class ServiceRollouts:
    """The `RolloutSource` of a real run."""

    def __init__(
        self,
        recipe: RlRecipe,
        run: Run,
        tokenizer: PreTrainedTokenizerBase,
        questions: Sequence[Question],
        held_out: Sequence[Question] = (),
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._tokenizer = tokenizer
        self._questions = questions
        self._held_out = held_out
        self.best = BestVersion(run.folder)
        self._sampling = Sampling(max_tokens=recipe.max_new_tokens, temperature=recipe.temperature)
        self._probe: list[list[int]] = []
        self._base_sha256 = digest.of_folder(recipe.model)
        model = recipe.rewards.model
        self._reward_model = RewardModelScores(model.folder, tokenizer) if model else None

    def prepare(self, policy: nn.Module) -> None:
        """Choose the parity probe's token ids, once for a run, from the untrained policy."""
        path = self._run.folder / "probe.json"
        if not path.is_file():
            prompts = [q.prompt_ids for q in self._questions[:PROBES]]
            sequences = publish.probe_ids(policy, prompts, int(self._tokenizer.pad_token_id))
            path.write_text(json.dumps(sequences), "utf-8")
        self._probe = json.loads(path.read_text("utf-8"))

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        """Publish the policy and draw one batch: the rollouts with a reward, and figures."""
        started = time.monotonic()
        is_first = batch == 0 and self._recipe.preflight
        if is_first and self._recipe.needs_rewards:
            self._check_rewards()
        version = self.publish(policy, batch, step)
        published = time.monotonic()
        seen = self.look(version, batch, step)
        drawing = time.monotonic()
        rollouts, foreign, replaced = asyncio.run(self._collect(version, batch, step))
        rollouts = self._with_model(rollouts)
        if isinstance(self._recipe, OpdRecipe):
            teacher, at_once = self._recipe.teacher, self._recipe.services.concurrency
            rollouts = asyncio.run(graded(rollouts, teacher, at_once))
        records.write_completions(self._run, batch + 1, rollouts)
        judged = [r for r in rollouts if r.is_judged]
        if is_first and self._recipe.needs_rewards:
            preflight.require_spread(judged)
        summary = records.summary(rollouts, foreign)
        facts = {
            **summary,
            **seen,
            **({"redrawn": replaced} if replaced else {}),
            "version": version,
            "publish_s": published - started,
            "rollout_s": time.monotonic() - drawing,
        }
        if not self._held_out:
            self.best.consider(Best(version, batch, summary["reward_mean"], "reward_mean"))
        return judged, facts

    def look(self, version: str, batch: int, step: int) -> dict[str, float]:
        """The mean reward on held-out questions of the version that serves, if it is due."""
        is_due = batch % self._recipe.held_out_every == 0 or batch == self._recipe.batches
        if not self._held_out or not is_due:
            return {}
        rollouts = self._with_model(asyncio.run(self._answer_held_out(batch, step)))
        rewards = [r.result.reward for r in rollouts if r.result.reward is not None]
        if not rewards:
            log.warning("batch %d: no held-out answer was judged", batch)
            return {}
        score = fmean(rewards)
        self.best.consider(Best(version, batch, score, "held_out_reward"))
        log.info("batch %d: held-out reward %+.3f of %s", batch, score, version)
        return {"held_out_reward": score}

    async def _answer_held_out(self, batch: int, step: int) -> list[Rollout]:
        recipe = self._recipe
        async with self._services() as services:
            return await services.collect(
                self._held_out,
                model="policy",
                step=step,
                seed=recipe.seed,
                label=f"{recipe.run}-held-out-{batch:05d}",
            )

    def _check_rewards(self) -> None:
        async def judged() -> dict[str, list[Rollout]]:
            async with self._services() as services:
                return await preflight.known_answers(
                    self._questions, services.rewards, self._tokenizer
                )

        found = preflight.require_difference(
            asyncio.run(judged()), self._reward_model, self._recipe
        )
        log.info("pre-flight: %s", found or "no prompt has a right answer to compare with")

    def _with_model(self, rollouts: list[Rollout]) -> list[Rollout]:
        """The rollouts with the reward model's score, if there is one."""
        return self._reward_model.added(rollouts, self._recipe) if self._reward_model else rollouts

    def _services(self) -> AbstractAsyncContextManager[Collector]:
        recipe = self._recipe
        return collector(recipe.services, self._sampling, recipe.run, recipe.rewards)

    def publish(self, policy: nn.Module, batch: int, step: int) -> str:
        """Make the server serve the present policy; returns the version's name.

        Before the first update that is the base.
        """
        version = asyncio.run(self._publish(policy, batch, step))
        log.info("batch %d: version %s serves", batch, version)
        return version

    async def _publish(self, policy: nn.Module, batch: int, step: int) -> str:
        recipe = self._recipe
        async with self._services() as services:
            client = services.policy
            state = await publish.refuse_other_base(client, self._base_sha256)
            if step == 0:
                return await _activated(client, BASE, state.current)
            folder = publish.write_version(
                policy,
                self._tokenizer,
                recipe.publish,
                self._run.versions,
                f"{recipe.run}-{batch:04d}",
                self._probe,
                publish.Lineage(
                    recipe.run,
                    step,
                    recipe.sha256,
                    parent=publish.parent_of(self._run.versions, step),
                    base_sha256=self._base_sha256,
                ),
            )
            await client.publish(folder.name, folder)
            best = self.best.now
            spared = best.version if best else None
            await publish.prune(
                client, self._run.versions, recipe.run, recipe.keep_versions, spared
            )
            return folder.name

    async def _collect(self, version: str, batch: int, step: int) -> tuple[list[Rollout], int, int]:
        """A batch's rollouts by `version`, judged or failed for good; how many another version
        wrote; how many were replaced, since all answers to their prompt got the same reward."""
        recipe = self._recipe
        size = recipe.batch_size // recipe.generations
        questions = prompts_of_batch(self._questions, size, batch, recipe.seed)
        groups = dict(enumerate(questions))
        rollouts, foreign = await self._ask(groups, version, batch, step, 0)
        replaced = 0
        for again in range(1, 1 + (recipe.redraw if isinstance(recipe, GrpoRecipe) else 0)):
            flat = records.flat_groups(rollouts)
            if not flat:
                break
            anew, others = await self._ask(
                {g: groups[g] for g in flat}, version, batch, step, again
            )
            kept = [r for r in rollouts if r.group not in flat]
            replaced += len(rollouts) - len(kept)
            rollouts, foreign = sorted([*kept, *anew], key=lambda r: r.group), foreign + others
        return rollouts, foreign, replaced

    async def _ask(
        self, groups: Mapping[int, Question], version: str, batch: int, step: int, again: int
    ) -> tuple[list[Rollout], int]:
        """`generations` judged answers to each group's question, and how many others wrote."""
        recipe, numbers = self._recipe, list(groups)
        repeated = [q for q in groups.values() for _ in range(recipe.generations)]
        label = f"{recipe.run}-{batch + 1:05d}" + (f"-again-{again}" if again else "")
        async with self._services() as services:
            drawn = await services.collect(
                repeated,
                model="policy",
                step=step,
                seed=recipe.seed + batch * recipe.batch_size + again * 1_000_003,
                label=label,
                generations=recipe.generations,
            )
            fresh = [
                replace(r, group=numbers[r.group]) for r in drawn if r.completion.version == version
            ]
            if not fresh:
                raise TrainingStopped(
                    f"none of the completions came from {version}: something else changes the "
                    "server's policy; run the same command again once it has stopped"
                )
            judged = await services.until_quorum(
                fresh, step=step, quorum=recipe.quorum, patience_s=recipe.patience_s
            )
        return judged, len(drawn) - len(fresh)


def prompts_of_batch(
    questions: Sequence[Question], size: int, batch: int, seed: int
) -> list[Question]:
    """The questions of one batch: a new shuffle for each epoch, the same after a resume."""
    chosen = []
    for position in range(batch * size, (batch + 1) * size):
        epoch, index = divmod(position, len(questions))
        order = list(range(len(questions)))
        random.Random(seed * 1_000_003 + epoch).shuffle(order)
        chosen.append(questions[order[index]])
    return chosen


async def _activated(client: PolicyClient, name: str, current: str) -> str:
    if current != name:
        await client.activate(name)
    return name
