"""What each stage of a pipeline changed on the same held-out rows, as figures with intervals.

Nothing here loads torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from galen import DISCLAIMER_EN
from trainer.evaluate.statistics import Interval, bootstrap, paired_bootstrap

LABELS = {
    "logprob": "log-probability a token",
    "preferred": "better answer preferred",
    "margin": "margin over the worse",
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A model's figures, and how they differ from those of the model that it started from."""

    name: str
    stage: str
    """Of the recipe; `start` for a model that no stage made."""
    parent: str | None
    weights: str
    """SHA-256 of the model's folder."""
    values: dict[str, list[float]]
    """The scores of each held-out row, by figure."""
    figures: dict[str, Interval]
    changes: dict[str, Interval]
    """Of the figures that both models have; a reward model's margin is on a scale of its own."""


def effect(
    name: str,
    stage: str,
    weights: str,
    values: Mapping[str, list[float]],
    parent: Effect | None,
    *,
    resamples: int,
    seed: int,
) -> Effect:
    """The figures of a model's scores, and the paired differences from its parent's."""
    same = [each for each in values if parent and each in parent.values]
    if stage == "reward":
        same = [each for each in same if each != "margin"]
    return Effect(
        name=name,
        stage=stage,
        parent=parent.name if parent else None,
        weights=weights,
        values=dict(values),
        figures={each: bootstrap(found, resamples, seed) for each, found in values.items()},
        changes={
            each: paired_bootstrap(parent.values[each], values[each], resamples, seed)
            for each in same
            if parent
        },
    )


def values_of(logprobs: list[float], margins: list[float]) -> dict[str, list[float]]:
    """The scores of each row by figure; of two equal answers each counts as half preferred."""
    preferred = [(margin > 0) + 0.5 * (margin == 0) for margin in margins]
    found = {"logprob": logprobs, "preferred": preferred, "margin": margins}
    return {name: values for name, values in found.items() if values}


def write(path: Path, pipeline: str, held_out: Mapping[str, str], effects: list[Effect]) -> None:
    """Write `pipeline.json`, whole or not at all."""
    facts = {
        "pipeline": pipeline,
        "held_out": dict(held_out),
        "effects": [asdict(each) for each in effects],
        "disclaimer": DISCLAIMER_EN,
    }
    draft = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")
    draft.replace(path)


def known_values(path: Path, held_out: Mapping[str, str]) -> dict[str, dict[str, list[float]]]:
    """The scores in `pipeline.json` by weights, if they are of the same held-out rows."""
    if not path.is_file():
        return {}
    facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if facts["held_out"] != held_out:
        return {}
    return {each["weights"]: each["values"] for each in facts["effects"]}


def summary(effects: list[Effect]) -> str:
    """What `galen run` prints."""
    head = f"{'model':<24}" + "".join(f"{label:>27}" for label in LABELS.values())
    rows = [
        f"{Path(each.name).name[:24]:<24}"
        + "".join(
            f"{text_of(name, each.figures[name]) if name in each.figures else '–':>27}"
            for name in LABELS
        )
        for each in effects
    ]
    return "\n".join(
        [head, *rows, "[95 % bootstrap intervals over the held-out rows]", DISCLAIMER_EN]
    )


def text_of(figure: str, interval: Interval, *, is_change: bool = False) -> str:
    """A figure with its interval, a share in per cent, its change in percentage points."""
    unit = "" if figure != "preferred" else " points" if is_change else " %"
    scale, digits = (100, 1) if unit else (1, 3)
    sign = "+" if is_change or figure == "margin" else ""
    bounds = (interval.mean, interval.low, interval.high)
    mean, low, high = (f"{scale * value:{sign}.{digits}f}" for value in bounds)
    return f"{mean}{unit} [{low}, {high}]"
