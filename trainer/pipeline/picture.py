"""The picture of a pipeline: its models from left to right, each with its figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from trainer.pipeline.effect import LABELS, Effect, text_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen before

GREY, TEAL = "#9aa5b1", "#0f766e"
WIDTH, HEIGHT = 2.9, 2.2
"""Inches of a model's place."""


def draw(path: Path, title: str, effects: Sequence[Effect]) -> None:
    """Write the picture. Every model comes after the one that it started from."""
    places = _places(effects)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    size = (columns * WIDTH, rows * HEIGHT + 0.6)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.axis("off")
    for each in effects:
        column, row = places[each.name]
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": TEAL}
        if each.parent:
            start_column, start_row = places[each.parent]
            axes.annotate(
                "",
                xy=(column - 0.28, row - 0.36),
                xytext=(start_column + 0.28, start_row - 0.36),
                arrowprops={"arrowstyle": "->", "color": GREY},
            )
        else:
            box["edgecolor"] = GREY
        kind = each.stage if each.parent else "no stage yet"
        label = f"{Path(each.name).name}\n({kind})"
        axes.text(column, row - 0.36, label, ha="center", va="center", fontsize=9, bbox=box)
        axes.text(column, row - 0.19, _caption(each), ha="center", va="top", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _places(effects: Sequence[Effect]) -> dict[str, tuple[int, int]]:
    """Column and row of each model: one column right of its start, in the first free row there."""
    places: dict[str, tuple[int, int]] = {}
    used: defaultdict[int, int] = defaultdict(int)
    for each in effects:
        column, row = places[each.parent] if each.parent else (-1, 0)
        row = max(row, used[column + 1])
        used[column + 1] = row + 1
        places[each.name] = (column + 1, row)
    return places


def _caption(effect: Effect) -> str:
    lines = []
    for name, interval in effect.figures.items():
        lines += [f"{LABELS[name]}:", text_of(name, interval)]
        if name in effect.changes:
            lines.append(f"change {text_of(name, effect.changes[name], is_change=True)}")
    return "\n".join(lines)
