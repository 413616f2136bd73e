"""The one door for data: any file of any format as examples of the kind that is wanted.

What a file was taken for is told by `describe`. A row that does not fit is a `Problem`; `read`
collects all of them and refuses the file, so that nothing is dropped without a word.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from galen.errors import DataError
from trainer.data import formats
from trainer.data.checking.checks import check
from trainer.data.example import Example, Kind, Message
from trainer.data.files import FileForm, form_of, read_rows
from trainer.data.formats import alpaca
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow, Problem

log = logging.getLogger(__name__)

LOOKED_AT = 200
"""Rows that decide whether a file has one instruction for all."""

T = TypeVar("T")


class DataFile:
    """A file of rows. Raises `InvalidInput` for a path that cannot be read."""

    def __init__(self, path: Path, format: Format | None = None) -> None:
        """`format` reads every row; without it each row is recognised by its columns."""
        self.path = path
        self.form: FileForm = form_of(path)
        self.found: Counter[str] = Counter()
        """Rows by format, as far as the file was read."""
        self._format = format
        self.one_instruction = format is None and self._has_one_instruction()
        """Whether all rows have the same, which makes it a system message."""

    def examples(self, kind: Kind | None = None) -> Iterator[tuple[str, Example | Problem]]:
        """Every row with its place, as an example of `kind`, or as what it is."""
        for place, _, example in self.entries(kind):
            yield place, example

    def entries(
        self, kind: Kind | None = None
    ) -> Iterator[tuple[str, dict[str, Any], Example | Problem]]:
        """As `examples`, with the row itself between place and example."""
        self.found.clear()
        for place, row in read_rows(self.path, self.form):
            if isinstance(row, Problem):
                yield place, {}, row
                continue
            try:
                found = self.format_of(row)
                self.found[found.name] += 1
                example = found.read(row)
                yield place, row, as_kind(example, kind) if kind else example
            except BadRow as error:
                yield place, row, error.at(place)

    def describe(self) -> str:
        """Such as `alpaca, JSON lines, UTF-8`, after reading."""
        names = ", ".join(
            name if len(self.found) == 1 else f"{count} {name}"
            for name, count in self.found.most_common()
        )
        return f"{names or 'no rows'}; {self.form}"

    def format_of(self, row: dict[str, Any]) -> Format:
        """The format that reads and writes this row. Raises `BadRow` if none does."""
        found = self._format or formats.recognise(row)
        return alpaca.ROWS if found is alpaca.ALPACA and self.one_instruction else found

    def _has_one_instruction(self) -> bool:
        """Whether the rows at the beginning have one and the same, and inputs of their own."""
        first = itertools.islice(read_rows(self.path, self.form), LOOKED_AT)
        rows = [row for _, row in first if not isinstance(row, Problem)]
        with_both = [row for row in rows if row.get("instruction") and row.get("input")]
        instructions = {str(row["instruction"]) for row in with_both}
        return len(instructions) == 1 and len(with_both) == len(rows)


def read(paths: Sequence[Path], kind: Kind | None, use: Callable[[Example], T]) -> list[T]:
    """What `use` makes of each example, in the files' order; `use` raises `BadRow` to refuse one,
    and so does `trainer.data.checking.checks` for one that cannot be meant.

    Raises `DataError`, which names every bad row of the first file that has one.
    """
    return [made for path in paths for made in _read(path, kind, lambda _, example: use(example))]


def read_with_rows(path: Path, kind: Kind) -> list[tuple[dict[str, Any], Example]]:
    """Every row as it stands in the file, and what it means. Raises `DataError` as `read` does."""
    return _read(path, kind, lambda row, example: (row, example))


def _read(path: Path, kind: Kind | None, use: Callable[[dict[str, Any], Example], T]) -> list[T]:
    made: list[T] = []
    problems: list[Problem] = []
    file = DataFile(path)
    for place, row, example in file.entries(kind):
        if isinstance(example, Problem):
            problems.append(example)
            continue
        try:
            check(example)
            made.append(use(row, example))
        except BadRow as error:
            problems.append(error.at(place))
    log.info("%s: %s", path, file.describe())
    if problems or not made:
        raise DataError(path, [str(problem) for problem in problems] or ["the file has no rows"])
    return made


def as_kind(example: Example, kind: Kind) -> Example:
    """The example as `kind`, where that loses only the answer. Raises `BadRow` if it cannot be."""
    if kind == "prompt":
        return _as_prompt(example)
    if example.kind == kind:
        return example
    raise BadRow("", _CANNOT[kind], _TO[kind])


def _as_prompt(example: Example) -> Example:
    if example.text is not None:
        return replace(example, text=None, messages=(Message("user", example.text),))
    messages = example.prompt
    if not messages or messages[-1].role != "user":
        raise BadRow(
            "", "does not end with a question", "end the conversation with the user's turn"
        )
    return replace(
        example, messages=messages, chosen=None, rejected=None, completion=None, liked=None
    )


_CANNOT: dict[Kind, str] = {
    "conversation": "has no answer to learn from",
    "prompt": "has no question",
    "preference": "has no better and worse answer",
    "unpaired": "has no vote",
    "document": "is no plain text",
}
_TO: dict[Kind, str] = {
    "conversation": "end it with an answer, or delete the row",
    "prompt": "end it with a question, or delete the row",
    "preference": "pairs come from galen data votes, or from files with chosen and rejected",
    "unpaired": "name prompt, completion and label",
    "document": "use a text file, or rows with `text`",
}
