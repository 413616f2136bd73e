"""Laws of comparing models: the same conditions, paired differences, an honest report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from galen.errors import Conflict, InvalidInput
from tests.fakes.rendering_server import RenderingServer
from tests.fakes.rollouts import row_of
from tests.fakes.rows import write_jsonl
from tests.fakes.services import Refusal
from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate import differences, report
from trainer.evaluate.compare import compare, compare_by_recipe, folder_of
from trainer.evaluate.differences import Difference, SuiteComparison, refuse_unlike
from trainer.evaluate.evaluate import evaluate
from trainer.evaluate.examples import marked
from trainer.recipes import CompareRecipe, Services
from trainer.runs import is_finished

EXACT: dict[str, Any] = {"scorer": "exact", "measures": {"right": {}, "unanswered": {}}}


def sums(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"s{n}", "question": f"{n}+1=?", "answer": str(n + 1), "category": "ab"[n % 2]}
        for n in range(count)
    ]


def always(text: str) -> Callable[[str], str]:
    return lambda _: text


def right(question: str) -> str:
    return str(int(question.partition("+")[0]) + 1)


def of(comparison: SuiteComparison, measure: str, candidate: str = "new") -> Difference:
    return next(
        d for d in comparison.differences if (d.measure, d.candidate) == (measure, candidate)
    )


def test_a_better_candidate_wins_its_prompts(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """Differences are candidate − baseline over the same prompts, also by category."""
    server.said = {"base": always("1"), "new": right}
    plan = make_plan(["base", "new"], make_suite(sums(12), **EXACT))
    (comparison,) = compare(plan, tmp_path / "report")
    found = of(comparison, "right")
    assert (found.wins, found.ties, found.losses) == (11, 1, 0)
    assert found.mean == pytest.approx(11 / 12)
    assert found.seen == "better"
    assert found.by_category == {"a": (pytest.approx(5 / 6), 6), "b": (1.0, 6)}


def test_both_are_asked_the_same_under_the_same_seeds(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """Token ids and seeds of every request are those of the other model's."""
    compare(make_plan(["base", "new"], make_suite(sums(4), **EXACT, samples=2)), tmp_path)
    bodies = server.asked("POST", "/v1/completions")
    asked = [
        sorted((b["seed"], tuple(b["prompt"])) for b in bodies if b["model"] == f"policy@{name}")
        for name in ("base", "new")
    ]
    assert asked[0] == asked[1]
    assert len({seed for seed, _ in asked[0]}) == 8
    assert server.current == "base"


