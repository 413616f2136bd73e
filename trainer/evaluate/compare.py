"""Models side by side, by a command's names or by a recipe."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from galen import digest
from galen.errors import InvalidInput
from trainer.evaluate import differences, pairwise, report
from trainer.evaluate.differences import SuiteComparison
from trainer.evaluate.evaluate import Plan, Watch, evaluate
from trainer.evaluate.serving import Access
from trainer.evaluate.suite import Measure, Suite
from trainer.recipes import CompareRecipe
from trainer.rl.qualified import require_qualified
from trainer.runs import Run
from trainer.services import KEY_VARIABLE

log = logging.getLogger(__name__)

MEASURES = {
    "reward": Measure(score="reward"),
    "violations": Measure(flagged=True, better="lower", safety=True),
}
"""What a recipe's comparison measures under any rubric."""
QUIET = Watch()


def compare(
    plan: Plan, folder: Path, watch: Watch = QUIET, *, by_pairs: bool = False
) -> list[SuiteComparison]:
    """Evaluate all models, the first as the baseline, and write the report into `folder`.

    `by_pairs`: the judge also compares the answers pair by pair.

    Raises `InvalidInput` for a single model, `Conflict` where models were not measured alike.
    """
    if len(plan.models) < 2:
        raise InvalidInput("name two models or more; the first is the baseline")
    if by_pairs:
        asyncio.run(pairwise.check(plan))
    measured = evaluate(plan, watch)
    comparisons = differences.compare(measured)
    if by_pairs:
        opinions = asyncio.run(pairwise.second_opinions(plan, measured, watch))
        comparisons = [c.model_copy(update={"pairwise": opinions[c.suite]}) for c in comparisons]
    report.write(folder, comparisons, measured)
    return comparisons


def folder_of(plan: Plan) -> Path:
    """A folder of its own for these models in these suites on these rows."""
    suites = [[suite.sha256, *map(str, suite.data)] for suite in plan.suites]
    names = [*plan.models, *suites, plan.limit]
    return plan.out / f"compare-{digest.of_json(names)[:10]}"


def compare_by_recipe(recipe: CompareRecipe, watch: Watch = QUIET) -> list[SuiteComparison]:
    """The recipe's two policies under its rubric; the report lies in the run's folder.

    Raises `Conflict` for a teacher that has not passed its examination, unless that is allowed.
    """
    unqualified = require_qualified(recipe.services)
    plan = plan_of(recipe)
    run = Run(recipe)
    run.open()
    with run.logging():
        if unqualified:
            log.warning(unqualified)
        comparisons = compare(plan, run.folder, watch, by_pairs=recipe.pairwise)
        run.finish(version=comparisons[0].results[-1].model)
    return comparisons


def plan_of(recipe: CompareRecipe) -> Plan:
    """What a recipe's comparison evaluates."""
    services = recipe.services
    suite = Suite(
        name="comparison",
        description="The same prompts and seeds under one rubric.",
        data=recipe.prompts,
        scorer="judged",
        rubric=services.rubric,
        teacher="required",
        reference=recipe.reference,
        use_instruction=recipe.use_instruction,
        samples=recipe.samples,
        max_tokens=recipe.max_new_tokens,
        temperature=recipe.temperature,
        seed=recipe.seed,
        measures=MEASURES,
    )
    key = os.environ.get(KEY_VARIABLE)
    access = Access(
        server=services.server,
        key=key,
        concurrency=services.concurrency,
        runs=recipe.runs,
        bases=(recipe.model,),
    )
    return Plan(
        models=(recipe.baseline, recipe.candidate),
        suites=(suite,),
        out=recipe.folder / "answers",
        access=access,
        judge=services.judge,
        judge_key=key,
        allow_mock=services.allow_mock,
    )
