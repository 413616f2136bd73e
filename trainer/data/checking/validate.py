"""Every row of a file with what is wrong with it, and what of it can be kept."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galen.transcript import THINK_CLOSE
from trainer.data.checking.checks import check
from trainer.data.checking.duplicates import ExactDuplicates
from trainer.data.checking.mend import mend
from trainer.data.example import Example, Kind
from trainer.data.formats.format import Format
from trainer.data.problems import BadRow, Problem
from trainer.data.reader import LOOKED_AT, DataFile, as_kind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Check = Callable[[Example], None]
"""Raises `BadRow` for a row that must not be used."""


@dataclass(frozen=True, slots=True)
class Checked:
    place: str
    problem: Problem | None = None
    row: dict[str, Any] | None = None
    """The row to keep: as it was, or mended; None if it must be dropped."""
    changes: list[str] = field(default_factory=list)
    """What was mended; empty for a row that is kept as it was."""


def usual_kind(path: Path) -> Kind:
    """The kind of most rows at the beginning; a conversation if none can be read."""
    first = itertools.islice(DataFile(path).examples(), LOOKED_AT)
    kinds = Counter(each.kind for _, each in first if not isinstance(each, Problem))
    return kinds.most_common(1)[0][0] if kinds else "conversation"


def too_long(tokenizer: PreTrainedTokenizerBase, most: int) -> Check:
    """Refuses rows that make a sequence of more than `most` tokens by the model's template."""
    from trainer.data.tokens import sequences

    def check_length(example: Example) -> None:
        count = max((len(each.input_ids) for each in sequences(tokenizer, example)), default=0)
        if count > most:
            raise BadRow("", f"{count} tokens, more than {most}", "shorten it, or delete the row")

    return check_length


class Validator:
    """Checks files one after the other. A row that repeats one of any of them is bad."""

    def __init__(self, checks: Sequence[Check] = (), *, repeats_are_bad: bool = True) -> None:
        self._checks = (check, *checks)
        self._known = ExactDuplicates() if repeats_are_bad else None
        self.answers = 0
        """Clean conversations so far."""
        self.without_thought = 0
        """Those of them whose last answer has no thought before it."""
        self._files: list[tuple[int, DataFile]] = []
        self._latest = 0

    def rows(self, file: DataFile, kind: Kind) -> Iterator[Checked]:
        """Every row of the file, which is wanted as `kind`."""
        before = self._latest
        self._files.append((before, file))
        for place, row, example in file.entries():
            if isinstance(example, Problem):
                yield Checked(place, example)
                continue
            self._latest = before + int(place.split()[-1])
            try:
                self._check(example, kind)
            except BadRow as error:
                yield self._mended(place, error.at(place), file.format_of(row), example, kind)
                continue
            yield Checked(place, row=row)

    def _mended(
        self, place: str, problem: Problem, form: Format, example: Example, kind: Kind
    ) -> Checked:
        mended, changes = mend(example, kind)
        if not changes:
            return Checked(place, problem)
        try:
            self._check(mended, kind)
            return Checked(place, problem, form.write(mended), changes)
        except BadRow:
            return Checked(place, problem)

    def _check(self, example: Example, kind: Kind) -> None:
        for each in self._checks:
            each(example)
        as_kind(example, kind)
        if self._known and (key := self._known.seen(self._latest, _content(example))):
            raise BadRow("", f"the same as {self._named(key)}", "delete one of them")
        if example.kind == "conversation" and kind == "conversation":
            self.answers += 1
            self.without_thought += THINK_CLOSE not in (example.answer or "")

    def _named(self, key: int) -> str:
        before, file = self._files[bisect_left(self._files, key, key=lambda each: each[0]) - 1]
        unit = "row" if file.form.container in ("CSV", "TSV", "Parquet") else "line"
        elsewhere = "" if file is self._files[-1][1] else f" of {file.path}"
        return f"{unit} {key - before}{elsewhere}"


def _content(example: Example) -> str:
    """All that is learnt from."""
    said = [(each.role, each.content) for each in example.messages]
    answers = (example.chosen, example.rejected, example.completion, example.liked)
    return repr((said, answers, example.text))
