"""Signs that a run goes wrong, each with a bound in the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.recipes import Alarms

LOW, HIGH = "below", "above"
_BOUNDS = (
    ("entropy", LOW, "entropy", "the policy hardly varies any more"),
    ("kl", LOW, "kl", "a KL is never so far below 0: engine, reference or masks are wrong"),
    ("repetition", HIGH, "repetition", "answers repeat themselves"),
    ("cut_off", HIGH, "cut_off_share", "answers do not end: raise `max_new_tokens`"),
    ("tokens", HIGH, "tokens_mean", "answers grow"),
    ("flat_groups", HIGH, "flat_groups", "most prompts teach nothing: all answers get one reward"),
    ("mismatch", HIGH, "mismatch_kl", "engine and trainer do not compute the same policy"),
)
"""The bound's name, on which side of it is trouble, the figure, and what it means."""


def raised(rows: Sequence[Mapping[str, Any]], bounds: Alarms) -> list[str]:
    """The alarms of the last of a run's rows, in words; the rows before it show what stands still.

    A figure that a row does not have raises none.
    """
    last = rows[-1]
    found = []
    for name, side, figure, meaning in _BOUNDS:
        bound, value = getattr(bounds, name), last.get(figure)
        if bound is None or value is None:
            continue
        if value < bound if side == LOW else value > bound:
            found.append(f"{figure} {value:.3g} is {side} {bound:g}: {meaning}")
    return found + _still(rows, bounds.still)


def _still(rows: Sequence[Mapping[str, Any]], batches: int | None) -> list[str]:
    """Rewards, or parts of them, that were the same in each of the last `batches` batches."""
    if batches is None or len(rows) < batches:
        return []
    recent = rows[-batches:]
    names = [name for name in rows[-1] if name.startswith("reward_") and name != "reward_std"]
    same = [name for name in names if len({row.get(name) for row in recent}) == 1]
    return [f"{name} has not moved for {batches} batches: it teaches nothing" for name in same]
