"""Sources of data into training sets: `galen data prepare`.

    sources → read, checked, cleaned, de-identified, tagged → no repetitions → mixed → split → files

Between the steps the rows lie on disk. In memory is what finds repetitions, under 2 KB a row. Rows
that are left out are counted by reason and named, one a line, in `dropped.jsonl`.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from galen import digest, disk
from galen.errors import GalenError, InvalidInput
from trainer.data import formats, reader, rl_prompts, sources, tag
from trainer.data.checking.duplicates import ExactDuplicates
from trainer.data.example import Example
from trainer.data.files import read_rows
from trainer.data.output import Write, writing
from trainer.data.preparing import mix
from trainer.data.preparing.clean import NearDuplicates
from trainer.data.preparing.refine import WRITTEN_AS, Batch, Refined, Refinery, format_of
from trainer.data.reader import DataFile
from trainer.data.rl_prompts import Chosen
from trainer.data.split import Gold, assign
from trainer.data.split.assign import content_key
from trainer.recipes.data import DataRecipe

BATCH = 500
"""Rows that a worker process gets at once."""
WORKERS = 2
AHEAD = 4
"""Batches under way for each worker."""
PARTS = ("train", "dev", "test", "red_team")

Say = Callable[[str, int], None]
"""Shows the step and the rows done."""


@dataclass
class Outcome:
    """What was done, for the card and for the command's last words."""

    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Each source's files with their checksums."""
    read: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By source, then by reason."""
    masked: Counter[str] = field(default_factory=Counter)
    parts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By part, then by risk level."""
    mixed: Counter[str] = field(default_factory=Counter)
    """Rows of each source in the finished files."""
    rl_prompts: Chosen | None = None
    written: dict[str, str] = field(default_factory=dict)
    """Finished files and their checksums."""


def prepare(recipe: DataRecipe, say: Say = lambda step, rows: None) -> Outcome:
    """Make the files of `recipe.out`. They appear together, once all are whole.

    Raises `DataError` or `InvalidInput` for files that are missing, all in one message, before
    anything is read.
    """
    files = _files(recipe)
    outcome = Outcome()
    draft = recipe.out.with_name(f".{recipe.out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        with disk.room():
            keys = _refine(recipe, files, draft, outcome, say)
            taken = mix.chosen(*keys, recipe.sources, recipe.seed)
            for number, each in enumerate(recipe.sources):
                outcome.mixed[each.source] = int((taken & (keys[0] == number)).sum())
            _split(recipe, draft, taken, outcome, say)
            (draft / "kept.jsonl").unlink()
            _publish(draft, recipe.out, outcome)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return outcome


def _files(recipe: DataRecipe) -> list[tuple[str, list[Path]]]:
    """Every source's files. All that is missing is named in one message."""
    found, problems = [], []
    needed = [*recipe.decontaminate, *([recipe.red_team] if recipe.red_team else [])]
    for path in needed:
        if not path.is_file():
            problems.append(f"{path}: no such file")
    for each in recipe.sources:
        try:
            if each.path is None:
                paths = sources.get(each.source).download(recipe.hub)
            elif each.path.is_file():
                paths = [each.path]
            else:
                raise InvalidInput(f"{each.source}: no file {each.path}")
            found.append((each.source, paths))
        except GalenError as error:
            problems.append(error.message)
    if problems:
        raise InvalidInput("data that is missing:\n" + "\n".join(f"  {each}" for each in problems))
    return found


def _refine(
    recipe: DataRecipe,
    files: list[tuple[str, list[Path]]],
    draft: Path,
    outcome: Outcome,
    say: Say,
) -> tuple[np.ndarray, np.ndarray]:
    """Write every row that is kept to `kept.jsonl`; each one's source and hash, in that order."""
    exact = ExactDuplicates()
    near = NearDuplicates(recipe.near_duplicates) if recipe.near_duplicates else None
    numbers = {source: number for number, (source, _) in enumerate(files)}
    source_N, hash_N = array("B"), array("Q")
    with ExitStack() as stack:
        keep = stack.enter_context(writing(draft / "kept.jsonl"))
        drop = stack.enter_context(writing(draft / "dropped.jsonl"))
        results = _in_processes(recipe, _batches(files, outcome))
        for done, (batch, result) in enumerate(results, start=1):
            outcome.read[batch.source] += 1
            reason = result.reason or _repeats(done, result.text, exact, near)
            if reason:
                outcome.dropped[batch.source][reason] += 1
                drop(_named(batch, result, reason))
            else:
                outcome.masked += result.masked
                keep(result.row)
                source_N.append(numbers[batch.source])
                hash_N.append(content_key(_example(recipe, result.row)))
            if done % BATCH == 0:
                say("reading and cleaning", done)
    empty = [
        f"{source}: none of {outcome.read[source]:,} rows is left ({_reasons(outcome, source)})"
        for source in numbers
        if numbers[source] not in source_N
    ]
    if empty:
        raise InvalidInput("\n".join(empty))
    return np.array(source_N, np.int64), np.array(hash_N, np.uint64)


def _repeats(key: int, text: str, exact: ExactDuplicates, near: NearDuplicates | None) -> str:
    if exact.seen(key, text) is not None:
        return "a copy"
    return "nearly a copy" if near and near.seen(key, text) is not None else ""


def _named(batch: Batch, result: Refined, reason: str) -> dict[str, str]:
    """A dropped row's place and reason, without its words."""
    named = {"source": batch.source, "file": batch.file.name, "place": result.place}
    return {**named, "reason": reason, **({"detail": result.detail} if result.detail else {})}


def _batches(files: list[tuple[str, list[Path]]], outcome: Outcome) -> Iterator[Batch]:
    for source, paths in files:
        outcome.files[source] = tuple(f"{path.name} {digest.of_file(path)}" for path in paths)
        for path in paths:
            file = DataFile(path)
            rows = read_rows(path, file.form)
            while batch := list(itertools.islice(rows, BATCH)):
                yield Batch(source, path, batch, format_of(source, file))


_refinery: Refinery | None = None
"""Of a worker process."""


def _begin(recipe: DataRecipe) -> None:
    global _refinery
    _refinery = Refinery(recipe)


def _work(batch: Batch) -> list[Refined]:
    assert _refinery is not None
    return _refinery.refine(batch)


def _in_processes(recipe: DataRecipe, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Refined]]:
    """Every row's result in the order of the files; few batches are under way at a time."""
    workers = min(WORKERS, os.cpu_count() or 1)
    waiting: deque[tuple[Batch, Any]] = deque()
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (recipe,)) as pool:
        for batch in batches:
            waiting.append((batch, pool.apply_async(_work, (batch,))))
            if len(waiting) >= AHEAD * workers:
                yield from _results(*waiting.popleft())
        while waiting:
            yield from _results(*waiting.popleft())


