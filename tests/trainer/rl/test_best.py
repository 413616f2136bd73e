"""Laws of the best version of a run."""

from __future__ import annotations

from pathlib import Path

from trainer.rl.best import Best, BestVersion


def test_the_best_is_kept_across_a_resume(tmp_path: Path) -> None:
    """A worse one later changes nothing; the file is what a new process finds."""
    best = BestVersion(tmp_path)
    assert best.now is None
    for version, score in (("a", 0.1), ("b", 0.4), ("c", 0.2)):
        best.consider(Best(version, 1, score, "reward_mean"))
    assert BestVersion(tmp_path).now == Best("b", 1, 0.4, "reward_mean")


def test_scores_of_two_kinds_are_not_compared(tmp_path: Path) -> None:
    """A recipe that now has held-out questions starts anew."""
    best = BestVersion(tmp_path)
    best.consider(Best("a", 1, 0.9, "reward_mean"))
    best.consider(Best("b", 2, 0.2, "held_out_reward"))
    assert best.now == Best("b", 2, 0.2, "held_out_reward")
