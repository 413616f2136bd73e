"""What happens to one row on its way into a training set: read, checked, cleaned, tagged.

Runs in worker processes, batch by batch. Every row comes back, kept or with the reason why not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainer.data import formats, sources, tag
from trainer.data.checking.checks import check, texts
from trainer.data.deidentify import Surrogates, deidentify
from trainer.data.example import Example, Kind, Message
from trainer.data.formats.format import Format
from trainer.data.preparing import clean
from trainer.data.problems import BadRow, Problem
from trainer.data.reader import DataFile, as_kind
from trainer.data.split import Contamination
from trainer.recipes.data import DataRecipe

WRITTEN_AS: dict[Kind, str] = {
    "conversation": "rows",
    "prompt": "rows",
    "preference": "preference",
    "unpaired": "unpaired",
    "document": "text",
}
"""The format of the finished files."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one file, with their places."""

    source: str
    file: Path
    rows: list[tuple[str, dict[str, Any] | Problem]]
    format: str | None
    """Of all rows; None recognises each."""


@dataclass(frozen=True, slots=True)
class Refined:
    """A row that was kept, or `reason` why it was not."""

    place: str
    reason: str = ""
    detail: str = ""
    row: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    """All that the row says, to find repetitions by."""
    masked: Counter[str] = field(default_factory=Counter)
    """Personal data that was replaced, by kind."""


class Refinery:
    """Everything that a row needs. Made once in each process."""

    def __init__(self, recipe: DataRecipe) -> None:
        self._recipe = recipe
        self._tests = Contamination({path.name: test_texts(path) for path in recipe.decontaminate})
        self._surrogates = Surrogates(recipe.seed)
        self._systems = {each.source: _system(each.source) for each in recipe.sources}

    def refine(self, batch: Batch) -> list[Refined]:
        """One result for each row, in order."""
        return [self._one(batch, place, row) for place, row in batch.rows]

    def _one(self, batch: Batch, place: str, row: dict[str, Any] | Problem) -> Refined:
        if isinstance(row, Problem):
            return Refined(place, "unreadable", str(row))
        try:
            example = self._read(batch, row)
            check(example)
        except BadRow as error:
            return Refined(place, "bad row", error.message)
        said = "\n".join(str(text) for _, text, _ in texts(example))
        if reason := self._unwanted(said):
            return Refined(place, reason)
        masked: Counter[str] = Counter()
        known = {name: v for name, v in example.meta.items() if name != "is_deidentified"}
        example = replace(example, meta=known)  # only what is done here is claimed
        if self._recipe.deidentify:
            example, masked = deidentify(example, self._surrogates)
        meta, _ = tag.meta(example, batch.source)
        example = replace(example, meta=meta)
        if hits := self._tests.hits(example):
            return Refined(place, "in a test set", f"{hits[0].test_set}, text {hits[0].text}")
        written = formats.BY_NAME[WRITTEN_AS[self._recipe.kind]]
        try:
            return Refined(place, row=written.write(example), text=said, masked=masked)
        except BadRow as error:
            return Refined(place, "bad row", error.message)

    def _read(self, batch: Batch, row: dict[str, Any]) -> Example:
        found = _format(batch, row)
        example = as_kind(found.read(row), self._recipe.kind)
        system = self._systems[batch.source]
        if system and not example.system and example.messages:
            messages = (Message("system", system), *example.messages)
            return replace(example, messages=messages)
        return example

    def _unwanted(self, said: str) -> str:
        """Why the row is left out, or nothing."""
        if len(said) > self._recipe.longest:
            return "too long"
        wanted = self._recipe.languages
        language = clean.language(said) if wanted else ""
        if wanted and language != "unknown" and language not in wanted:
            return f"in another language ({language})"
        return ""


def test_texts(path: Path) -> list[str]:
    """What a test set's rows ask."""
    found = []
    for _, example in DataFile(path).examples():
        if isinstance(example, Example):
            found.append(example.question or example.text or "")
    return found


def format_of(source: str, file: DataFile) -> str | None:
    """The name of the format that reads all rows of a file."""
    if source in sources.names() and sources.get(source).reader():
        return source
    return "rows" if file.one_instruction else None


def _format(batch: Batch, row: dict[str, Any]) -> Format:
    """The batch's format, where the row has its columns."""
    if batch.format is None:
        return formats.recognise(row)
    named = formats.BY_NAME.get(batch.format) or sources.get(batch.format).reader()
    is_rows = named is formats.alpaca.ROWS and {"instruction", "input"} <= row.keys()
    return named if named and (is_rows or named.fits(row)) else formats.recognise(row)


def _system(source: str) -> str:
    return sources.get(source).system if source in sources.names() else ""
