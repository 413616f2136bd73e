"""What run folders tell of past runs. Nothing here loads torch."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galen.errors import NotFound
from galen.settings import read_yaml

SHOWN = ("eval_loss", "eval_accuracy", "eval_margin", "eval_rewards/margins", "loss", "reward_mean")
"""The figures of a list, the first three of them that a run has."""


@dataclass(frozen=True, slots=True)
class RunCard:
    """A run in a list. `parent` is the run, or the model's folder, that it started from."""

    name: str
    folder: Path
    stage: str
    parent: str | None
    status: str
    figures: dict[str, float]
    facts: list[tuple[str, str]]


def cards(runs: Path) -> list[RunCard]:
    """All runs in a folder, the oldest first."""
    found = sorted(runs.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    return [card(path.parent) for path in found]


def card(folder: Path) -> RunCard:
    """One run. Raises `NotFound` with the nearest name."""
    if not (folder / "manifest.json").is_file():
        known = [path.parent.name for path in folder.parent.glob("*/manifest.json")]
        near = difflib.get_close_matches(folder.name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"{folder.parent} has none of that name"
        raise NotFound(f"{folder.name}: no such run; {hint}")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    recipe = read_yaml(folder / "recipe.yaml")
    last = {**_last_row(folder), **manifest.get("figures", {})}
    names = [name for name in SHOWN if isinstance(last.get(name), float)][:3]
    model = recipe.get("model")
    return RunCard(
        name=folder.name,
        folder=folder,
        stage=str(recipe["stage"]),
        parent=manifest.get("parent") or (str(model) if model else None),
        status=_status(folder, manifest),
        figures={name: last[name] for name in names},
        facts=list(_facts(folder, manifest)),
    )


def curve(folder: Path, name: str) -> list[float]:
    """A figure of metrics.jsonl over the run."""
    values = [row.get(name) for row in rows(folder)]
    return [value for value in values if isinstance(value, int | float) and math.isfinite(value)]


def worst_completions(folder: Path, most: int) -> list[dict[str, Any]]:
    """Of the run's last file of completions, those with the lowest reward."""
    files = sorted((folder / "completions").glob("*.jsonl"))
    lines = files[-1].read_text("utf-8").splitlines() if files else []
    rows = [json.loads(line) for line in lines]
    judged = [row for row in rows if row.get("reward") is not None]
    return sorted(judged, key=lambda row: float(row["reward"]))[:most]


def parent_of(model: Path | None) -> str | None:
    """The run that a model's folder lies in, or None."""
    for folder in model.resolve().parents if model else ():
        if (folder / "manifest.json").is_file() and (folder / "recipe.yaml").is_file():
            return folder.name
    return None


def _status(folder: Path, manifest: dict[str, Any]) -> str:
    if manifest.get("finished"):
        return "finished"
    saved = [path.name.rpartition("-")[2] for path in (folder / "checkpoints").glob("checkpoint-*")]
    steps = [int(step) for step in saved if step.isdecimal()]
    return f"stopped at step {max(steps)}" if steps else "not begun"


def alarms(folder: Path) -> list[str]:
    """The run's alarms, one for each figure: in which batches, and the last in words."""
    found: dict[str, list[tuple[Any, str]]] = {}
    for row in rows(folder):
        for words in filter(None, str(row.get("alarm", "")).split("; ")):
            found.setdefault(words.split()[0], []).append((row.get("batch"), words))
    return [_in_words(raised) for raised in found.values()]


def _in_words(raised: list[tuple[Any, str]]) -> str:
    (first, _), (last, words) = raised[0], raised[-1]
    when = f"batch {first}" if first == last else f"{len(raised)} batches, {first} to {last}"
    return f"{when}: {words}"


def _facts(folder: Path, manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, sha256 in manifest.get("data", {}).items():
        yield "data", f"{path} ({sha256[:12]})"
    if steps := manifest.get("steps"):
        seconds = manifest.get("seconds")
        yield "steps", f"{steps}" + (f" in {seconds:.0f} s" if seconds else "")
    if version := manifest.get("version"):
        score = manifest.get("held_out_reward")
        scored = "" if score is None else f", held_out_reward {score:+.3f}"
        yield "version" if score is None else "last version", f"{version}{scored}"
    if (folder / "best.json").is_file():
        best = json.loads((folder / "best.json").read_text("utf-8"))
        learnt = f"batches learnt: {best['batch']}"
        yield "best version", f"{best['version']}, {best['by']} {best['score']:+.3f}, {learnt}"
    packages = manifest.get("packages", {})
    commit = manifest.get("commit")
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield "made by", f"{versions}; commit {commit[:12] if commit else 'unknown'}"


def rows(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl."""
    path = folder / "metrics.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _last_row(folder: Path) -> dict[str, Any]:
    """The last value of each figure."""
    merged: dict[str, Any] = {}
    for row in rows(folder):
        merged |= row
    return merged
