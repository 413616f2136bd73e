"""Answers to all rows of a file, kept as they come: a command that was stopped goes on from there.

They lie in `<out>.partial` until `<out>` can be written whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from galen.errors import Conflict, GalenError
from galen.journal import Journal, OtherWork

Answer = Callable[[int], Awaitable[tuple[bool, dict[str, Any]]]]
"""Gives a row's result by its index, and whether that is final."""


def open_kept(out: Path, title: str, size: int) -> Journal:
    """The results so far of `size` rows. `title` says which rows and options they belong to.

    Raises `Conflict` if `out` is there already or the results belong to other rows or options.
    """
    partial = out.with_name(f"{out.name}.partial")
    if out.exists() and not partial.exists():
        raise Conflict(f"{out} is there already; name another file, or delete it")
    try:
        return Journal(partial, title, size)
    except OtherWork:
        raise Conflict(
            f"{partial} holds answers to another input or under other options; use the same as "
            "before, or delete it to start over"
        ) from None


async def fill(
    journal: Journal, answer: Answer, concurrency: int, on_row: Callable[[], None]
) -> None:
    """Get every result that is not final yet, at most `concurrency` at once.

    Raises the first `GalenError` of `answer`: nothing more is asked after it.
    """
    missing = iter([n for n in range(journal.size) if not journal.is_good(n)])

    async def work() -> None:
        for index in missing:
            final, result = await answer(index)
            journal.put(index, final, result)
            on_row()

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except* GalenError as failures:
        raise failures.exceptions[0] from None


def close(journal: Journal) -> None:
    """Close it; one without any result leaves no file."""
    journal.close()
    if not journal.good + journal.failed:
        journal.path.unlink()
