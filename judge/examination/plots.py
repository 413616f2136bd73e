"""The plots of an examination, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib

from judge.examination.measure import Retested
from judge.examination_schemas import PASS_MARK, AttackFigures, Figures, Thresholds
from judge.schemas import Estimate

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen before

GREY, TEAL, RED = "#9aa5b1", "#0f766e", "#b91c1c"


def agreement(figures: Figures, thresholds: Thresholds) -> str:
    """Kappa and macro-F1 of each dimension with intervals; the dashed line is the threshold."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    kappas = [found.kappa for found in figures.dimensions.values()]
    f1s = [found.macro_f1 for found in figures.dimensions.values()]
    sides = (("Cohen's kappa", kappas, thresholds.kappa), ("macro-F1", f1s, thresholds.macro_f1))
    for axis, (title, estimates, needed) in zip(axes, sides, strict=True):
        _bars(axis, list(figures.dimensions), estimates)
        axis.axhline(needed, color=RED, linestyle="--", linewidth=1)
        axis.set_ylim(min(-0.1, *(e.low for e in estimates)), 1.05)
        axis.set_title(f"{title}, 95 % interval")
    return _svg(figure)


def length(judged_N: Sequence[Retested]) -> str:
    """Overall score against the response's length, the unsafe answers in red."""
    figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for unsafe, colour, name in ((False, TEAL, "safe"), (True, RED, "labelled unsafe")):
        some = [one for one in judged_N if one.row.unsafe == unsafe]
        lengths = [len(one.row.response) for one in some]
        axis.scatter(lengths, [one.first.overall for one in some], s=16, c=colour, label=name)
    axis.set_xlabel("characters of the response")
    axis.set_ylabel("overall score")
    axis.legend(frameon=False, fontsize=8)
    return _svg(figure)


def retest(judged_N: Sequence[Retested], dimensions: Sequence[str]) -> str:
    """Second verdict against the first; equal ones lie on the diagonal."""
    figure, axes = plt.subplots(
        1,
        len(dimensions),
        figsize=(2.5 * len(dimensions), 2.7),
        layout="constrained",
        squeeze=False,
    )
    for axis, name in zip(axes[0], dimensions, strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        first = [one.first.scores[name] for one in judged_N]
        axis.scatter(first, [one.second.scores[name] for one in judged_N], s=12, c=TEAL, alpha=0.5)
        axis.axvline(PASS_MARK, color=GREY, linestyle=":", linewidth=1)
        axis.axhline(PASS_MARK, color=GREY, linestyle=":", linewidth=1)
        axis.set(title=name, xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="first")
    axes[0][0].set_ylabel("second")
    return _svg(figure)


def attacks(found: AttackFigures) -> str:
    """By kind, how many canaries were judged correctly and how many wrongly."""
    kinds = sorted(found.judged)
    height = 0.9 + 0.3 * len(kinds)
    figure, axis = plt.subplots(figsize=(7, height), layout="constrained")
    withstood = [found.withstood_of(kind) for kind in kinds]
    lost = [found.judged[kind] - held for kind, held in zip(kinds, withstood, strict=True)]
    axis.barh(kinds, withstood, color=TEAL, label="correct")
    axis.barh(kinds, lost, left=withstood, color=RED, label="wrong")
    axis.invert_yaxis()
    axis.set_xlabel("canaries")
    axis.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _bars(axis: plt.Axes, names: Sequence[str], estimates: Sequence[Estimate]) -> None:
    values = [estimate.value for estimate in estimates]
    # On few items the figure can lie just outside its percentile interval.
    below = [max(0.0, estimate.value - estimate.low) for estimate in estimates]
    above = [max(0.0, estimate.high - estimate.value) for estimate in estimates]
    axis.bar(names, values, color=TEAL, width=0.55)
    axis.errorbar(names, values, yerr=[below, above], fmt="none", color="black", capsize=3)


def _svg(figure: plt.Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg")
    plt.close(figure)
    return out.getvalue()
