"""The contract with a teacher: a verdict on one answer, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from judge.rubrics.rubric import Rubric
from judge.schemas import ItemError
from judge.text.case import Case

PARSER_VERSION = 3
"""Part of every verdict's key; raise it when `judge.teacher.reply` changes how it reads replies."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and US dollars of upstream calls, failed ones included."""

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
    """A teacher's raw judgement, before weights, gate and clamp."""

    scores: dict[str, float]
    """In [0, 1], one for each of the rubric's dimensions."""
    why: str
    """One line for each dimension: `name: explanation`."""
    reply: str
    """The teacher's reply, unchanged."""
    provider: str
    model_asked: str
    model_answered: str
    evidence: dict[str, str] = field(default_factory=dict)
    """For each dimension the words that support its score, "" if the fault is something missing;
    and for each danger that the teacher sees the words that show it."""
    fingerprint: str | None = None
    spent: Spent = field(default_factory=Spent)
    latency_s: float = 0.0
    asks: int = 1
    rejected: tuple[RejectedReply, ...] = ()
    """Earlier replies that were not valid. Not read back from the ledger."""
    incomplete: str | None = None
    """Who of a panel gave no verdict. Such a one is not stored: the next request asks again."""


@dataclass(frozen=True, slots=True)
class RejectedReply:
    """A reply that was paid for but is not a valid verdict."""

    reason: str
    reply: str
    cost_usd: float


class TeacherError(Exception):
    """The teacher gave no verdict. It becomes one item's error, never a score."""

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
    limit: int = 0
    """Calls that may be in flight now; it adapts. 0 for a teacher that makes no calls."""
    in_flight: int = 0
    waiting: int = 0
    """Judgements that wait for a call."""
    circuit: Circuit = "closed"
    """`open`: every judgement fails at once; `half_open`: one call probes the endpoint."""
    retry_after_s: float = 0.0
    """Seconds until an open circuit lets a call through."""


class Reservation(Protocol):
    """Money reserved for one upstream call."""

    async def settle(self, cost_usd: float) -> None:
        """Give back what the call did not cost. A reservation that is never settled stays counted,
        since the call may have been billed."""
        ...


class Account(Protocol):
    """What a judgement's calls are paid from."""

    async def reserve(self, cost_usd: float) -> Reservation:
        """Reserve the most that one upstream call can cost, in US dollars.

        Raises `TeacherError` with the code `budget_exceeded` if a cap forbids it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """The run that a teacher is asked for."""

    name: str
    """Clients take turns in the queue, however many judgements each has."""
    account: Account


class Teacher(Protocol):
    """Judges answers. `provider` labels every item that it judged."""

    @property
    def provider(self) -> str: ...

    @property
    def latched(self) -> str | None:
        """Why no call is made until the operator acts; None if calls are made."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything about the teacher that can change a verdict, as JSON values."""
        ...

    @property
    def room(self) -> int:
        """How many more judgements may join the queue now."""
        ...

    @property
    def state(self) -> TeacherState: ...

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        """One verdict. Raises `TeacherError` with its cost and the rejected replies."""
        ...

    async def aclose(self) -> None: ...
