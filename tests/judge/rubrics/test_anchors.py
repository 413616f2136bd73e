"""Laws of a rubric's anchors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galen.errors import RecipeError
from judge.rubrics.anchors import load_anchors


def write(folder: Path, *anchors: dict[str, str]) -> None:
    lines = [json.dumps(anchor, ensure_ascii=False) for anchor in anchors]
    (folder / "anchors.jsonl").write_text("\n".join(lines), "utf-8")


def test_a_folder_without_the_file_has_no_anchors(tmp_path: Path) -> None:
    """They are optional."""
    assert load_anchors(tmp_path) == ()


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """A rubric with half of its anchors would be watched by another measure than it says."""
    write(tmp_path, {"id": "a", "prompt": "问", "response": "答"}, {"id": "b", "prompt": "问"})
    with pytest.raises(RecipeError, match=r"anchors\.jsonl: 1 bad line.*\n.*line 2: response"):
        load_anchors(tmp_path)


def test_ids_are_unique(tmp_path: Path) -> None:
    """Two anchors of one name could not be told apart."""
    write(tmp_path, *[{"id": "a", "prompt": "问", "response": "答"}] * 2)
    with pytest.raises(RecipeError, match="share an id"):
        load_anchors(tmp_path)
