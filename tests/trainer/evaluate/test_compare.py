"""Laws of comparing two policies."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galen import digest
from galen.errors import Conflict, InvalidInput, RecipeError, TrainingStopped
from tests.fakes.loop_services import RUBRIC_SHA256, LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.evaluate.compare import compare
from trainer.recipes import CompareRecipe, Services
from trainer.runs import is_finished

RecipeMaker = Callable[..., CompareRecipe]


@pytest.fixture
def server() -> Iterator[LoopPolicyServer]:
    with LoopPolicyServer("0" * 64) as server:
        server.know("new")
        yield server


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


@pytest.fixture
def make_recipe(
    toy: Path, tmp_path: Path, server: LoopPolicyServer, judge: LoopJudge
) -> RecipeMaker:
    """A comparison of `base` and `new` on three prompts, two samples each."""
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}") for i in range(3)])

    def make(candidate: str = "new", allow_mock: bool = False) -> CompareRecipe:
        return CompareRecipe(
            stage="compare",
            run="c",
            runs=tmp_path / "runs",
            model=toy,
            candidate=candidate,
            prompts=(prompts,),
            samples=2,
            resamples=200,
            services=Services(
                server=server.url, judge=judge.url, concurrency=2, allow_mock=allow_mock
            ),
        )

    return make


def test_both_policies_answer_the_same_prompts_under_the_same_seeds(
    make_recipe: RecipeMaker, server: LoopPolicyServer
) -> None:
    """Each is asked for by name, and the candidate serves when it is over."""
    recipe = make_recipe()
    compare(recipe)
    bodies = server.asked("POST", "/v1/completions")
    asked = [
        sorted((b["seed"], tuple(b["prompt"])) for b in bodies if b["model"] == f"policy@{name}")
        for name in ("base", "new")
    ]
    assert len(asked[0]) == 3 * 2
    assert asked[0] == asked[1]
    assert len({seed for seed, _ in asked[0]}) == 3 * 2
    assert server.current == "new"
    assert is_finished(recipe)


def test_a_better_candidate_wins_every_prompt(make_recipe: RecipeMaker, judge: LoopJudge) -> None:
    """Rewards and violations go to the side that earned them."""
    for i in range(6):
        judge.enqueue(f"c-base-000{i}", verdict(-0.5, flags=("unsafe",)))
    report = compare(make_recipe())
    assert (report.baseline.reward, report.candidate.reward) == (-0.5, 0.5)
    assert (report.baseline.violation_rate, report.candidate.violation_rate) == (1.0, 0.0)
    assert report.reward_difference.mean == 1.0
    assert (report.wins, report.ties, report.losses) == (3, 0, 0)
    assert (report.provider, report.rubric_sha256) == ("teacher.example", RUBRIC_SHA256)
    facts = json.loads((report.folder / "comparison.json").read_text("utf-8"))
    assert facts["prompts"] == 3
    assert (report.folder / "comparison.png").is_file()


def test_a_prompt_without_any_judgement_is_left_out_for_both(
    make_recipe: RecipeMaker, judge: LoopJudge
) -> None:
    """A failure is no score of 0; one failed sample of two leaves its prompt in."""
    judge.enqueue("c-new-0002", verdict(None))
    judge.enqueue("c-new-0003", verdict(None))
    judge.enqueue("c-base-0002", verdict(-0.9))
    judge.enqueue("c-base-0000", verdict(None))
    judge.enqueue("c-base-0001", verdict(0.1))
    report = compare(make_recipe())
    assert report.baseline.rewards_P == [0.1, 0.5]
    assert report.candidate.rewards_P == [0.5, 0.5]
    assert (report.baseline.failed, report.candidate.failed) == (1, 2)


def test_nothing_judged_on_both_sides_is_no_comparison(
    make_recipe: RecipeMaker, judge: LoopJudge
) -> None:
    """It stops and says so, and the run may be done again."""
    for i in range(6):
        judge.enqueue(f"c-new-000{i}", verdict(None))
    recipe = make_recipe()
    with pytest.raises(TrainingStopped, match="no prompt was judged for both"):
        compare(recipe)
    assert not is_finished(recipe)


def test_two_teachers_are_refused(make_recipe: RecipeMaker, judge: LoopJudge) -> None:
    """Rewards of different teachers are on different scales."""
    judge.enqueue("c-new-0003", verdict(0.5, provider="another.example"))
    with pytest.raises(Conflict, match="not judged alike"):
        compare(make_recipe())


def test_an_answer_that_the_rules_alone_settled_is_no_second_teacher(
    make_recipe: RecipeMaker, judge: LoopJudge
) -> None:
    """An empty answer is asked of no teacher, and still counts."""
    judge.enqueue("c-new-0000", verdict(-1.0, provider="rules"))
    report = compare(make_recipe())
    assert report.provider == "teacher.example"
    assert report.candidate.rewards_P[0] == -0.25


def test_a_mock_teacher_compares_only_in_a_rehearsal(
    make_recipe: RecipeMaker, judge: LoopJudge
) -> None:
    """Refused by default; when allowed, the summary says what it is worth."""
    judge.provider = "mock"
    with pytest.raises(RecipeError, match="allow_mock"):
        compare(make_recipe())


def test_a_rehearsal_says_that_it_is_one(make_recipe: RecipeMaker, judge: LoopJudge) -> None:
    """The mock's name stands in the report."""
    judge.provider = "mock"
    assert "The teacher is a mock" in compare(make_recipe(allow_mock=True)).summary()


