"""What the judge takes and gives over HTTP. Importing this loads neither FastAPI nor SQLAlchemy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from galen.records import CleanText, NonBlank, Risk

MAX_ITEMS = 256
MAX_TEXT = 32_000
"""Characters in one prompt or response; a longer one is refused as `too_long`."""

TeacherMode = Literal["required", "optional", "off"]
Status = Literal["ok", "rules_only", "failed"]


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreItem(Wire):
    """One answer to judge. An empty response is judged, not refused: it earns what it deserves."""

    id: NonBlank = Field(max_length=200)
    prompt: NonBlank
    response: CleanText
    reference: CleanText | None = None
    risk: Risk | None = None
    tags: tuple[NonBlank, ...] = Field(default=(), max_length=32)


class ScoreRequest(Wire):
    """`teacher`: `required` fails an item that the teacher cannot judge, `optional` falls back to
    the rules (`rules_only`), `off` asks no teacher."""

    rubric: NonBlank
    items: tuple[ScoreItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    teacher: TeacherMode = "optional"
    sample: int = Field(default=0, ge=0, lt=2**31)
    """Which of several independent verdicts on the same answer: another number asks anew."""
    run: NonBlank | None = Field(default=None, max_length=200)
    step: int | None = Field(default=None, ge=0, lt=2**31)


class RuleHit(Wire):
    rule: str
    effect: float
    span: tuple[int, int] | None
    """Characters of the response that the rule saw; None when it is about something missing."""


class RuleVerdict(Wire):
    total: float
    """Sum of the effects, clamped as the rubric says."""
    hits: tuple[RuleHit, ...]


class TeacherVerdict(BaseModel):
    """The teacher's score in [0, 1] for each of the rubric's dimensions, as fields of their own."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0, le=1)]]

    overall: float = Field(ge=0, le=1)
    """Weighted by the rubric; 0 where its gate says so."""
    why: str
    evidence: dict[str, str] = {}
    """By dimension, the words of the answer that its score rests on."""

    @property
    def scores(self) -> dict[str, float]:
        return dict(self.__pydantic_extra__)


class Usage(Wire):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_items: int = 0
    cost_usd: float = 0.0


class ItemError(Wire):
    code: str
    message: str
    retryable: bool


class ScoreResult(Wire):
    """The judgement of one item. `failed` means `reward` is None: a failure is never a score."""

    id: str
    status: Status
    reward: float | None
    rules: RuleVerdict | None
    teacher: TeacherVerdict | None
    flags: tuple[str, ...] = ()
    """Names of the rules for unsafe content that were hit; an answer with any is a violation."""
    provider: str
    """Who judged: `mock`, `rules`, or the teacher's host."""
    cached: bool = False
    cost: float = 0.0
    """US dollars that this judgement cost now; 0 for a cached one."""
    error: ItemError | None = None


class ScoreResponse(Wire):
    rubric: str
    rubric_sha256: str
    items: tuple[ScoreResult, ...]
    usage: Usage


class RubricCard(Wire):
    """A rubric as `/v1/rubrics` lists it."""

    name: str
    sha256: str
    description: str
    asks_teacher: bool
    """False: the rules alone judge, whatever a request says of the teacher."""
    needs_reference: bool
    """True: an item without a reference cannot be judged."""
    dimensions: dict[str, float]
    rules: tuple[str, ...]


class Readiness(Wire):
    ready: bool
    provider: str
    detail: str | None = None
