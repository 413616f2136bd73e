"""`galen judge serve`: who may reach it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from galen.errors import InvalidInput
from galen.keys import KEYS_VARIABLE


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "judge.example"])
def test_without_keys_it_is_for_this_machine_alone(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody who could reach it could spend the operator's money and read patients' words."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    stack = tmp_path / "stack.yaml"
    database = tmp_path / "judge.sqlite3"
    stack.write_text(
        f"name: t\nserver: {{model: {tmp_path}}}\njudge: {{database_url: 'sqlite:///{database}'}}\n",
        "utf-8",
    )
    done = CliRunner().invoke(app, ["judge", "serve", str(stack), "--set", f"judge.host='{host}'"])
    assert isinstance(done.exception, InvalidInput)
    assert "without keys" in done.exception.message
    assert not database.exists()
