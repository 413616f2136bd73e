"""`galen judge replay`: offline, by whichever rubric is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner, Result

from cli.main import app
from galen.errors import GalenError, NotFound, RecipeError
from judge.ledger import database
from judge.ledger.budget import Budget
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import RubricRegistry
from judge.schemas import ScoreItem, ScoreRequest
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.service import JudgeService
from judge.settings import BudgetSettings
from judge.teacher.mock_teacher import MockTeacher

RESPONSES = ("嗓子痛可能与咽炎有关，建议多喝水，高烧请就医。", "直接去买阿莫西林，吃三天就好。")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack file whose judge's database holds the run `try`, judged by the mock."""
    url = f"sqlite:///{tmp_path / 'judge.sqlite3'}"
    database.upgrade(url)

    async def judge() -> None:
        store = Store(database.connect(url))
        service = JudgeService(
            RubricRegistry.load(),
            MockTeacher(),
            Ledger(store),
            Budget(store, BudgetSettings()),
            JudgeMetrics(CollectorRegistry()),
        )
        items = tuple(
            ScoreItem(id=f"i{n}", prompt="嗓子痛", response=r) for n, r in enumerate(RESPONSES)
        )
        await service.score(ScoreRequest(rubric="medical-safety", items=items, run="try", step=1))
        await service.aclose()

    asyncio.run(judge())
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"name: try\nserver: {{model: {tmp_path}}}\njudge: {{database_url: '{url}'}}\n", "utf-8"
    )
    return file


def galen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["judge", "replay", *map(str, arguments)])


def test_under_its_own_rubric_nothing_changes(stack: Path) -> None:
    """The same rewards come out of the database as were told."""
    done = galen("try", "-c", stack)
    assert done.exit_code == 0
    assert "run try, judged by medical-safety: 2 judgements, 2 compared" in done.output
    assert "changed: 0 of 2" in done.output
    assert "The teacher was a mock" in done.output


def test_under_other_weights(stack: Path, tmp_path: Path) -> None:
    """What was overridden is said, and the files are written where they were asked for."""
    table, picture = tmp_path / "r.csv", tmp_path / "r.png"
    sets = ("--set", "weights.rules=0.1", "--set", "weights.teacher=0.9")
    done = galen("try", "-c", stack, *sets, "--csv", table, "--plot", picture)
    assert "medical-safety with weights.rules=0.1 weights.teacher=0.9" in done.output
    assert "changed: 2 of 2" in done.output
    assert len(table.read_text("utf-8").splitlines()) == 3
    assert picture.stat().st_size > 0


def test_under_another_rubric_by_name_and_by_folder(stack: Path, root: Path) -> None:
    """A rubric given by name and the same one given by its folder judge alike."""
    by_name = galen("try", "-c", stack, "--rubric", "medical")
    folder = root / "judge" / "rubrics" / "medical"
    by_folder = galen("try", "-c", stack, "--rubric-folder", folder)
    assert "judged by medical:" in by_name.output
    assert by_name.output == by_folder.output


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["nobody"], NotFound, "nothing was judged for a run named 'nobody'"),
        (["try", "--rubric", "medcial"], NotFound, "known are"),
        (["try", "--rubric-folder", "nowhere"], RecipeError, "nowhere"),
        (["try", "--set", "weights.rules=2"], RecipeError, "weights"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], error: type[GalenError], message: str, stack: Path
) -> None:
    """One clear error that names what is wrong."""
    done = galen(*arguments, "-c", stack)
    assert isinstance(done.exception, error)
    assert message in done.exception.message


def test_a_database_of_ones_own(stack: Path, tmp_path: Path, root: Path) -> None:
    """A URL is enough to find the run, whatever the stack file says; a wrong one makes no file."""
    demo = root / "configs" / "demo.yaml"
    there, gone = tmp_path / "judge.sqlite3", tmp_path / "gone.sqlite3"
    done = galen("try", "-c", demo, "--database", f"sqlite:///{there}")
    assert done.output == galen("try", "-c", stack).output
    assert "2 judgements, 2 compared" in done.output
    done = galen("try", "-c", stack, "--database", f"sqlite:///{gone}")
    assert isinstance(done.exception, NotFound)
    assert "no such database; name it with --database" in done.exception.message
    assert not gone.exists()


def test_one_rubric_at_a_time(stack: Path) -> None:
    """Two ways to name it contradict each other."""
    assert galen("try", "-c", stack, "--rubric", "a", "--rubric-folder", "b").exit_code == 2
