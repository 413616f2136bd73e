"""Training sets from sources of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from galen.settings import Settings


class SourceShare(Settings):
    """A source and how much of it. Without share and count, all of it."""

    source: str
    """A name of `trainer/data/sources/`; with `path` any name, for the card and `meta.source`."""
    path: Path | None = None
    """A local file of the source's form, in place of the download."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Of the finished rows."""
    count: int | None = Field(default=None, ge=1)
    """At most so many of the finished rows."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.share is not None and self.count is not None:
            raise ValueError("give `share` or `count`, not both")
        return self


def _sources(value: Any) -> Any:
    """`medical-o1:0.7,datatang-qa:0.3` as a list; a whole number is a count."""
    if not isinstance(value, str):
        return value
    found = []
    for part in value.split(","):
        name, _, amount = part.strip().partition(":")
        entry: dict[str, Any] = {"source": name}
        if amount:
            entry["count" if amount.isdecimal() else "share"] = amount
        found.append(entry)
    return found


class Splits(Settings):
    """Shares of the rows, stratified by risk and source."""

    train: float = Field(default=0.8, gt=0, le=1)
    dev: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.dev + self.test - 1) > 1e-6:
            raise ValueError("`train`, `dev` and `test` must add up to 1")
        return self


class DataRecipe(Settings):
    """What `galen data prepare` makes, and of what. The same recipe gives the same bytes."""

    stage: Literal["data"]
    out: Path
    """Folder of the finished files."""
    sources: Annotated[tuple[SourceShare, ...], BeforeValidator(_sources)] = Field(min_length=1)
    kind: Literal["conversation", "preference", "document"] = "conversation"
    """What the rows are; a source of another kind is refused row by row."""
    hub: Literal["huggingface", "modelscope"] = "huggingface"
    seed: int = Field(default=17, ge=0, lt=2**32)
    languages: tuple[str, ...] = ("zh", "en")
    """Rows in other languages are left out; empty keeps all."""
    longest: int = Field(default=20_000, ge=1)
    """Most characters of a row."""
    near_duplicates: float | None = Field(default=0.8, gt=0, le=1)
    """Share of common pieces from which a row repeats an earlier one; None finds only copies."""
    deidentify: bool = True
    decontaminate: tuple[Path, ...] = ()
    """Test sets: rows that share 13 characters with one of their questions are left out."""
    splits: Splits = Splits()
    gold: int = Field(default=100, ge=0)
    """Rows of the gold set: the best of dev and test."""
    red_team: Path | None = None
    """Dangerous questions, for the RL prompts."""
    rl_prompts: int = Field(default=0, ge=0)
    """RL prompts to choose from the training rows; 0 makes none."""

    @model_validator(mode="after")
    def _mixes(self) -> Self:
        shares = [each.share for each in self.sources if each.share is not None]
        if shares and len(shares) != len(self.sources):
            raise ValueError("`sources`: give every source a share, or none")
        if shares and abs(sum(shares) - 1) > 1e-6:
            raise ValueError("`sources`: the shares must add up to 1")
        if len({each.source for each in self.sources}) != len(self.sources):
            raise ValueError("`sources`: a name is there twice")
        return self