def write_run(recipe: CompareRecipe, **facts: object) -> Path:
    folder = recipe.runs / "other"
    folder.mkdir(parents=True)
    manifest = {"recipe": "a" * 64, "finished": True, **facts}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (folder / "recipe.yaml").write_text("stage: sft\n", "utf-8")
    return folder


def test_a_candidate_may_be_named_by_its_run(
    make_recipe: RecipeMaker, server: LoopPolicyServer
) -> None:
    """`run:<name>` is what that run published last; one that is not there is named."""
    recipe = make_recipe("run:other")
    with pytest.raises(RecipeError, match="run:other: no such run"):
        compare(recipe)
    write_run(recipe, version="other-0004-ab")
    server.know("other-0004-ab")
    assert compare(recipe).candidate.name == "other-0004-ab"


def test_an_sft_run_is_published_to_be_compared(
    make_recipe: RecipeMaker, server: LoopPolicyServer, toy: Path
) -> None:
    """It is a candidate like any other, and the comparison is finished under its name."""
    server.cards["base"]["sha256"] = digest.of_folder(toy)
    recipe = make_recipe("run:other")
    shutil.copytree(toy, write_run(recipe) / "final")
    report = compare(recipe)
    assert re.fullmatch("other-[0-9a-f]{8}", report.candidate.name)
    assert server.current == report.candidate.name
    assert is_finished(recipe)


@pytest.mark.parametrize(
    ("candidate", "hint"), [("nwe", "did you mean 'new'"), ("zzz", "it knows base, new")]
)
def test_a_candidate_that_is_not_there_costs_nothing(
    make_recipe: RecipeMaker,
    server: LoopPolicyServer,
    judge: LoopJudge,
    candidate: str,
    hint: str,
) -> None:
    """It is refused before the baseline is sampled, and what served goes on serving."""
    server.current = "new"
    with pytest.raises(InvalidInput, match=hint):
        compare(make_recipe(candidate))
    assert not server.asked("POST", "/v1/completions")
    assert not judge.paid
    assert not server.asked("POST", "/policy/activate")


def test_what_served_before_serves_again_after_a_failure(
    make_recipe: RecipeMaker, server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """A comparison that stops half-way leaves nobody with the baseline."""
    server.know("people's")
    server.current = "people's"
    judge.enqueue("c-new-0003", verdict(0.5, provider="another.example"))
    with pytest.raises(Conflict):
        compare(make_recipe())
    assert server.current == "people's"
