"""`galen models extend`: what a person sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.models import app
from galen.errors import InvalidInput
from tests.fakes.rollouts import write_toy


def extend(*arguments: Path | str) -> str:
    done = CliRunner().invoke(app, ["extend", *map(str, arguments)], catch_exceptions=False)
    return done.stdout


def test_it_says_what_was_added_and_what_that_saves(tmp_path: Path) -> None:
    """Words, tokens in all, and tokens a character on a text of the domain."""
    toy, out = write_toy(tmp_path / "toy"), tmp_path / "out"
    words, text = tmp_path / "words.txt", tmp_path / "text.txt"
    words.write_text("# heart\n胸主动脉\n头痛\n", "utf-8")
    text.write_text("胸主动脉胸主动脉\n", "utf-8")
    said = extend(toy, words, out, "--text", text)
    assert "Added:   1 words" in said
    assert "Left:    1 words" in said
    assert "0.2500 now" in said
    with pytest.raises(InvalidInput, match="no such file"):
        extend(toy, words, tmp_path / "other", "--text", tmp_path / "lost.txt")
    assert not (tmp_path / "other").exists()
