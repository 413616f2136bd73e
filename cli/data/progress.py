"""A bar for whatever takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from cli.progress import rows_bar
from trainer.data.reader import DataFile

PATIENCE_S = 2.0
EVERY = 256
"""Rows between two looks at the clock."""
PIECE = 1 << 20

T = TypeVar("T")


def followed(file: DataFile, rows: Iterable[T]) -> Iterator[T]:
    """The rows as they come. A terminal shows rows done, rows a second and the time left."""
    from rich.console import Console

    started, bar, task = time.monotonic(), None, None
    with ExitStack() as stack:
        for done, row in enumerate(rows, start=1):
            yield row
            if done % EVERY:
                continue
            if bar is None and time.monotonic() - started > PATIENCE_S:
                bar = stack.enter_context(rows_bar(Console(stderr=True, highlight=False)))
                task = bar.add_task("", total=_count(file))
            if bar is not None and task is not None:
                bar.update(task, completed=done)


def _count(file: DataFile) -> int | None:
    """The number of rows, where that is known without parsing them."""
    if file.form.container == "Parquet":
        from pyarrow.parquet import read_metadata

        return int(read_metadata(file.path).num_rows)
    if file.form.container == "JSON array":
        return None
    with file.path.open("rb") as opened:
        return sum(piece.count(b"\n") for piece in iter(lambda: opened.read(PIECE), b""))
