"""A replay as lines for the terminal, as a CSV file and as a plot. None holds a judged text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from matplotlib.figure import Figure

from galen import DISCLAIMER_EN
from galen.errors import InvalidInput
from judge.audit.replay import OBSTACLES, Replay, Replayed
from judge.teacher.mock_teacher import PROVIDER as MOCK

GREY, TEAL, RED = "#9aa5b1", "#0f766e", "#b91c1c"


def summary(replay: Replay, name: str) -> str:
    """What `galen judge replay` prints; `name` is the rubric that judges now."""
    judged, compared = replay.judgements, len(replay.compared)
    lines = [f"run {replay.run}, judged by {name}: {len(judged)} judgements, {compared} compared"]
    lines += _comparison(replay) if compared else ["No reward could be computed anew."]
    for obstacle, count in sorted(replay.obstacles.items()):
        lines.append(f"without a new reward: {count} ({OBSTACLES[obstacle]})")
    if differ := _count(judged, "rules_changed"):
        lines.append(
            f"The rules' code has changed since: it finds something different in {differ} answers, "
            "so not every difference comes from the rubric."
        )
    if any(one.provider == MOCK for one in judged):
        lines.append("The teacher was a mock: this shows how the rubric works, nothing more.")
    return "\n".join([*lines, DISCLAIMER_EN])


def _comparison(replay: Replay) -> list[str]:
    judged, (then, now) = replay.judgements, replay.figures()
    lines = [
        f"{'':<24}{'then':>10}{'now':>10}",
        f"{'mean reward':<24}{then.mean:>+10.4f}{now.mean:>+10.4f}",
        f"{'flagged':<24}{_count(judged, 'flagged_then'):>10}{_count(judged, 'flagged_now'):>10}",
        f"{'gated by the teacher':<24}{'':>10}{_count(judged, 'gated_now'):>10}",
        f"Spearman's correlation of the rewards: {replay.correlation():+.4f}",
        f"changed: {replay.changes} of {len(replay.compared)}; changed sign: {replay.sign_changes}",
    ]
    if len(replay.compared) > 1:
        lines.insert(2, f"{'standard deviation':<24}{then.sd:>10.4f}{now.sd:>10.4f}")
    return lines


def write_csv(replay: Replay, path: Path) -> None:
    """One line for each judgement, in the order in which they were made."""
    with _replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in fields(Replayed)]
        rows = csv.writer(file)
        rows.writerow(names)
        for one in replay.judgements:
            values = (getattr(one, name) for name in names)
            rows.writerow("" if value is None else value for value in values)


def draw(replay: Replay, path: Path) -> None:
    """A PNG plot: each reward then against now, and both distributions."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    safe = [o for o in replay.judgements if o.now is not None and not o.flagged_now]
    flagged = [o for o in replay.judgements if o.now is not None and o.flagged_now]
    for some, colour, label in ((safe, TEAL, "not flagged"), (flagged, RED, "flagged")):
        left.scatter([o.then for o in some], [o.now for o in some], s=8, c=colour, label=label)
    left.axline((0, 0), slope=1, color=GREY, linestyle="--")
    left.set(xlabel="reward then", ylabel="reward now", title=f"{len(safe) + len(flagged)} answers")
    left.legend(loc="upper left", fontsize=8)
    for side, colour, label in ((0, GREY, "then"), (1, TEAL, "now")):
        rewards = [pair[side] for pair in replay.compared]
        right.hist(rewards, bins=30, histtype="step", color=colour, label=label)
    right.set(xlabel="reward", title="Distribution")
    right.legend(fontsize=8)
    with _replacing(path) as draft:
        figure.savefig(draft, dpi=120, format="png")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A draft that replaces `path` once it is complete. Raises `InvalidInput` if it cannot be
    written."""
    draft = path.with_name(f".{path.name}.partial")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _count(judgements: Sequence[Replayed], field: str) -> int:
    return sum(getattr(one, field) for one in judgements)
