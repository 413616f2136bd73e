"""What the judge takes and gives over HTTP. Importing this loads neither FastAPI nor SQLAlchemy."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
)
from pydantic_core import CoreSchema

from galen.records import CleanText, NonBlank, Risk

MAX_ITEMS = 1024
MAX_TEXT = 32_000
"""Characters in one prompt or response; a longer one is refused as `too_long`."""

TeacherMode = Literal["required", "optional", "off"]
Status = Literal["ok", "rules_only", "failed"]


class LeftOut:
    """Marks an optional field that is left out, not given as null: so its schema says."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler(schema)
        some, _ = described["anyOf"]
        return {**{name: value for name, value in described.items() if name != "anyOf"}, **some}


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _readable_again(run: str) -> str:
    if run.endswith("/rollouts"):
        raise ValueError("a run's name may not end in /rollouts; choose another")
    return run


RunName = Annotated[NonBlank, Field(max_length=200), AfterValidator(_readable_again)]
"""Under which judgements are kept. `/v1/runs/a/rollouts` is for the rollouts of `a`, so a run
named `a/rollouts` could not be read again."""


class ScoreItem(Wire):
    """One answer to judge. An empty response is judged, not refused: it earns what it deserves.

    `risk` and `tags` are for the caller's own use: they are kept by nobody and change no judgement.
    """

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
    run: RunName | None = None
    """Given, the judgements are kept under this name, which may not end in `/rollouts`."""
    step: int | None = Field(default=None, ge=0, lt=2**31)

    @field_validator("items")
    @classmethod
    def _ids_differ(cls, items: tuple[ScoreItem, ...]) -> tuple[ScoreItem, ...]:
        """An id is how a judgement is found again, so a request may use it once."""
        places: dict[str, int] = {}
        for place, item in enumerate(items):
            first = places.setdefault(item.id, place)
            if first != place:
                raise ValueError(f"items {first} and {place} have the same id; ids must differ")
        return items


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


class Estimate(Wire):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


class DriftRequest(Wire):
    """Judge a rubric's anchors anew, in the name of a run and at its expense."""

    rubric: NonBlank
    run: RunName
    step: int = Field(ge=0, lt=2**31)


class DriftReport(Wire):
    """The anchors now against the anchors at first."""

    rubric: str
    provider: str
    anchors: int
    """0 for a rubric that has none: then nothing is watched."""
    judged: int
    """Anchors with a verdict then and now; the shifts are over these."""
    shift: dict[str, Estimate]
    """By dimension, the mean of score now less score then."""
    fingerprint_changed: bool
    """Whether another model or build answers than did at first."""
    alarm: bool
    reason: str | None = None
    cost_usd: float = 0.0

    @property
    def max_shift(self) -> float:
        """The largest mean shift, whichever way it went."""
        return max((abs(shift.value) for shift in self.shift.values()), default=0.0)


class ErrorDetail(Wire):
    message: str
    type: str
    param: str | None
    """The field or parameter at fault."""
    code: str


class ErrorAnswer(Wire):
    """Every answer that is no success, in the shape that OpenAI's clients read."""

    error: ErrorDetail


class Health(Wire):
    status: Literal["ok"] = "ok"


class RubricList(Wire):
    rubrics: tuple[RubricCard, ...]


class RunCard(Wire):
    """A run's judgements in numbers. Each time that an item was judged counts."""

    run: str
    first_at: datetime
    last_at: datetime
    judgements: int
    steps: int
    """How many different steps they name."""
    statuses: dict[Status, int]
    """Judgements by status; one that is missing did not occur."""
    mean_reward: float | None
    """Over what has a reward: `ok` and `rules_only`, which are on different scales."""
    violation_rate: float | None
    """Share of flagged answers among those that the rules read."""
    committed_usd: float
    """US dollars that the run's teacher calls have cost, or may have where their end is unknown."""
    rubrics: tuple[str, ...]
    providers: tuple[str, ...]


class StepPoint(Wire):
    """One step of a run; `step` is None for judgements that named none."""

    step: int | None
    judgements: int
    failed: int
    flagged: int
    mean_reward: float | None


class RunReport(RunCard):
    series: tuple[StepPoint, ...]
    """By step; what named no step comes last."""


class RunPage(Wire):
    runs: tuple[RunCard, ...]
    """The run that began last comes first."""
    next_cursor: str | None
    """Ask with it for the next page; None on the last."""


