"""The curves of a run's metrics.jsonl as one SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen before

TEAL, GREY = "#0f766e", "#9aa5b1"
COLUMNS = 3
WIDTH, HEIGHT = 3.7, 2.2
"""Inches of one chart."""
AXES = ("batch", "step")
"""What a curve is drawn over, the first of them that the rows have."""
FIRST = (
    "reward_mean", "held_out_reward", "violations", "kl", "loss", "eval_loss", "entropy", "cut_off",
    "tokens_mean",
)  # fmt: skip
"""Charts that come first; the others follow by name."""
UNINTERESTING = frozenset({"epoch", "batch", "step", "total_flos"})
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "galen", "font.size": 8}
"""Texts stay texts, and the same rows give the same bytes."""


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """Each figure with at least two finite values: where it was taken, and its values."""
    axis = next((name for name in AXES if any(name in row for row in rows)), None)
    found: dict[str, tuple[list[float], list[float]]] = {}
    for place, row in enumerate(rows, start=1):
        x = float(row.get(axis, place)) if axis else float(place)
        for name, value in row.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in UNINTERESTING and is_number and math.isfinite(value):
                xs, ys = found.setdefault(name, ([], []))
                xs.append(x)
                ys.append(float(value))
    order = sorted(found, key=lambda name: (name not in FIRST, _rank(name), name))
    return {name: found[name] for name in order if len(found[name][0]) > 1}


def draw(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Small charts beside each other; None if no figure has two values."""
    curves = series(rows)
    if not curves:
        return None
    lines = math.ceil(len(curves) / COLUMNS)
    with plt.rc_context(SETTINGS):
        size = (COLUMNS * WIDTH, lines * HEIGHT)
        figure, axes = plt.subplots(
            lines, COLUMNS, figsize=size, layout="constrained", squeeze=False
        )
        for place, (name, (xs, ys)) in zip(axes.flat, curves.items(), strict=False):
            place.plot(xs, ys, color=TEAL, linewidth=1.2, marker="." if len(xs) < 40 else None)
            place.set_title(name.replace("_", " "))
            place.spines[["top", "right"]].set_visible(False)
            place.grid(color=GREY, alpha=0.25)
        for place in list(axes.flat)[len(curves) :]:
            place.axis("off")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
        plt.close(figure)
    svg = drawn.getvalue()
    return svg[svg.index("<svg") :]


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else 0
