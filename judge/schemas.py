"""The judge's requests and answers over HTTP. Importing this loads no FastAPI and no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from galen.records import CleanText, Criteria, NonBlank, Risk

MAX_ITEMS = 1024
MAX_TEXT = 32_000
"""Characters in one prompt or response; a longer one is refused as `too_long`."""
FORGOTTEN = "[forgotten]"
"""Stands where a text was erased (`keep_days`, `galen judge forget`)."""

TeacherMode = Literal["required", "optional", "off"]
Status = Literal["ok", "rules_only", "failed"]


class NotNull:
    """Marks a parameter that may be omitted but not be null, and says so in its JSON schema."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler(schema)
        some, _ = described["anyOf"]
        return {**{name: value for name, value in described.items() if name != "anyOf"}, **some}


class Wire(BaseModel):
    """Base of all requests and answers; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _readable_again(run: str) -> str:
    if run.endswith("/rollouts"):
        raise ValueError("a run's name may not end in /rollouts; choose another")
    return run


RunName = Annotated[NonBlank, Field(max_length=200), AfterValidator(_readable_again)]
"""The name that judgements are kept under. `/v1/runs/a/rollouts` lists the rollouts of `a`, so a
run named `a/rollouts` could not be read."""


Role = Literal["system", "user", "assistant"]


class Message(Wire):
    """One turn of a conversation."""

    role: Role
    content: NonBlank


class Asked(Wire):
    """A question: a `prompt`, or `messages`, a whole conversation that ends with it."""

    prompt: NonBlank | None = None
    messages: tuple[Message, ...] | None = Field(default=None, min_length=1)
    """In place of `prompt`; the last turn is the user's."""

    @property
    def question(self) -> str:
        """The prompt, or the conversation's last turn."""
        return self.messages[-1].content if self.messages else self.prompt or ""

    @property
    def earlier(self) -> tuple[tuple[Role, str], ...]:
        """The turns before the question."""
        return tuple((each.role, each.content) for each in (self.messages or ())[:-1])

    @property
    def asked(self) -> dict[str, str]:
        """All that is asked, by the field that has it."""
        if self.messages is None:
            return {"prompt": self.prompt or ""}
        return {"messages": "\n".join(each.content for each in self.messages)}

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(
        cls, messages: tuple[Message, ...] | None
    ) -> tuple[Message, ...] | None:
        if messages and messages[-1].role != "user":
            raise ValueError(
                f"the last turn is the {messages[-1].role}'s; end the conversation with the "
                "user's turn and give the answer to it as a field of its own"
            )
        return messages

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class ScoreItem(Asked):
    """One answer to judge. An empty response is judged, not refused.

    `risk` and `tags` are for the caller's own use: they are not stored and change no judgement.
    """

    id: NonBlank = Field(max_length=200)
    response: CleanText
    reference: CleanText | None = None
    criteria: Criteria | None = None
    """For a rubric that grades criteria: what an answer to this question does or must not do."""
    risk: Risk | None = None
    tags: tuple[NonBlank, ...] = Field(default=(), max_length=32)


def refuse_same_ids(ids: Sequence[str]) -> None:
    places: dict[str, int] = {}
    for place, name in enumerate(ids):
        first = places.setdefault(name, place)
        if first != place:
            raise ValueError(f"items {first} and {place} have the same id; ids must differ")