class StoredVerdict(Wire):
    """A teacher's raw scores, before weights and gate."""

    scores: dict[str, float]
    why: str
    evidence: dict[str, str]
    model: str
    """The model that answered."""


class Rollout(Wire):
    """One judgement of a run, with what was judged."""

    id: int
    at: datetime
    item: str
    step: int | None
    rubric: str
    rubric_sha256: str
    """Of the rubric as it was then."""
    provider: str
    status: Status
    reward: float | None
    rules_total: float | None
    hits: tuple[RuleHit, ...]
    flags: tuple[str, ...]
    error: str | None
    """Code of what went wrong with the teacher, if anything did."""
    verdict_key: str | None
    """For `/v1/verdicts/{key}`; None where no teacher was to be asked."""
    teacher: StoredVerdict | None
    """What the reward rests on; None unless a teacher judged."""
    prompt: str | None
    response: str | None
    reference: str | None
    """The three texts; None where none were kept."""


class RolloutPage(Wire):
    rollouts: tuple[Rollout, ...]
    next_cursor: str | None


class LedgerRow(Wire):
    """A verdict as the ledger keeps it."""

    created_at: datetime
    provider: str
    model_asked: str
    model_answered: str
    fingerprint: str | None
    rubric: str
    rubric_sha256: str
    asked_sha256: str | None
    scores: dict[str, float]
    why: str
    evidence: dict[str, str]
    reply: str
    asks: int
    prompt_tokens: int
    completion_tokens: int
    cache_hit_tokens: int
    cost_usd: float
    latency_s: float


class RejectedRow(Wire):
    """A reply that was paid for and is no verdict."""

    created_at: datetime
    provider: str
    model_asked: str
    reason: str
    reply: str
    cost_usd: float


class VerdictFile(Wire):
    """All that is kept under one key."""

    key: str
    verdict: LedgerRow | None
    rejected: tuple[RejectedRow, ...]


VoteChoice = Literal["a", "b", "tie", "both_bad"]


class Vote(Wire):
    """A person's choice between two answers. Sent again with the same `id`, it is the same vote."""

    id: NonBlank | None = Field(default=None, max_length=200)
    prompt: NonBlank = Field(max_length=MAX_TEXT)
    response_a: CleanText = Field(max_length=MAX_TEXT)
    response_b: CleanText = Field(max_length=MAX_TEXT)
    model_a: NonBlank = Field(max_length=200)
    model_b: NonBlank = Field(max_length=200)
    vote: VoteChoice


class VoteReceipt(Wire):
    number: int
    """The judge's own number for the vote."""
    at: datetime


class KeptVote(Vote):
    number: int
    at: datetime
    caller: str
    """Whose key it came with."""


class VotePage(Wire):
    votes: tuple[KeptVote, ...]
    """In the order in which they came."""
    next_cursor: str | None


class BudgetBalance(Wire):
    """One cap, and how far it is used up."""

    scope: str
    """`day:2026-11-21` (UTC) or `run:<name>`."""
    cap_usd: float | None
    """None: no cap."""
    committed_usd: float
    """Spent, or set aside for calls that are under way or whose end is unknown."""
    left_usd: float | None
    calls: int
    """Upstream calls that were set aside for."""


class BudgetState(Wire):
    balances: tuple[BudgetBalance, ...]
    """Today's and, if one was named, the run's."""


Cursor = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_=-]+$")]
RolloutSort = Literal["time", "-time", "reward", "-reward"]


class PageQuery(Wire):
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Annotated[Cursor | None, LeftOut()] = None
    """`next_cursor` of the page before."""


class RolloutQuery(PageQuery):
    """What of a run to list. Later judgements never move what an earlier page has shown."""

    sort: RolloutSort = "time"
    """Ascending, or with `-` descending; what has no reward comes last either way."""
    rule: Annotated[NonBlank | None, LeftOut()] = Field(default=None, max_length=100)
    """Only what this rule hit."""
    flag: Annotated[NonBlank | None, LeftOut()] = Field(default=None, max_length=100)
    status: Annotated[Status | None, LeftOut()] = None
    step: Annotated[int | None, LeftOut()] = Field(default=None, ge=0, lt=2**31)


class BudgetQuery(Wire):
    run: Annotated[NonBlank | None, LeftOut()] = Field(default=None, max_length=200)
