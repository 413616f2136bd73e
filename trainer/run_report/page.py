"""The page of a run: facts, curves, and the answers that tell most.

Nothing here loads torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from galen import DISCLAIMER_EN, DISCLAIMER_ZH, transcript
from trainer import history
from trainer.run_report import charts

NAME = "report.html"
SHOWN = 5
"""Answers of each kind."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion as the page shows it."""

    prompt: str
    reasoning: str
    answer: str
    reward: float
    version: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One prompt's answers of the run's beginning and of its end."""

    early: Answer
    late: Answer

    @property
    def gain(self) -> float:
        return self.late.reward - self.early.reward


def write(folder: Path) -> Path:
    """Write the report into the run's folder. Raises `NotFound` for a folder that is no run."""
    path = folder / NAME
    path.write_text(render(folder), "utf-8")
    return path


def render(folder: Path) -> str:
    """The page as HTML, with everything that it shows inside."""
    card = history.card(folder)
    batches = [[*_answers(file)] for file in sorted((folder / "completions").glob("*.jsonl"))]
    batches = [batch for batch in batches if batch]
    last = sorted(batches[-1], key=lambda each: each.reward) if batches else []
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        card=card,
        recipe=(folder / "recipe.yaml").read_text("utf-8"),
        alarms=history.alarms(folder),
        curves=charts.draw(history.rows(folder)),
        changes=_changes(batches),
        worst=last[:SHOWN],
        best=last[-SHOWN:][::-1] if len(last) >= 2 * SHOWN else [],
        disclaimers=(DISCLAIMER_ZH, DISCLAIMER_EN),
    )


def _answers(file: Path) -> Iterator[Answer]:
    for line in file.read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        if row.get("reward") is None:  # a failed judgement is never a score
            continue
        read = transcript.parse(row["completion"])
        yield Answer(
            prompt=row["prompt"],
            reasoning=read.reasoning or "",
            answer=read.answer,
            reward=float(row["reward"]),
            version=str(row.get("version")),
            flags=tuple(row.get("flags", ())),
        )


def _changes(batches: list[list[Answer]]) -> list[Change]:
    """Of the prompts that were asked in both the first and the last third of the run, those whose
    reward changed most, the largest gain first."""
    third = len(batches) // 3
    if not third:
        return []
    early = {each.prompt: each for batch in batches[:third] for each in batch}
    late = {each.prompt: each for batch in batches[-third:] for each in batch}
    changes = [Change(early[prompt], late[prompt]) for prompt in early if prompt in late]
    most = sorted(changes, key=lambda change: -abs(change.gain))[:SHOWN]
    return sorted(most, key=lambda change: -change.gain)
