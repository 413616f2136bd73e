"""One batch of rollouts from the two services, each sample judged as soon as it is drawn."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from galen.errors import TrainingStopped
from server.schemas import BASE, Sampling
from trainer.recipes import GrpoRecipe, OpdRecipe, RlRecipe
from trainer.rl import records
from trainer.rl.reward_model import RewardModelScores
from trainer.rl.rollout import Collector, Question, Rollout
from trainer.rl.rollouts.kept import KeptSamples
from trainer.rl.rollouts.questions import prompts_of_batch
from trainer.rl.teacher import grader
from trainer.runs import Run
from trainer.services import collector

Kind = Literal["batch", "held-out"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch's rollouts, judged or failed for good, and how they came about."""

    rollouts: list[Rollout]
    foreign: int
    """Completions that no version of this run wrote; they are dropped."""
    replaced: int
    """Rollouts that were replaced, since all answers to their prompt got the same reward."""
    learnt: Mapping[str, int]
    """How many batches each version of the run had learnt from."""
    kept: int
    """Completions that an earlier life of the run had drawn."""
    anew: int
    """Completions that were drawn after a kill: they may have been under way before."""
    rollout_s: float
    judge_s: float
    """What the judge took beyond the last completion."""

    @property
    def writer(self) -> tuple[str, int]:
        """The oldest version that wrote some of it, and the batches which that had learnt from."""
        versions = {rollout.completion.version for rollout in self.rollouts}
        return min(((v, self.learnt[v]) for v in versions), key=lambda found: found[1])

    def facts(self, batch: int) -> dict[str, Any]:
        """For the batch's line of figures."""
        ages = [batch - self.learnt[rollout.completion.version] for rollout in self.rollouts]
        resumed = {"kept": self.kept, "drawn_anew": self.anew} if self.kept or self.anew else {}
        return {
            **({"redrawn": self.replaced} if self.replaced else {}),
            **resumed,
            "version": self.writer[0],
            "staleness": fmean(ages),
            **self._speed(),
            "rollout_s": self.rollout_s,
            "judge_s": self.judge_s,
        }

    def _speed(self) -> dict[str, float]:
        """Tokens per second of the drawing, where all was drawn now."""
        if self.kept or self.rollout_s <= 0:
            return {}
        tokens = sum(len(rollout.completion.token_ids) for rollout in self.rollouts)
        return {"rollout_tokens_s": tokens / self.rollout_s}