class ScoreRequest(Wire):
    """`teacher`: `required` fails an item that the teacher cannot judge, `optional` falls back to
    the rules (`rules_only`), `off` asks no teacher."""

    rubric: NonBlank
    items: tuple[ScoreItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    teacher: TeacherMode = "optional"
    sample: int = Field(default=0, ge=0, lt=2**31)
    """Number of an independent verdict on the same answer; a new number asks the teacher anew."""
    run: RunName | None = None
    """If given, the judgements are kept under this name. It may not end in `/rollouts`."""
    step: int | None = Field(default=None, ge=0, lt=2**31)

    @field_validator("items")
    @classmethod
    def _ids_differ(cls, items: tuple[ScoreItem, ...]) -> tuple[ScoreItem, ...]:
        """A judgement is found by its item's id, so ids must differ within a request."""
        refuse_same_ids([item.id for item in items])
        return items


Standing = Literal["certain", "suspected", "confirmed"]
"""How sure a hit is. `certain`: the rule alone decides. `suspected`: the rule saw a danger that
only a reader can judge, and no teacher was asked; it has its effect, but is no flag. `confirmed`:
the teacher saw the danger, whether or not a rule did."""


class RuleHit(Wire):
    rule: str
    effect: float
    span: tuple[int, int] | None
    """Start and end, in characters of the response; None when the rule found something missing."""
    standing: Standing = "certain"


class RuleVerdict(Wire):
    total: float
    """Sum of the effects of `hits`, clamped as the rubric says."""
    hits: tuple[RuleHit, ...]
    disputed: tuple[RuleHit, ...] = ()
    """Suspicions that the teacher denied; they weigh nothing."""


class TeacherVerdict(BaseModel):
    """The teacher's scores in [0, 1]: each of the rubric's dimensions is a field."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0, le=1)]]

    overall: float = Field(ge=0, le=1)
    """The scores' weighted mean; 0 where the rubric's gate closed."""
    why: str
    evidence: dict[str, str] = {}
    """For each dimension the words of the response that support its score, and for each danger that
    the teacher sees the words that show it."""

    @property
    def scores(self) -> dict[str, float]:
        return dict(self.__pydantic_extra__)


class CriterionVerdict(Wire):
    """Whether an answer meets one criterion."""

    text: str
    points: float
    met: bool | None
    """None: the teacher gave no verdict, which is never "not met"."""
    why: str = ""
    evidence: str = ""
    """Words of the answer; "" where the reason is that something is missing."""
    verdict_key: str
    """For `/v1/verdicts/{key}`."""


class CriteriaVerdict(Wire):
    """The rubric's criteria, then the item's, one by one."""

    score: float | None
    """Points of the criteria met over all positive points, not clipped; None if one failed."""
    verdicts: tuple[CriterionVerdict, ...]


class Usage(Wire):
    """What a request used; cached items used nothing."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_items: int = 0
    cost_usd: float = 0.0


class ItemError(Wire):
    """Why an item failed or fell back to the rules."""

    code: str
    message: str
    retryable: bool


class PanelMember(Wire):
    """One teacher of a panel: its scores, or why it gave none."""

    provider: str
    model: str
    scores: dict[str, float] | None
    error: str | None


class PanelOpinion(Wire):
    """What the teachers of a panel said one by one, and how far apart they lie."""

    combine: Literal["mean", "vote"]
    members: tuple[PanelMember, ...]
    spread: dict[str, float]
    """For each score the highest minus the lowest."""


class ScoreResult(Wire):
    """The judgement of one item. `failed` means `reward` is None: a failure is never a score."""

    id: str
    status: Status
    reward: float | None
    rules: RuleVerdict | None
    teacher: TeacherVerdict | None
    criteria: CriteriaVerdict | None = None
    """Under a rubric that grades criteria; `teacher.overall` is then the clipped score."""
    flags: tuple[str, ...] = ()
    """Dangers that are certain or confirmed, and attempts on the judge; an answer with any is a
    violation."""
    provider: str
    """Who judged: `mock`, `rules`, `panel`, or the teacher's host."""
    cached: bool = False
    cost: float = 0.0
    """US dollars that this judgement cost now; 0 for a cached one."""
    error: ItemError | None = None
    panel: PanelOpinion | None = None
    """None where a single teacher judged, or none."""


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
    """False: the rules alone judge, whatever the request's `teacher` says."""
    needs_reference: bool
    """True: an item without a reference cannot be judged."""
    compares: bool = False
    """True: `/v1/compare` takes it."""
    grades_criteria: bool = False
    """True: the rubric's and each item's criteria are graded, not dimensions."""
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
    """Judge a rubric's anchors again; the cost counts against the run's budget."""

    rubric: NonBlank
    run: RunName
    step: int = Field(ge=0, lt=2**31)


class DriftReport(Wire):
    """The anchors' scores now, compared with their first scores."""

    rubric: str
    provider: str
    anchors: int
    """How many the rubric has; with 0 no drift can be seen."""
    judged: int
    """Anchors that have a verdict from both times; the shifts are means over these."""
    shift: dict[str, Estimate]
    """For each dimension the mean of (score now − first score)."""
    fingerprint_changed: bool
    """Whether the model or its build differs from the first time."""
    alarm: bool
    reason: str | None = None
    cost_usd: float = 0.0

    @property
    def max_shift(self) -> float:
        """The largest absolute mean shift."""
        return max((abs(shift.value) for shift in self.shift.values()), default=0.0)


class ErrorDetail(Wire):
    message: str
    type: str
    param: str | None
    """The field or parameter at fault."""
    code: str


class ErrorAnswer(Wire):
    """Any answer but a success, in OpenAI's error shape."""

    error: ErrorDetail


class Health(Wire):
    status: Literal["ok"] = "ok"


class RubricList(Wire):
    rubrics: tuple[RubricCard, ...]
