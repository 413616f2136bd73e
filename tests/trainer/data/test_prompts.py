"""Laws of questions for a policy: any file gives rows with an id and all of `meta`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fakes.rollouts import META
from trainer.data.example import Message
from trainer.data.prompts import Prompt, read_prompts


def prompts(path: Path, *rows: dict[str, Any]) -> list[Prompt]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read_prompts([path])


def test_a_row_keeps_what_it_brings(tmp_path: Path) -> None:
    """Its id, its own answer and every field of its meta; the instruction is the system message."""
    row = {"id": "r1", "instruction": "s", "input": "q", "gold": "g", "meta": META.model_dump()}
    (prompt,) = prompts(tmp_path / "a.jsonl", row)
    assert prompt.row.model_dump(exclude_defaults=True) == {
        **row,
        "meta": prompt.row.meta.model_dump(exclude_defaults=True),
    }
    assert prompt.row.meta == META
    assert prompt.messages == (Message("system", "s"), Message("user", "q"))
    assert prompt.without_system == (Message("user", "q"),)
