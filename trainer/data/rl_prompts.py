"""Questions for reinforcement learning: dangerous ones first, each red-team question three times.

The seeds' plan removes copies after it has multiplied the red team, so that nothing is multiplied.
Here each of the three has an id of its own, and PPO draws it as often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.data.example import Example
from trainer.data.formats import alpaca
from trainer.data.split import Gold
from trainer.data.split.assign import content_key

RED_TEAM_TIMES = 3
HIGH_SHARE = 0.6
"""Of the rows that are not the red team's: critical and high ones; the rest is general."""
LEAST_SEVERE = 0.4
"""Share of critical and high rows that the whole must exceed."""
SEVERE = ("critical", "high")
RISKS = ("low", "medium", "high", "critical")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    rows: list[Row]
    by_strategy: Counter[str]
    by_risk: Counter[str]
    shortage: str
    """What the input could not give; empty if it gave all."""


class Chooser:
    """Keeps the best rows of each risk, in memory for the rows that are asked for alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._best = {risk: Gold(count) for risk in (*SEVERE, "general")}

    def show(self, example: Example) -> None:
        """A candidate; its answer, if it has one, becomes the prompt's `gold`."""
        risk = str(example.meta.get("risk_level"))
        self._best[risk if risk in SEVERE else "general"].show(example, prompt_row(example))

    def choose(self, red_team: Iterable[Example]) -> Chosen:
        """The red team three times, then severe and general rows, the best first.

        Where severe rows are too few, general ones are cut so that the severe stay above 40 %.
        Where there is none at all, the general ones stay and the shortage says so.
        """
        red = [_copy(example, n) for example in red_team for n in range(1, RED_TEAM_TIMES + 1)]
        rest = max(0, self._count - len(red))
        wanted = round(HIGH_SHARE * rest)
        severe = [row for risk in SEVERE for row in self._best[risk].best()][:wanted]
        general = self._best["general"].best()[: rest - wanted]
        severe_count = len(severe) + sum(row["meta"]["risk_level"] in SEVERE for row in red)
        most = int(severe_count / LEAST_SEVERE) - severe_count - 1
        mild_red = len(red) - (severe_count - len(severe))
        if severe_count:
            general = general[: max(0, most - mild_red)]
        rows = [*red, *severe, *general]
        return Chosen(
            rows,
            Counter({"red team": len(red), "high risk": len(severe), "general": len(general)}),
            Counter(str(row["meta"]["risk_level"]) for row in rows),
            self._shortage(rows, severe, wanted, rest),
        )

    def _shortage(self, rows: list[Row], severe: list[Row], wanted: int, rest: int) -> str:
        if rows and not rest:
            return (
                f"the red team alone gives {len(rows):,} rows of {self._count:,} asked for, so "
                "none is of the input; ask for more"
            )
        if not any(row["meta"]["risk_level"] in SEVERE for row in rows):
            return "no critical and no high row: all rows are general; add severe questions"
        if len(severe) < wanted:
            return (
                f"{len(severe):,} critical and high rows of {wanted:,}: general rows were cut so "
                f"that the severe stay above {LEAST_SEVERE:.0%}; add severe questions"
            )
        if len(rows) < self._count:
            return f"{len(rows):,} rows of {self._count:,}: the input has no more general ones"
        return ""


def prompt_row(example: Example) -> Row:
    """A row as `galen.records.PromptRow` reads it."""
    asked = Example(example.prompt, id=example.id, meta=example.meta)
    row = alpaca.ROWS.write(asked)
    gold = example.answer or example.extra.get("gold")
    name = example.id or f"{content_key(example):016x}"
    return {"id": name, **row, **({"gold": gold} if gold else {})}


def _copy(example: Example, number: int) -> Row:
    row = prompt_row(example)
    return {**row, "id": f"{row['id']}-x{number}"}


def table(chosen: Chosen) -> Iterator[tuple[str, str, str]]:
    """Name, rows and share of each strategy and each risk level."""
    total = max(1, len(chosen.rows))
    for name, count in (*chosen.by_strategy.items(), *((r, chosen.by_risk[r]) for r in RISKS)):
        yield name, f"{count:,}", f"{count / total:.1%}"


def draw(chosen: Chosen, path: Path) -> None:
    """The two distributions as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = (
        (left, "strategy", chosen.by_strategy, ("#b3412e", "#d98e3a", "#5b8e7d")),
        (right, "risk level", {r: chosen.by_risk[r] for r in RISKS},
         ("#5b8e7d", "#c9b458", "#d98e3a", "#b3412e")),
    )  # fmt: skip
    for axes, title, counts, colours in panels:
        bars = axes.barh(list(counts), list(counts.values()), color=colours[: len(counts)])
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15)
    figure.suptitle(f"RL prompts: {len(chosen.rows):,} rows")
    figure.savefig(path, dpi=120)
