"""Laws of the command itself: quick help, clear errors, honest exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app, run
from galen.errors import Conflict, Unauthorized

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "up", "down", "status", "doctor", "train", "merge", "publish", "versions", "activate",
    "forget", "chat", "compare", "predict", "server", "judge", "webui", "runs", "data", "models",
    "run", "evaluate", "votes", "promote",
}  # fmt: skip


def galen(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_loads_nothing_heavy() -> None:
    """`galen --help` answers at once because it imports no library that takes long."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = ('torch', 'transformers', 'fastapi', 'gradio', 'sqlalchemy', 'vllm', 'httpx',\n"
        "         'pydantic', 'pandas', 'matplotlib')\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_command_of_the_design_is_there() -> None:
    """The commands that the documentation names exist under those names."""
    assert set(typer.main.get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str) -> None:
    """Each command explains itself, even where what it does cannot be done now."""
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("service", ["server", "judge", "webui"])
def test_each_service_is_served_by_a_word_of_its_own(service: str) -> None:
    """`galen <service> serve` stays two words, though `serve` is the group's one command."""
    assert CliRunner().invoke(app, [service, "serve", "--help"]).exit_code == 0


def test_a_deliberate_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """What the user did wrong is said in one line on standard error, without a traceback."""
    done = galen("up", "nowhere.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "galen: nowhere.yaml: no such file\n"


def test_a_usage_error_is_exit_code_2() -> None:
    """A command that is written wrongly ends with 2, as every command line's does."""
    assert galen("train").returncode == 2
    assert galen("nonsense").returncode == 2


def test_a_misspelt_recipe_field_is_named(tmp_path: Path) -> None:
    """A misspelt override is refused by its name before anything is loaded."""
    done = galen("train", "configs/recipes/demo/sft.yaml", "--set", "epocs=1")
    assert done.returncode == 1
    assert "epocs" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_comparison_is_not_trained_and_a_stage_not_compared() -> None:
    """The wrong command for a recipe names the right one."""
    assert "galen compare" in galen("train", "configs/recipes/demo/compare.yaml").stderr
    assert "galen train" in galen("compare", "configs/recipes/demo/sft.yaml").stderr


def command_that_raises(error: Exception) -> typer.Typer:
    commands = typer.Typer(pretty_exceptions_enable=False)

    @commands.command()
    def fail() -> None:
        raise error

    return commands


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is not dressed up as one of the user's."""
    monkeypatch.setattr(sys, "argv", ["galen"])
    with pytest.raises(ZeroDivisionError):
        run(command_that_raises(ZeroDivisionError()))


def test_the_message_is_red_only_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message that goes into a file or a pipe carries no colour codes."""
    monkeypatch.setattr(sys, "argv", ["galen"])
    with pytest.raises(SystemExit, match="1"):
        run(command_that_raises(Conflict("port 1 is taken")))
    assert capsys.readouterr().err == "galen: port 1 is taken\n"


def test_a_refused_key_says_where_commands_take_theirs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types a command sends no headers."""
    monkeypatch.setattr(sys, "argv", ["galen"])
    with pytest.raises(SystemExit, match="1"):
        run(command_that_raises(Unauthorized("no valid key")))
    assert "GALEN_KEY" in capsys.readouterr().err
