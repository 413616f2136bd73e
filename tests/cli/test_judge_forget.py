"""`galen judge forget`: asks first, says what it erased, and erases nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from galen.errors import NotFound
from judge.ledger import database
from tests.judge.runs import tell, told


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A judge's database with two runs that share a text."""
    url = f"sqlite:///{tmp_path / 'judge.sqlite3'}"
    database.upgrade(url)
    tell(url, "try", [told("a", 0.5), told("b", 0.5)])
    tell(url, "other", [told("b", 0.5)])
    return url


def galen(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["judge", "forget", *arguments], input=answer)


def test_it_asks_first(url: str) -> None:
    """Without a yes nothing is erased."""
    for answer in ("n\n", ""):
        assert galen("try", "--database", url, answer=answer).exit_code == 1
    done = galen("try", "--database", url, answer="y\n")
    assert done.exit_code == 0
    assert "try: 1 answers with their prompts" in done.output
    assert "1 stay, since other runs judged them too" in done.output
    assert "Erased: 1 answers with their prompts" in done.output


def test_what_is_forgotten_is_forgotten(url: str) -> None:
    """A second time there is nothing to erase."""
    assert galen("try", "--yes", "--database", url).exit_code == 0
    assert "no texts are left" in galen("try", "--yes", "--database", url).output


def test_an_unknown_run_is_an_error(url: str) -> None:
    """A misspelt run is told from an empty one."""
    assert isinstance(galen("tyr", "--yes", "--database", url).exception, NotFound)
