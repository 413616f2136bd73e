"""What a teacher says of one answer, and the ways in which it may fail to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from judge.case import Case
from judge.rubric import Rubric
from judge.schemas import ItemError

PARSER_VERSION = 2
"""Part of every verdict's key: raise it when `judge.reply` comes to read replies differently."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one or more upstream calls used, failed ones included."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_hit_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cache_hit_tokens + other.cache_hit_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """A teacher's raw judgement; no weight, gate or clamp has touched it."""

    scores: dict[str, float]
    """In [0, 1], one for each of the rubric's dimensions."""
    why: str
    """One line for each dimension: its name, a colon, what the teacher said of it."""
    reply: str
    """The teacher's words as they came."""
    provider: str
    model_asked: str
    model_answered: str
    evidence: dict[str, str] = field(default_factory=dict)
    """By dimension, the words judged that its score rests on; "" where something is missing."""
    fingerprint: str | None = None
    spent: Spent = field(default_factory=Spent)
    latency_s: float = 0.0
    asks: int = 1
    rejected: tuple[RejectedReply, ...] = ()
    """Replies before this one that were no verdict. Not read back from the ledger."""


@dataclass(frozen=True, slots=True)
class RejectedReply:
    """A reply that was paid for and is no verdict."""

    reason: str
    reply: str
    cost_usd: float


class TeacherError(Exception):
    """The teacher gave no verdict. This is data for one item, never a score."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        spent: Spent | None = None,
        rejected: tuple[RejectedReply, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.spent = spent or Spent()
        self.rejected = rejected

    def as_item_error(self) -> ItemError:
        return ItemError(code=self.code, message=self.message, retryable=self.retryable)


Circuit = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class TeacherState:
    """How a teacher's calls stand at one moment."""

    limit: int = 0
    """How many calls may be under way at once now; it adapts. 0: it makes none."""
    in_flight: int = 0
    waiting: int = 0
    """Judgements that wait for their turn."""
    circuit: Circuit = "closed"
    """`open`: every judgement fails at once; `half_open`: one call tries whether that may end."""
    retry_after_s: float = 0.0
    """Seconds until an open circuit lets a call through."""


class Reservation(Protocol):
    """Money set aside for one upstream call."""

    async def settle(self, cost_usd: float) -> None:
        """The call came back and cost this much: give back the rest. One that is never settled
        stays counted whole, since it may have been billed."""
        ...


class Purse(Protocol):
    """Whose money a judgement spends."""

    async def reserve(self, cost_usd: float) -> Reservation:
        """Set aside the most that one upstream call can cost, in US dollars.

        Raises `TeacherError` with the code `budget_exceeded` where a cap stands in the way.
        """
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """On whose behalf a teacher is asked."""

    name: str
    """Clients take turns in the queue, whatever their numbers."""
    purse: Purse


class Teacher(Protocol):
    """Somebody who judges. `provider` labels every item that it judged."""

    @property
    def provider(self) -> str: ...

    @property
    def latched(self) -> str | None:
        """Why no further call will be made until the operator acts, if so."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything about the teacher that can change a verdict, as JSON."""
        ...

    @property
    def room(self) -> int:
        """How many more judgements may join the queue now."""
        ...

    @property
    def state(self) -> TeacherState: ...

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        """Raises `TeacherError`, which says what was spent and which replies were rejected."""
        ...

    async def aclose(self) -> None: ...
