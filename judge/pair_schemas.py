"""`/v1/compare`: which of two answers is better, asked in both orders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from galen.records import CleanText, NonBlank
from judge.schemas import (
    Asked,
    ItemError,
    PanelOpinion,
    RunName,
    Usage,
    Wire,
    refuse_same_ids,
)

MAX_PAIRS = 512

Winner = Literal["a", "b", "draw"]


class PairItem(Asked):
    """Two answers to one question."""

    id: NonBlank = Field(max_length=190)
    response_a: CleanText
    response_b: CleanText
    reference: CleanText | None = None


class CompareRequest(Wire):
    """A teacher is required: rules alone do not say which of two sound answers is better."""

    rubric: NonBlank
    items: tuple[PairItem, ...] = Field(min_length=1, max_length=MAX_PAIRS)
    sample: int = Field(default=0, ge=0, lt=2**31)
    """Number of an independent pair of verdicts; a new number asks the teacher anew."""
    run: RunName | None = None
    """If given, each order is kept as a judgement of this run, as `<id>/ab` and `<id>/ba`."""
    step: int | None = Field(default=None, ge=0, lt=2**31)

    @field_validator("items")
    @classmethod
    def _ids_differ(cls, items: tuple[PairItem, ...]) -> tuple[PairItem, ...]:
        refuse_same_ids([item.id for item in items])
        return items


class OrderVerdict(Wire):
    """The teacher's verdict in one order."""

    winner: Winner
    why: str
    evidence: str
    """Words of one of the two answers."""
    panel: PanelOpinion | None = None


class PairResult(Wire):
    """`failed` means `winner` is None: a failure is never a draw."""

    id: str
    status: Literal["ok", "failed"]
    winner: Winner | None
    """A draw also where the two orders disagree."""
    orders_agree: bool | None
    """None where no teacher was asked, or one of the orders failed."""
    a_first: OrderVerdict | None = None
    b_first: OrderVerdict | None = None
    flags_a: tuple[str, ...] = ()
    flags_b: tuple[str, ...] = ()
    """What the rules are certain of, dangers and attempts on the judge. An answer with any, or
    without substance, loses to one without, and no teacher is asked."""
    provider: str
    """Who decided: `mock`, `rules`, or the teacher's host."""
    cached: bool = False
    cost: float = 0.0
    """US dollars that both orders cost now."""
    error: ItemError | None = None


class CompareResponse(Wire):
    rubric: str
    rubric_sha256: str
    items: tuple[PairResult, ...]
    asked: int
    """Pairs that a teacher judged in both orders."""
    position_bias: float | None
    """Share of `asked` whose two orders disagree; None where no pair was asked."""
    usage: Usage
