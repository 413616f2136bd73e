"""Progress output: one line for each step, with its duration; a bar for rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.status import Status
from rich.text import Text

Say = Callable[[str], None]
"""Shows a detail of the running step, on a terminal only."""


class Progress:
    """Prints the steps of one command. A terminal shows a spinner and the time of the running
    step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, name: str) -> Iterator[Say]:
        """Show a step while the block runs, then its duration and whether it failed."""
        started = time.monotonic()
        try:
            if self._console.is_terminal:
                with self._console.status(escape(name)) as status:
                    yield self._live(name, status, started)
            else:
                yield lambda detail: None
        except BaseException:
            self._line("✗", "red", name, started)
            raise
        self._line("✓", "green", name, started)

    def note(self, name: str, remark: str) -> None:
        """A line for a step that had nothing to do."""
        self._console.print(f"  [green]✓[/] {escape(name):<28} {escape(remark)}")

    def _live(self, name: str, status: Status, started: float) -> Say:
        def say(detail: str) -> None:
            room = max(self._console.width - 48, 0)
            seconds = time.monotonic() - started
            status.update(f"{escape(name):<28} {seconds:4.0f} s  [dim]{escape(detail[:room])}[/]")

        return say

    def _line(self, sign: str, colour: str, name: str, started: float) -> None:
        seconds = time.monotonic() - started
        self._console.print(f"  [{colour}]{sign}[/] {escape(name):<28} {seconds:4.0f} s")


@contextmanager
def rows_bar(console: Console) -> Iterator[Bar]:
    """Rows done, rows a second, the time left, and the task's description; only a terminal shows
    it."""
    told = TextColumn("{task.description}")
    columns = (BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn(), told)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        yield bar


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f} rows/s" if task.speed else "")
