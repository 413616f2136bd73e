"""Reads of what was judged, over HTTP: runs, rollouts, votes, the ledger's rows, budgets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from galen.records import CleanText, NonBlank
from judge.schemas import MAX_TEXT, Message, NotNull, RuleHit, Status, Wire


class RunCard(Wire):
    """A run's judgements in numbers. An item that was judged twice counts twice."""

    run: str
    first_at: datetime
    last_at: datetime
    judgements: int
    steps: int
    """The number of different steps."""
    statuses: dict[Status, int]
    """Judgements by status; a status that did not occur is left out."""
    mean_reward: float | None
    """Over the `ok` judgements. Over `rules_only`, on another scale, only where none is `ok`."""
    violation_rate: float | None
    """Share of flagged answers among those that the rules judged."""
    committed_usd: float
    """US dollars spent on teacher calls; a call whose outcome is unknown counts at its maximum."""
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
    """In order of step; judgements without a step come last."""


class RunPage(Wire):
    runs: tuple[RunCard, ...]
    """Newest first."""
    next_cursor: str | None
    """The next page's `cursor`; None on the last page."""


class StoredVerdict(Wire):
    """A teacher's raw scores, before weights and gate."""

    scores: dict[str, float]
    why: str
    evidence: dict[str, str]
    model: str
    """The model that answered."""


class StoredCriterion(Wire):
    text: str | None
    """None if it was not kept."""
    points: float
    met: bool | None
    verdict_key: str
    """For `/v1/verdicts/{key}`, which has reason and quotation."""


class Rollout(Wire):
    """One judgement of a run, with the texts that were judged."""

    id: int
    at: datetime
    item: str
    step: int | None
    rubric: str
    rubric_sha256: str
    """The rubric's hash at the time of the judgement."""
    provider: str
    status: Status
    reward: float | None
    rules_total: float | None
    hits: tuple[RuleHit, ...]
    flags: tuple[str, ...]
    error: str | None
    """Code of the teacher's failure, if it failed."""
    verdict_key: str | None
    """For `/v1/verdicts/{key}`; None where no teacher was needed."""
    teacher: StoredVerdict | None
    """The verdict behind the reward; None unless a teacher judged."""
    prompt: str | None
    response: str | None
    reference: str | None
    """Each of the three texts is None if it was not kept."""
    earlier: tuple[Message, ...] = ()
    """The turns of the conversation before `prompt`."""
    criteria: tuple[StoredCriterion, ...] = ()
    forgotten: bool = False
    """Whether the texts were kept once and have been erased."""


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
    """A reply that was paid for but is not a valid verdict."""

    created_at: datetime
    provider: str
    model_asked: str
    reason: str
    reply: str
    cost_usd: float


class VerdictFile(Wire):
    """Everything in the ledger under one key."""

    key: str
    verdict: LedgerRow | None
    rejected: tuple[RejectedRow, ...]


VoteChoice = Literal["a", "b", "tie", "both_bad"]


class Vote(Wire):
    """A person's choice between two answers. A vote sent twice with the same `id` counts once."""

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
    """The name of the key that sent it."""


class VotePage(Wire):
    votes: tuple[KeptVote, ...]
    """Oldest first."""
    next_cursor: str | None


class BudgetBalance(Wire):
    """One cap and what has been used of it."""

    scope: str
    """`day:2026-11-21` (UTC) or `run:<name>`."""
    cap_usd: float | None
    """None: no cap."""
    committed_usd: float
    """Spent, or reserved for calls that are under way or whose outcome is unknown."""
    left_usd: float | None
    calls: int
    """Upstream calls that money was reserved for."""


class BudgetState(Wire):
    balances: tuple[BudgetBalance, ...]
    """The day's balance, then the run's if the request named one."""


Cursor = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_=-]+$")]
RolloutSort = Literal["time", "-time", "reward", "-reward"]


class PageQuery(Wire):
    limit: int = Field(default=50, ge=1, le=500)
    cursor: Annotated[Cursor | None, NotNull()] = None
    """`next_cursor` of the previous page."""


class RolloutQuery(PageQuery):
    """Which judgements of a run to list. New judgements never shift the pages already shown."""

    sort: RolloutSort = "time"
    """`-` sorts in descending order. Judgements without a reward always come last."""
    rule: Annotated[NonBlank | None, NotNull()] = Field(default=None, max_length=100)
    """Only judgements that this rule hit."""
    flag: Annotated[NonBlank | None, NotNull()] = Field(default=None, max_length=100)
    status: Annotated[Status | None, NotNull()] = None
    step: Annotated[int | None, NotNull()] = Field(default=None, ge=0, lt=2**31)


class BudgetQuery(Wire):
    run: Annotated[NonBlank | None, NotNull()] = Field(default=None, max_length=200)
