"""Sources of data by name: one small YAML file each, in this folder.

A source says where its files are at the hubs, which of them to take, under which licence, and how
its columns are named if no common format has them. A local file of the same form can stand in for
the download.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from galen.errors import InvalidInput, NotFound
from galen.settings import Settings, read_yaml, validated
from trainer import hub
from trainer.data import formats
from trainer.data.example import Example, Message
from trainer.data.formats import pairs
from trainer.data.formats.fields import identifier, mapping, needed, others, text
from trainer.data.formats.format import Format

FOLDER = Path(__file__).parent
CACHE = Path("data/hub")
"""Where downloads are kept."""


class Columns(Settings):
    """The names of columns that no common format has."""

    question: str
    answer: str
    thought: str | None = None
    id: str | None = None


class Source(Settings):
    name: str
    title: str
    licence: str
    """As its page states it; `unknown` means: for your own use only."""
    huggingface: str | None = None
    modelscope: str | None = None
    files: tuple[str, ...]
    """Patterns of the repository's files."""
    format: str | None = None
    """A common format; None recognises each row."""
    columns: Columns | None = None
    system: str = ""
    """A system message for rows that have none."""
    checked: bool = True
    """Whether the columns were seen on real rows; else they are what its page describes."""

    @model_validator(mode="after")
    def _known(self) -> Source:
        if self.format and self.format not in formats.BY_NAME:
            raise ValueError(f"format {self.format!r} is none of {', '.join(formats.BY_NAME)}")
        return self

    def reader(self) -> Format | None:
        """The format that reads its rows; None recognises each."""
        if self.columns:
            names = self.columns

            def read(row: Mapping[str, Any]) -> Example:
                return _mapped(row, names)

            return Format(self.name, lambda row: names.question in row, read, pairs.FORMAT.write)
        return formats.BY_NAME[self.format] if self.format else None

    def download(self, source: hub.Hub, endpoint: str | None = None) -> list[Path]:
        """Its files, downloaded unless they are there. Raises what `hub.download` raises."""
        repository = self.huggingface if source == "huggingface" else self.modelscope
        if repository is None:
            other = "modelscope" if source == "huggingface" else "huggingface"
            raise InvalidInput(f"{self.name} is not at {hub.NAMES[source]}; set `hub: {other}`")
        folder = CACHE / self.name
        hub.download("dataset", repository, folder, self.files, source, endpoint)
        found = sorted(path for each in self.files for path in folder.glob(each))
        if not found:
            patterns = ", ".join(self.files)
            raise NotFound(f"{repository} holds no file of {patterns}; give a local file as `path`")
        return found


def get(name: str) -> Source:
    """The source of that name. Raises `NotFound` with the nearest."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}"
        raise NotFound(f"no source {name!r}; {hint}")
    return validated(Source, {"name": name, **read_yaml(path)}, str(path))


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _mapped(row: Mapping[str, Any], names: Columns) -> Example:
    messages = [Message("user", needed(row, names.question))]
    thought = text(row, names.thought) if names.thought else ""
    if answer := text(row, names.answer):
        messages.append(Message("assistant", pairs.joined(thought, answer)))
    known = {names.question, names.answer, names.thought or "", names.id or ""}
    return Example(
        tuple(messages),
        id=str(row[names.id]) if names.id and names.id in row else identifier(row),
        meta=mapping(row, "meta"),
        extra=others(row, known),
    )