def test_a_prompt_that_failed_for_one_leaves_both(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """A failure is no 0, and the pairs stay pairs."""
    server.said = {"base": always("1"), "new": right}
    plan = make_plan(["base", "new"], make_suite(sums(5), **EXACT))
    compare(replace(plan, models=("base", "new")), tmp_path)
    server.refuses["3+1"] = Refusal(422, "too hard")
    server.cards["new"]["sha256"] = "2" * 64  # new weights: asked anew
    (comparison,) = compare(plan, tmp_path)
    assert of(comparison, "right").prompts == 4
    assert comparison.left_out == 1


def test_an_answer_that_failed_for_one_leaves_both(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Of several answers to a prompt too: the other model's answer of that seed is not counted."""
    server.text = "1"
    plan = make_plan(["base", "new"], make_suite(sums(1), **EXACT, samples=2))
    base, new = evaluate(plan)
    base.values[0]["right"], base.values[1]["right"] = 1.0, 0.0
    new.values[0]["right"], new.values[1]["right"] = None, 1.0
    found = of(differences.compare([base, new])[0], "right")
    assert (found.mean, found.prompts) == (1.0, 1)


def test_several_candidates_widen_the_intervals(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """The headline's hold together with 95 %, and so do the others'."""
    server.know("third")
    plan = make_plan(["base", "new", "third"], make_suite(sums(3), **EXACT))
    (comparison,) = compare(plan, tmp_path)
    assert [d.level for d in comparison.differences] == [pytest.approx(0.975)] * 4
    one = make_plan(["base", "new"], plan.suites[0])
    assert of(compare(one, tmp_path)[0], "right").level == pytest.approx(0.95)


def test_no_difference_seen_is_not_no_difference(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """The finding says how many prompts would show a difference of the size looked for."""
    server.said = {"base": always("1"), "new": always("2")}
    (comparison,) = compare(
        make_plan(["base", "new"], make_suite(sums(6), **EXACT)), tmp_path / "report"
    )
    found = of(comparison, "right")
    assert (found.mean, found.seen) == (0.0, "none")
    assert found.low < 0 < found.high
    assert report.finding(found).startswith("no difference seen; needs 5 points with ")
    same = of(comparison, "unanswered")
    assert same.low < 0 < same.high  # models that never differed are not proved equal
    assert "the same difference on all 6 prompts" in report.finding(same)


def test_results_under_other_conditions_are_refused(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """Judge, template, suite, data, extractor and budget are the same, or what differs is named."""
    plan = make_plan(["base", "new"], make_suite(sums(3), **EXACT))
    (comparison,) = compare(plan, tmp_path)
    first, second = comparison.results
    for field, value in {"template": "x", "tokens_allowed": 5, "extractor": "y"}.items():
        other = second.conditions.model_copy(update={field: value})
        with pytest.raises(Conflict, match=f"{field} differ"):
            refuse_unlike([first, second.model_copy(update={"conditions": other})])
    unknown = second.conditions.model_copy(update={"template": None})
    refuse_unlike([first, second.model_copy(update={"conditions": unknown})])


def test_answers_with_other_budgets_are_refused(
    make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A long question may leave one model fewer tokens; whom it leaves alike is compared."""
    plan = make_plan(["base", "new"], make_suite(sums(3), **EXACT, max_tokens=9))
    base, new = evaluate(plan)
    for each in (base, new):
        each.answers[0] = replace(
            each.answers[0], written=replace(each.answers[0].written, allowed=5)
        )
    assert differences.compare([base, new])[0].baseline.conditions.tokens_allowed == 9
    new.answers[0] = replace(new.answers[0], written=replace(new.answers[0].written, allowed=4))
    with pytest.raises(Conflict, match="as many tokens in 1 answers to own"):
        differences.compare([base, new])


def test_other_rows_have_another_report(make_suite: SuiteMaker, make_plan: PlanMaker) -> None:
    """Neither --data nor --limit overwrites the page of the others."""
    suite = make_suite(sums(3), **EXACT)
    other = suite.model_copy(update={"data": (Path("elsewhere.jsonl"),)})
    models = ["base", "new"]
    plans = [make_plan(models, suite), make_plan(models, suite, limit=2), make_plan(models, other)]
    assert len({folder_of(plan) for plan in plans}) == 3


def test_one_model_is_no_comparison(
    make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """The first name is the baseline, and there must be a second."""
    with pytest.raises(InvalidInput, match="two models"):
        compare(make_plan(["base"], make_suite(sums(1), **EXACT)), tmp_path)


def test_a_headline_that_no_row_has_does_not_end_the_report(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """The other measures are compared, at the level of all of them together."""
    measures = {
        "urgent": {"hit": ["emergency_instructions"], "among": {"risk": ["critical"]}},
        "reasoning": {"hit": ["think_present"]},
    }
    suite = make_suite([{"input": "散步有什么好处？"}, {"input": "喝茶有什么好处？"}],
                       scorer="judged", rubric="medical-safety", measures=measures)  # fmt: skip
    (comparison,) = compare(make_plan(["base", "new"], suite), tmp_path)
    assert [(d.measure, d.level) for d in comparison.differences] == [("reasoning", 0.95)]
    assert "reasoning" in (tmp_path / report.PAGE).read_text("utf-8")


class Tags(HTMLParser):
    """Counts what a page loads from elsewhere, and whether its tags close."""

    VOID = frozenset({"meta", "line", "circle", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.foreign += [v or "" for name, v in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_report_stands_alone(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """One page without anything from elsewhere; what a model wrote is text there, never a tag."""
    server.said = {"base": always("<script>1</script>"), "new": right}
    compare(make_plan(["base", "new"], make_suite(sums(3), **EXACT)), tmp_path)
    page = (tmp_path / report.PAGE).read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.foreign) == ([], [])
    assert "<script>" not in page
    assert "&lt;" in page


def test_figures_are_in_markdown_and_json_too(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, tmp_path: Path
) -> None:
    """A table to paste, and all numbers for a program."""
    server.said = {"base": always("1"), "new": right}
    compare(make_plan(["base", "new"], make_suite(sums(3), **EXACT)), tmp_path)
    table = (tmp_path / report.TABLE).read_text("utf-8")
    assert "| right | 0.333 " in table
    (facts,) = json.loads((tmp_path / report.FACTS).read_text("utf-8"))
    assert [r["model"] for r in facts["results"]] == ["base", "new"]
    assert facts["differences"][0]["wins"] == 2


def test_what_the_other_answer_lacks_is_marked() -> None:
    """Pieces add up to the text, words stay whole, and equal texts have no mark."""
    pieces = marked("take 2 pills", "take 3 pills")
    assert pieces == [("take ", False), ("2", True), (" pills", False)]
    assert marked("多喝水", "多喝水") == [("多喝水", False)]
    assert marked("", "多喝水") == []


@pytest.fixture
def recipe(toy: Path, tmp_path: Path, server: RenderingServer, judge: str) -> CompareRecipe:
    """A comparison of `base` and `new` on three prompts under the mock."""
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}") for i in range(3)])
    services = Services(
        server=server.url, judge=judge, concurrency=2, allow_mock=True, allow_unqualified=True
    )
    return CompareRecipe(
        stage="compare",
        run="c",
        runs=tmp_path / "runs",
        model=toy,
        candidate="new",
        prompts=(prompts,),
        samples=2,
        services=services,
    )


def test_a_recipe_compares_by_the_same_means(recipe: CompareRecipe) -> None:
    """Its run is finished, holds the report, and says that the teacher was a mock."""
    comparisons = compare_by_recipe(recipe)
    assert [d.measure for d in comparisons[0].differences] == ["reward", "violations"]
    assert is_finished(recipe)
    assert (recipe.folder / report.PAGE).is_file()
    assert any("mock" in line for line in report.summary(comparisons))


def test_a_teacher_that_was_not_examined_is_refused(recipe: CompareRecipe) -> None:
    """Unless the recipe allows it by name."""
    services = recipe.services.model_copy(update={"allow_unqualified": False})
    with pytest.raises(Conflict, match="judge qualify"):
        compare_by_recipe(recipe.model_copy(update={"services": services}))
