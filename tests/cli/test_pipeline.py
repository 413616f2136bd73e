"""Laws of `galen run`, as far as no model is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


def test_a_dry_run_shows_stages_and_what_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MedicalGPT's chain: nothing of it is in a fresh checkout, and nothing is made."""
    monkeypatch.chdir(root)
    path = "configs/recipes/medicalgpt/pipeline.yaml"
    shown = CliRunner().invoke(app, ["run", path, "--dry-run", "--set", "runs=nowhere"]).stdout
    assert "medicalgpt-sft       medicalgpt-pretrain  to do" in shown
    assert "not there: medicalgpt-pretrain: data/medicalgpt/pretrain.txt" in shown
    assert not (root / "nowhere").exists()
