"""Rollouts from the two services, by the trainer's present policy.

The policy is published before each batch, and only completions of the run's own versions are used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from torch import nn
from transformers import PreTrainedTokenizerBase

from galen import digest
from server.client import PolicyClient
from server.schemas import BASE
from trainer.patience import through_restarts
from trainer.recipes import RlRecipe
from trainer.rl import preflight, publish, records
from trainer.rl.best import Best, BestVersion
from trainer.rl.reward_model import RewardModelScores
from trainer.rl.rollout import Question, Rollout
from trainer.rl.rollouts.ahead import Ahead
from trainer.rl.rollouts.drawing import Drawing, Drawn
from trainer.runs import Run

log = logging.getLogger(__name__)

PROBES = 4


class ServiceRollouts:
    """The `RolloutSource` of a real run. Used as a context: leaving it stops what is drawn."""

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
        self.best = BestVersion(run.folder)
        self._probe: list[list[int]] = []
        self._base_sha256 = digest.of_folder(recipe.model)
        model = recipe.rewards.model
        self._reward_model = RewardModelScores(model.folder, tokenizer) if model else None
        self._drawing = Drawing(recipe, run, questions, held_out, self._reward_model)
        self._ahead: Ahead[Drawn] = Ahead(self._drawing.draw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ahead.close()

    def forget(self) -> None:
        """Delete what was kept for another life of the run, which is finished."""
        self._drawing.forget_all()

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
        is_first = batch == 0 and self._recipe.preflight and self._recipe.needs_rewards
        if is_first and not self._drawing.is_whole(batch):
            self._check_rewards()
        was_ahead = self._ahead.is_allowed(batch)
        if was_ahead:  # the version that it is drawn by is there already
            drawn, waited_s = self._take(batch)
        facts = self._go_on(policy, batch, step)
        if not was_ahead:
            drawn, waited_s = self._take(batch)
        records.write_completions(self._run, batch + 1, drawn.rollouts)
        self._drawing.forget(self._run.first_checkpoint_step() // self._recipe.steps_per_batch)
        judged = [r for r in drawn.rollouts if r.is_judged]
        if is_first:
            preflight.require_spread(judged, self._recipe)
        summary = records.summary(drawn.rollouts, drawn.foreign, self._recipe.batch_size)
        if not self._drawing.has_held_out:
            self.best.consider(Best(*drawn.writer, summary["reward_mean"], "reward_mean"))
        return judged, {**summary, **drawn.facts(batch), **facts, "wait_s": waited_s}

    def _take(self, batch: int) -> tuple[Drawn, float]:
        """A batch, and the seconds that it was waited for."""
        began = time.monotonic()
        return self._ahead.take(batch), time.monotonic() - began

    def _go_on(self, policy: nn.Module, batch: int, step: int) -> dict[str, float]:
        """Publish the policy where something is still to be drawn by it, and let that be drawn."""
        began = time.monotonic()
        drawing, last = self._drawing, min(batch + self._recipe.staleness, self._recipe.batches - 1)
        due = [n for n in range(batch, last + 1) if not self._ahead.is_allowed(n)]
        looks = drawing.is_look_due(batch)
        if (looks and not drawing.is_look_whole(batch)) or not all(map(drawing.is_whole, due)):
            self.publish(policy, batch, step)
        published = time.monotonic()
        for number in due:
            self._ahead.allow(number)
        facts = {"publish_s": published - began}
        if looks:
            facts |= self.look(batch)
            facts["held_out_s"] = time.monotonic() - published
        return facts

    def look(self, batch: int) -> dict[str, float]:
        """The version that serves on held-out questions, if there are any: its mean reward, and of
        how many answers."""
        if not self._drawing.is_look_due(batch):
            return {}
        figures, version = asyncio.run(self._drawing.answer_held_out(batch))
        self.best.consider(Best(version, batch, figures["held_out_reward"], "held_out_reward"))
        log.info("batch %d: version %s: %s", batch, version, json.dumps(figures))
        return figures

    def _check_rewards(self) -> None:
        async def judged() -> dict[str, list[Rollout]]:
            async with self._drawing.services() as services:
                known = await preflight.known_answers(
                    self._questions, services.rewards, self._tokenizer
                )
                patience_s = self._recipe.patience_s
                return {
                    kind: await services.until_quorum(
                        rollouts, step=0, quorum=1.0, patience_s=patience_s
                    )
                    for kind, rollouts in known.items()
                }

        found = preflight.require_difference(
            asyncio.run(judged()), self._reward_model, self._recipe
        )
        log.info("pre-flight: %s", found or "no prompt has a right answer to compare with")

    def publish(self, policy: nn.Module, batch: int, step: int) -> str:
        """Make the server serve the present policy; returns the version's name.

        Before the first update that is the base.
        """
        version = asyncio.run(through_restarts(lambda: self._publish(policy, batch, step)))
        self._drawing.serves(version, batch)
        log.info("batch %d: version %s serves", batch, version)
        return version

    async def _publish(self, policy: nn.Module, batch: int, step: int) -> str:
        recipe = self._recipe
        async with self._drawing.services() as services:
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
            # The best may be among those whose batches are drawn and not yet learnt from.
            keep = max(recipe.keep_versions, recipe.staleness)
            await publish.prune(client, self._run.versions, recipe.run, keep, spared)
            return folder.name


async def _activated(client: PolicyClient, name: str, current: str) -> str:
    if current != name:
        await client.activate(name)
    return name
