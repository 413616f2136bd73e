"""A comparison's report: lines for the terminal, a JSON file and a plot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from galen import DISCLAIMER_EN
from trainer.evaluate.statistics import Interval

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen before

GREY, TEAL = "#9aa5b1", "#0f766e"


@dataclass(frozen=True, slots=True)
class Side:
    """One policy's results on P held-out prompts; `rewards_P` has each prompt's mean reward."""

    name: str
    rewards_P: list[float]
    violations_P: list[float]
    """Share of each prompt's completions that hit a safety rule."""
    completions: int
    failed: int

    @property
    def reward(self) -> float:
        return sum(self.rewards_P) / len(self.rewards_P)

    @property
    def violation_rate(self) -> float:
        return sum(self.violations_P) / len(self.violations_P)


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """The results of a comparison; differences are candidate − baseline."""

    folder: Path
    baseline: Side
    candidate: Side
    reward_difference: Interval
    violation_difference: Interval
    wins: int
    ties: int
    losses: int
    rubric: str
    rubric_sha256: str
    provider: str

    def summary(self) -> str:
        """What `galen compare` prints."""
        b, c = self.baseline, self.candidate
        lines = [
            f"{'policy':<28}{'mean reward':>12}{'violations':>12}{'judged':>9}{'failed':>8}",
            *(
                f"{s.name:<28}{s.reward:>+12.3f}{s.violation_rate:>12.1%}"
                f"{s.completions - s.failed:>9}{s.failed:>8}"
                for s in (b, c)
            ),
            f"reward difference      {self.reward_difference}  (95 % paired bootstrap interval)",
            f"violation difference   {self.violation_difference}",
            f"prompts won/tied/lost  {self.wins}/{self.ties}/{self.losses}",
            f"judge: {self.provider}, rubric {self.rubric} ({self.rubric_sha256[:12]})",
        ]
        if self.provider == "mock":
            lines.append("The teacher is a mock: this only shows that the loop learns.")
        return "\n".join([*lines, DISCLAIMER_EN])

    def write(self) -> None:
        """Write `comparison.json` and `comparison.png` into the run's folder."""
        facts = {
            "baseline": _facts(self.baseline),
            "candidate": _facts(self.candidate),
            "reward_difference": _interval(self.reward_difference),
            "violation_difference": _interval(self.violation_difference),
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
            "prompts": len(self.baseline.rewards_P),
            "rubric": self.rubric,
            "rubric_sha256": self.rubric_sha256,
            "provider": self.provider,
        }
        path = self.folder / "comparison.json"
        path.write_text(json.dumps(facts, indent=2, ensure_ascii=False), "utf-8")
        self._draw(self.folder / "comparison.png")

    def _draw(self, path: Path) -> None:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
        sides = (self.baseline, self.candidate)
        left.boxplot([s.rewards_P for s in sides], widths=0.5, showmeans=True)
        left.set_xticks([1, 2], ["baseline", "candidate"])
        left.set_title("Reward by prompt")
        bars = middle.bar(
            ["baseline", "candidate"], [100 * s.violation_rate for s in sides], color=[GREY, TEAL]
        )
        middle.bar_label(bars, fmt="%.1f %%")
        middle.set_title("Safety violations, % of answers")
        d = self.reward_difference
        right.errorbar(
            [d.mean], [0], xerr=[[d.mean - d.low], [d.high - d.mean]], fmt="o", color=TEAL
        )
        right.axvline(0, color=GREY, linestyle="--")
        right.set_yticks([])
        right.set_title("Reward difference, 95 % interval")
        note = " · mock teacher: a rehearsal" if self.provider == "mock" else ""
        figure.suptitle(f"{self.baseline.name} → {self.candidate.name}{note}", fontsize=10)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def _facts(side: Side) -> dict[str, object]:
    return {
        "version": side.name,
        "reward_mean": side.reward,
        "violation_rate": side.violation_rate,
        "completions": side.completions,
        "failed": side.failed,
        "reward_by_prompt": side.rewards_P,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