class Drawing:
    """Draws the batches of a run, and keeps what is drawn in the run's folder."""

    def __init__(
        self,
        recipe: RlRecipe,
        run: Run,
        questions: Sequence[Question],
        held_out: Sequence[Question],
        reward_model: RewardModelScores | None,
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._questions = questions
        self._held_out = held_out
        self._reward_model = reward_model
        self._sampling = Sampling(max_tokens=recipe.max_new_tokens, temperature=recipe.temperature)
        self._learnt = {BASE: 0}
        self._newest = (BASE, 0)

    def serves(self, version: str, learnt: int) -> None:
        """From now on this version of the run is asked."""
        self._learnt[version] = learnt
        self._newest = (version, learnt)

    @asynccontextmanager
    async def services(
        self, kept: KeptSamples | None = None, *, grades: bool = False
    ) -> AsyncIterator[Collector]:
        """Connections to the services; `grades` adds the teacher of on-policy distillation."""
        recipe = self._recipe
        async with AsyncExitStack() as stack:
            found = await stack.enter_async_context(
                collector(recipe.services, self._sampling, recipe.run, recipe.rewards)
            )
            grade = None
            if grades and isinstance(recipe, OpdRecipe):
                at_once = recipe.services.concurrency
                grade = await stack.enter_async_context(grader(recipe.teacher, at_once))
            yield replace(found, kept=kept, grade=grade)

    def is_whole(self, batch: int) -> bool:
        """Whether an earlier life of the run has drawn the whole batch."""
        return self._is_whole("batch", batch)

    async def draw(self, batch: int) -> Drawn:
        """The batch's rollouts. Raises `TrainingStopped`."""
        began = time.monotonic()
        with self._open("batch", batch) as kept:
            known = kept.known
            async with self.services(kept, grades=True) as services:
                rollouts, foreign, replaced = await self._collect(services, kept, batch)
            if not kept.is_whole:
                kept.finish()
        ended = time.monotonic()
        last = kept.last_drawn or began
        return Drawn(
            rollouts,
            foreign,
            replaced,
            {**self._learnt, **kept.own},
            known,
            kept.anew,
            last - began,
            ended - last,
        )

    async def _collect(
        self, services: Collector, kept: KeptSamples, batch: int
    ) -> tuple[list[Rollout], int, int]:
        """The rollouts, how many others wrote, and how many were replaced."""
        recipe = self._recipe
        size = recipe.batch_size // recipe.generations
        questions = prompts_of_batch(self._questions, size, batch, recipe.seed)
        groups = dict(enumerate(questions))
        rollouts, foreign = await self._ask(services, kept, groups, batch, 0)
        replaced = 0
        for again in range(1, 1 + _redraws(recipe)):
            flat = records.flat_groups(rollouts)
            if not flat:
                break
            anew, others = await self._ask(
                services, kept, {g: groups[g] for g in flat}, batch, again
            )
            staying = [r for r in rollouts if r.group not in flat]
            replaced += len(rollouts) - len(staying)
            rollouts = sorted([*staying, *anew], key=lambda r: r.group)
            foreign = others + Counter({g: n for g, n in foreign.items() if g not in flat})
        return rollouts, foreign.total(), replaced

    async def _ask(
        self,
        services: Collector,
        kept: KeptSamples,
        groups: Mapping[int, Question],
        batch: int,
        again: int,
    ) -> tuple[list[Rollout], Counter[int]]:
        """`generations` judged answers to each group's question, and how many others wrote."""
        recipe, numbers = self._recipe, list(groups)
        repeated = [q for q in groups.values() for _ in range(recipe.generations)]
        label = f"{recipe.run}-{batch + 1:05d}" + (f"-again-{again}" if again else "")
        step = batch * recipe.steps_per_batch
        drawn = await services.collect(
            repeated,
            newest=lambda: self._newest,
            step=step,
            seed=recipe.seed + batch * recipe.batch_size + again * 1_000_003,
            label=label,
            generations=recipe.generations,
            first=again * recipe.batch_size,
        )
        grouped = [replace(r, group=numbers[r.group]) for r in drawn]
        return await self._judged(services, kept, grouped, step)

    async def _judged(
        self, services: Collector, kept: KeptSamples, drawn: Sequence[Rollout], step: int
    ) -> tuple[list[Rollout], Counter[int]]:
        """The rollouts that this run's versions wrote, a quorum of them judged, and how many of
        each group others wrote. Raises `TrainingStopped` below it, or where others wrote all."""
        own = {self._newest[0], *kept.own}
        fresh = [r for r in drawn if r.completion.version in own]
        if not fresh:
            raise TrainingStopped(
                f"none of the completions came from {self._newest[0]}: something else changes the "
                "server's policy; run the same command again once it has stopped"
            )
        judged = await services.until_quorum(
            fresh, step=step, quorum=self._recipe.quorum, patience_s=self._recipe.patience_s
        )
        foreign = Counter(r.group for r in drawn if r.completion.version not in own)
        return self._with_model(judged), foreign

    @property
    def has_held_out(self) -> bool:
        return bool(self._held_out)

    def is_look_due(self, batch: int) -> bool:
        """Whether held-out questions are to be answered before this batch."""
        is_due = batch % self._recipe.held_out_every == 0 or batch == self._recipe.batches
        return self.has_held_out and is_due

    def is_look_whole(self, batch: int) -> bool:
        """Whether an earlier life of the run has answered them."""
        return self._is_whole("held-out", batch)

    async def answer_held_out(self, batch: int) -> tuple[dict[str, float], str]:
        """The figures of one answer to each held-out question, and the version that answered.

        Raises `TrainingStopped` where too few count: versions are compared over the same questions.
        """
        recipe = self._recipe
        step = batch * recipe.steps_per_batch
        with self._open("held-out", batch) as kept:
            async with self.services(kept, grades=True) as services:
                drawn = await services.collect(
                    self._held_out,
                    newest=lambda: self._newest,
                    step=step,
                    seed=recipe.seed,
                    label=f"{recipe.run}-held-out-{batch:05d}",
                )
                rollouts, foreign = await self._judged(services, kept, drawn, step)
            if not kept.is_whole:
                kept.finish()
        rewards = [r.result.reward for r in rollouts if r.result.reward is not None]
        figures = {
            "held_out_reward": fmean(rewards),
            "held_out_judged": len(rewards),
            "held_out_failed": len(rollouts) - len(rewards),
            "held_out_foreign": foreign.total(),
        }
        return figures, max(kept.own, key=kept.own.__getitem__)

    def forget(self, before: int) -> None:
        """Delete what is kept of the batches before this one: a checkpoint has learnt from them."""
        for path in self._folder.glob("*.journal"):
            if int(path.stem.rpartition("-")[2]) < before:
                path.unlink()

    def forget_all(self) -> None:
        """Delete all that is kept: the run is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return self._run.folder / "samples"

    def _path(self, kind: Kind, batch: int) -> Path:
        return self._folder / f"{kind}-{batch:05d}.journal"

    def _is_whole(self, kind: Kind, batch: int) -> bool:
        if not self._path(kind, batch).is_file():
            return False
        with self._open(kind, batch) as kept:
            return kept.is_whole

    def _open(self, kind: Kind, batch: int) -> KeptSamples:
        size = self._recipe.batch_size * (1 + _redraws(self._recipe))
        size = len(self._held_out) if kind == "held-out" else size
        path = self._path(kind, batch)
        return KeptSamples(path, f"{self._recipe.sha256} {path.stem}", size)

    def _with_model(self, rollouts: list[Rollout]) -> list[Rollout]:
        """The rollouts with the reward model's score, if there is one."""
        return self._reward_model.added(rollouts, self._recipe) if self._reward_model else rollouts


def _redraws(recipe: RlRecipe) -> int:
    return recipe.redraw if isinstance(recipe, GrpoRecipe) else 0
