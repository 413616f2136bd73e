"""Files into a folder of train, dev, test, gold and red team."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trainer.data import reader, tag
from trainer.data.example import Example
from trainer.data.formats import alpaca
from trainer.data.output import Write, writing
from trainer.data.problems import BadRow, Problem
from trainer.data.reader import DataFile
from trainer.data.split.assign import assign
from trainer.data.split.contamination import Contamination
from trainer.data.split.gold import Gold

Read = tuple[Path, str, Example | Problem]


@dataclass
class Report:
    parts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By part, then by risk level."""
    contaminated: Counter[str] = field(default_factory=Counter)
    """Rows left out, by the test set that they share a run with."""
    problems: list[str] = field(default_factory=list)


def split_files(
    files: Sequence[Path], folder: Path, against: Sequence[Path] = (), gold: int = 100
) -> Report:
    """Write the parts that have rows, and `contamination.jsonl` if a test set was hit.

    Rows without meta get it by rules. The files are read twice; no row stays in memory but gold.
    """
    report = Report()
    tests = {
        path.stem: reader.read([path], "prompt", lambda example: tag.asked(example))
        for path in against
    }
    clean = _clean(files, folder, Contamination(tests), report)
    parts = assign(example for is_clean, example in zip(clean, _rows(files), strict=True)
                   if is_clean)  # fmt: skip
    best, left = Gold(gold), iter(parts)
    with ExitStack() as stack:
        write: dict[str, Write] = {}
        for is_clean, example in zip(clean, _rows(files), strict=True):
            if not is_clean:
                continue
            part, row = next(left), alpaca.ROWS.write(example)
            if part not in write:
                write[part] = stack.enter_context(writing(folder / f"{part}.jsonl"))
            write[part](row)
            report.parts[part][row["meta"]["risk_level"]] += 1
            if part in ("dev", "test"):
                best.show(example, row)
    _write_gold(best.best(), folder, report)
    return report


def tagged(files: Sequence[Path]) -> Iterator[Read]:
    """Every row with its file and place; rows without meta get it."""
    for path in files:
        for place, example in DataFile(path).examples():
            if isinstance(example, Problem):
                yield path, place, example
                continue
            try:
                full = replace(example, meta=tag.meta(example, path.stem)[0])
                alpaca.ROWS.write(full)
            except BadRow as error:
                yield path, place, error.at(place)
            else:
                yield path, place, full


def _rows(files: Sequence[Path]) -> Iterator[Example]:
    return (row for _, _, row in tagged(files) if isinstance(row, Example))


def _clean(files: Sequence[Path], folder: Path, found: Contamination, report: Report) -> list[bool]:
    """For each readable row whether it shares nothing with the test sets; the hits on disk."""
    clean: list[bool] = []
    with writing(folder / "contamination.jsonl") as write:
        for path, place, row in tagged(files):
            if isinstance(row, Problem):
                report.problems.append(f"{path}: {row}")
                continue
            hits = found.hits(row)
            clean.append(not hits)
            report.contaminated.update({hit.test_set for hit in hits})
            for hit in hits:
                write({"file": path.name, "place": place, **asdict(hit)})
    if all(clean):
        (folder / "contamination.jsonl").unlink()
    return clean


def _write_gold(rows: list[dict[str, Any]], folder: Path, report: Report) -> None:
    if rows:
        with writing(folder / "gold.jsonl") as write:
            for row in rows:
                write(row)
                report.parts["gold"][row["meta"]["risk_level"]] += 1