def _results(batch: Batch, pending: Any) -> Iterator[tuple[Batch, Refined]]:
    for result in pending.get():
        yield batch, result


def _example(recipe: DataRecipe, row: dict[str, Any]) -> Example:
    return formats.BY_NAME[WRITTEN_AS[recipe.kind]].read(row)


def _taken(
    recipe: DataRecipe, draft: Path, taken_N: np.ndarray
) -> Iterator[tuple[dict[str, Any], Example]]:
    with (draft / "kept.jsonl").open(encoding="utf-8") as file:
        for line, is_taken in zip(file, taken_N, strict=True):
            if is_taken:
                row = json.loads(line)
                yield row, _example(recipe, row)


def _split(
    recipe: DataRecipe, draft: Path, taken_N: np.ndarray, outcome: Outcome, say: Say
) -> None:
    """Write train, dev, test and gold, and the red team apart."""
    shares = (recipe.splits.train, recipe.splits.dev, recipe.splits.test)
    say("splitting", 0)
    parts = assign((example for _, example in _taken(recipe, draft, taken_N)), shares)
    gold, chooser = Gold(recipe.gold), rl_prompts.Chooser(recipe.rl_prompts)
    red: list[Example] = []
    with ExitStack() as stack:
        write: dict[str, Write] = {}
        rows = _taken(recipe, draft, taken_N)
        for done, (part, (row, example)) in enumerate(zip(parts, rows, strict=True), start=1):
            if part not in write:
                write[part] = stack.enter_context(writing(draft / f"{part}.jsonl"))
            write[part](row)
            outcome.parts[part][str(example.meta.get("risk_level"))] += 1
            if part in ("dev", "test"):
                gold.show(example, row)
            elif example.meta.get("safety_concern"):
                red.append(example)
            elif recipe.rl_prompts:
                chooser.show(example)
            if done % BATCH == 0:
                say("writing", done)
    if recipe.rl_prompts:
        outcome.rl_prompts = _choose_prompts(recipe, draft, chooser, red)
    if best := gold.best():
        with writing(draft / "gold.jsonl") as write_gold:
            for row in best:
                write_gold(row)
                outcome.parts["gold"][str(row["meta"]["risk_level"])] += 1


def _choose_prompts(
    recipe: DataRecipe, draft: Path, chooser: rl_prompts.Chooser, red: list[Example]
) -> Chosen:
    """Write the RL prompts and their picture. `red` are the sources' own red-team rows."""
    if recipe.red_team:
        found = reader.read([recipe.red_team], "prompt", lambda example: example)
        red += [replace(each, meta=tag.meta(each, recipe.red_team.stem)[0]) for each in found]
    chosen = chooser.choose(red)
    with writing(draft / "rl_prompts.jsonl") as write:
        for row in chosen.rows:
            write(row)
    rl_prompts.draw(chosen, draft / "rl_prompts.png")
    return chosen


def _publish(draft: Path, out: Path, outcome: Outcome) -> None:
    """Move the finished files to their place; other files there stay."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(draft.iterdir()):
        outcome.written[path.name] = digest.of_file(path)
        path.replace(out / path.name)


def _reasons(outcome: Outcome, source: str) -> str:
    reasons = outcome.dropped[source].most_common()
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons)
