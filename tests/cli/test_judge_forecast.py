"""Laws of `galen judge forecast`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.judge_forecast import plan_of
from cli.main import app
from judge.rubrics.rubric import RubricRegistry
from judge.teacher.forecast import Plan
from trainer import recipes
from trainer.recipes import CompareRecipe, PpoRecipe

DEMO = "configs/recipes/demo"
NOWHERE = "services.judge=http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _at_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("DEEPSEEK_API_KEY", "not-a-real-key")
    monkeypatch.delenv("JUDGE_MODEL", raising=False)


def plan(name: str, *overrides: str) -> Plan:
    recipe = recipes.load(Path(DEMO, name), overrides)
    assert isinstance(recipe, PpoRecipe | CompareRecipe)
    return plan_of(recipe, RubricRegistry.load().get(recipe.services.rubric))


def told(*words: str) -> list[str]:
    result = CliRunner().invoke(app, ["judge", "forecast", *words])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize(("every", "looks"), [(0, 0), (5, 1 + 3), (15, 1 + 1), (4, 1 + 4)])
def test_a_ppo_run_judges_its_batches_and_its_anchors(every: int, looks: int) -> None:
    """Twelve anchors make the baseline, and twelve more at each look; 0 looks at none."""
    found = plan("ppo.yaml", f"services.drift_every={every}")
    assert (found.unit, found.units, found.judgements_a_unit) == ("batch", 15, 64)
    assert found.judgements == 15 * 64 + looks * 12


def test_held_out_questions_are_judged_too() -> None:
    """Before the first batch, then every so many, and at the end: 0, 5, 10 and 15."""
    fields = ("services.drift_every=0", "held_out=[data/demo/held_out.jsonl]", "held_out_every=5")
    assert plan("ppo.yaml", *fields).judgements == 15 * 64 + 4 * 40


def test_a_run_with_exact_rewards_costs_nothing() -> None:
    """It asks no teacher."""
    (line,) = told("configs/recipes/finance/grpo.yaml")
    assert "costs nothing" in line


def test_a_comparison_judges_both_sides() -> None:
    """Every prompt, every sample, twice."""
    found = plan("compare.yaml")
    assert (found.unit, found.judgements) == ("prompt", 40 * 4 * 2)


def test_the_caps_are_held_against_the_cost() -> None:
    """A long run is told where its money ends, a short one that it lasts."""
    lines = told(f"{DEMO}/ppo.yaml", "--set", NOWHERE, "--set", "batches=100000")
    (capped,) = [line for line in lines if line.startswith("run's cap US$ 10.00, off-peak")]
    ends = [int(word.replace(",", "")) for word in capped.split("batch")[1:]]
    assert len(ends) == 3
    assert 100_000 > ends[0] > ends[1] > ends[2] > 0
    assert any("is not up: the caps come from the settings" in line for line in lines)
    lines = told(f"{DEMO}/ppo.yaml", "--set", NOWHERE)
    assert all(line.split()[-3:] == ["all"] * 3 for line in lines if line.startswith("run's cap"))


def test_without_a_key_it_is_said_that_the_mock_would_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures for a teacher that nobody has are called what they are."""
    monkeypatch.delenv("DEEPSEEK_API_KEY")
    assert any(
        "the mock would judge" in line for line in told(f"{DEMO}/ppo.yaml", "--set", NOWHERE)
    )


def test_a_model_without_a_price_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nought dollars are explained."""
    monkeypatch.setenv("JUDGE_MODEL", "my-own")
    lines = told(f"{DEMO}/compare.yaml", "--set", NOWHERE)
    assert any(line.startswith("my-own has no price") for line in lines)


def test_a_stage_without_a_judge_costs_nothing() -> None:
    """Nothing is invented for it."""
    assert told(f"{DEMO}/sft.yaml") == [
        f"{DEMO}/sft.yaml: it does not ask the judge's teacher, so it costs nothing there."
    ]


def test_the_page_shows_what_is_printed(root: Path) -> None:
    """The command in docs/judge-audit.md runs from a clone, and prints what stands below it."""
    page = (root / "docs" / "judge-audit.md").read_text("utf-8")
    section = page.split("## Forecast\n")[1].split("\n## ")[0]
    code = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    command, shown = code[0].split(), [line for line in code[1:] if line != "…"]
    assert command[:3] == ["galen", "judge", "forecast"]
    printed = told(*command[3:], "--set", NOWHERE)
    assert [line for line in shown if line not in printed] == []
