"""Two policies side by side: the same prompts, seeds and judge, and a paired interval."""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.progress import track

from galen.errors import Conflict, GalenError, InvalidInput, TrainingStopped
from judge.client import JudgeClient
from server.client import PolicyClient
from server.schemas import Sampling
from trainer import versions
from trainer.evaluate.report import ComparisonReport, Side
from trainer.evaluate.statistics import paired_bootstrap, win_tie_loss
from trainer.model import load_tokenizer
from trainer.recipes import CompareRecipe
from trainer.rl import records
from trainer.rl.qualified import require_qualified
from trainer.rl.rollout import Question, Rollout
from trainer.rl.source import load_questions
from trainer.runs import RUN_PREFIX, Run, resolve
from trainer.services import KEY_VARIABLE, collector

log = logging.getLogger(__name__)

RULES = "rules"
"""The provider of verdicts on answers without substance; no teacher judges those."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One policy's rollouts, and the rubric and teacher that judged them."""

    rollouts: list[Rollout]
    rubric_sha256: str


def compare(recipe: CompareRecipe) -> ComparisonReport:
    """Sample and judge both policies, write the report, and serve the candidate.

    If the comparison fails, the version that served before serves again.
    """
    unqualified = require_qualified(recipe.services)
    questions = load_questions(recipe.prompts, load_tokenizer(recipe.model), recipe.use_instruction)
    names = [
        resolve(recipe.runs, name, recipe.model) for name in (recipe.baseline, recipe.candidate)
    ]
    served = asyncio.run(_make_sure_of(recipe, names))
    run = Run(recipe)
    run.open()
    try:
        return _compare(recipe, run, questions, names, unqualified)
    except BaseException:
        asyncio.run(_serve_again(recipe, served))
        raise


def _compare(
    recipe: CompareRecipe,
    run: Run,
    questions: Sequence[Question],
    names: Sequence[str],
    unqualified: str | None,
) -> ComparisonReport:
    with run.logging():
        if unqualified:
            log.warning(unqualified)
        sides = []
        for number, name in enumerate(track(names, description="comparing"), start=1):
            judged = asyncio.run(_sample(recipe, questions, name))
            records.write_completions(run, number, judged.rollouts)
            sides.append(judged)
        report = _report(recipe, run, questions, names, sides)
        report.write()
        run.finish(version=names[1])
    return report


async def _make_sure_of(recipe: CompareRecipe, names: Sequence[str]) -> str:
    """Refuse a policy that the server cannot serve, before anything is sampled or paid for.

    A run's unpublished version is published. Returns the version that serves now.
    """
    key = os.environ.get(KEY_VARIABLE)
    async with PolicyClient(recipe.services.server, key=key, deadline_s=600.0) as client:
        state = await client.policy()
        known = {card.name for card in state.versions}
        for name, given in zip(names, (recipe.baseline, recipe.candidate), strict=True):
            if name in known:
                continue
            if not given.startswith(RUN_PREFIX):
                near = difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(known))}"
                )
                raise InvalidInput(f"{client.base_url} knows no version {name!r}; {hint}")
            source = versions.source_of(given, recipe.runs, state.serves)
            folder = versions.prepare(source, name, state, [recipe.model], recipe.runs, log.info)
            await client.publish(name, folder, activate=False)
        # Some faults of a version show only when it is loaded.
        await client.activate(names[1])
        return state.current


async def _serve_again(recipe: CompareRecipe, version: str) -> None:
    """Activate the version that served before; never raises, so that the first error is seen."""
    key = os.environ.get(KEY_VARIABLE)
    async with PolicyClient(recipe.services.server, key=key, deadline_s=600.0) as client:
        try:
            await client.activate(version)
        except GalenError as error:
            log.warning("%s does not serve again: %s", version, error.message)


async def _sample(recipe: CompareRecipe, questions: Sequence[Question], version: str) -> Judged:
    """Make the version current; `samples` judged completions by it of each question."""
    sampling = Sampling(max_tokens=recipe.max_new_tokens, temperature=recipe.temperature)
    repeated = [question for question in questions for _ in range(recipe.samples)]
    async with collector(recipe.services, sampling, recipe.run) as services:
        await services.policy.activate(version)
        rollouts = await services.collect(
            repeated,
            model=f"policy@{version}",
            step=0,
            seed=recipe.seed,
            label=f"{recipe.run}-{version}",
        )
        return Judged(
            rollouts, await _rubric_sha256(services.rewards.client, recipe.services.rubric)
        )


async def _rubric_sha256(judge: JudgeClient, name: str) -> str:
    return next(card.sha256 for card in await judge.rubrics() if card.name == name)


def _report(
    recipe: CompareRecipe,
    run: Run,
    questions: Sequence[Question],
    names: Sequence[str],
    sides: Sequence[Judged],
) -> ComparisonReport:
    providers = {r.result.provider for side in sides for r in side.rollouts if r.is_judged}
    teachers = providers - {RULES}
    if len({side.rubric_sha256 for side in sides}) != 1 or len(teachers) > 1:
        raise Conflict(
            "the two policies were not judged alike: rubric or teacher changed between them"
        )
    by_prompt = [_by_prompt(side.rollouts) for side in sides]
    shared = [q.row.id for q in questions if all(q.row.id in side for side in by_prompt)]
    if not shared:
        raise TrainingStopped(
            "no prompt was judged for both policies; mend the judge and run it again"
        )
    baseline, candidate = (
        _side(name, [prompts[i] for i in shared], judged.rollouts)
        for name, prompts, judged in zip(names, by_prompt, sides, strict=True)
    )
    wins, ties, losses = win_tie_loss(baseline.rewards_P, candidate.rewards_P)
    return ComparisonReport(
        folder=run.folder,
        baseline=baseline,
        candidate=candidate,
        reward_difference=paired_bootstrap(
            baseline.rewards_P, candidate.rewards_P, recipe.resamples, recipe.seed
        ),
        violation_difference=paired_bootstrap(
            baseline.violations_P, candidate.violations_P, recipe.resamples, recipe.seed
        ),
        wins=wins,
        ties=ties,
        losses=losses,
        rubric=recipe.services.rubric,
        rubric_sha256=sides[0].rubric_sha256,
        provider=(teachers or {RULES}).pop(),
    )


def _by_prompt(rollouts: Sequence[Rollout]) -> dict[str, list[Rollout]]:
    """Judged rollouts by prompt; a prompt whose judgements all failed is left out."""
    grouped: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.is_judged:
            grouped[rollout.question.row.id].append(rollout)
    return dict(grouped)


def _side(name: str, prompts: Sequence[Sequence[Rollout]], rollouts: Sequence[Rollout]) -> Side:
    return Side(
        name=name,
        rewards_P=[fmean(r.result.reward or 0.0 for r in prompt) for prompt in prompts],
        violations_P=[fmean(r.is_violation for r in prompt) for prompt in prompts],
        completions=len(rollouts),
        failed=sum(not r.is_judged for r in rollouts),
    )
