"""Budgets: money is reserved in the database before any call is made.

Reserving adds a call's highest possible cost to the rows of its run and its day, if both caps allow
it; settling gives back the difference to its real cost. If a judge dies between the two, the whole
reservation stays counted, since the call may have been billed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Double, Integer, bindparam, select, update

from judge.ledger.group_commit import Store
from judge.ledger.tables import SpendingRow
from judge.ledger.verdict_rows import chunks, insert_for
from judge.settings import BudgetSettings
from judge.teacher.verdict import Reservation, TeacherError

log = logging.getLogger(__name__)

_DUST_USD = 1e-9
"""Tolerance for rounding errors in sums."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One cap and what has been used of it."""

    scope: str
    """`day:2026-11-21` (UTC) or `run:<name>`."""
    cap_usd: float | None
    committed_usd: float
    """Spent, or reserved for calls that are under way or were never settled."""
    calls: int

    @property
    def left_usd(self) -> float | None:
        return None if self.cap_usd is None else max(0.0, self.cap_usd - self.committed_usd)


@dataclass(frozen=True, slots=True)
class _Reservation:
    """Reserve `usd` in every one of these scopes, or in none."""

    caps: dict[str, float | None]
    usd: float


@dataclass(frozen=True, slots=True)
class _Refund:
    scopes: tuple[str, ...]
    usd: float


class Budget:
    """The caps; they hold for all judges on the database together, and across restarts."""

    def __init__(
        self,
        store: Store,
        caps: BudgetSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._caps = caps
        self._now = now

    def account(self, run: str | None) -> RunAccount:
        """The account that `run` spends from; without a run only the day's cap applies."""
        return RunAccount(self, run)

    async def state(self, run: str | None = None) -> list[Balance]:
        """Today's balance and, if given, `run`'s. Raises `Unavailable`."""
        caps = self._scopes(run)
        found = await self._store.read(lambda c: _balances(c, list(caps)))
        return [Balance(scope, cap, *found.get(scope, (0.0, 0))) for scope, cap in caps.items()]

    async def reserve(self, run: str | None, cost_usd: float) -> _Reserved:
        """Reserve `cost_usd`. Raises `TeacherError` if a cap forbids it."""
        caps = self._scopes(run)
        obstacle = await self._store.writes.put(_reserve, _Reservation(caps, cost_usd))
        if obstacle is not None:
            raise TeacherError("budget_exceeded", _explain(obstacle), retryable=False)
        return _Reserved(self._store, tuple(caps), cost_usd)

    def _scopes(self, run: str | None) -> dict[str, float | None]:
        scopes = {f"day:{self._now():%Y-%m-%d}": self._caps.per_day_usd}
        if run is not None:
            scopes[f"run:{run}"] = self._caps.per_run_usd
        return scopes


class RunAccount:
    """One run's account (implements `judge.teacher.verdict.Account`)."""

    def __init__(self, budget: Budget, run: str | None) -> None:
        self._budget = budget
        self._run = run

    async def reserve(self, cost_usd: float) -> Reservation:
        return await self._budget.reserve(self._run, cost_usd)


class _Reserved:
    def __init__(self, store: Store, scopes: tuple[str, ...], cost_usd: float) -> None:
        self._store = store
        self._scopes = scopes
        self._reserved_usd = cost_usd
        self._settled = False

    async def settle(self, cost_usd: float) -> None:
        """Give back what the call did not cost, in the transaction that stores its verdict.

        Nobody waits for it: until then the budget counts too much, never too little.
        """
        if self._settled:
            return
        self._settled = True
        refund = _Refund(self._scopes, self._reserved_usd - cost_usd)
        self._store.writes.put(_settle, refund).add_done_callback(_report)


def _reserve(connection: Connection, wishes: Sequence[_Reservation]) -> list[Balance | None]:
    """For each reservation, in order, None or the balance that forbids it."""
    scopes = sorted({scope for wish in wishes for scope in wish.caps})
    unknown = insert_for(connection)(SpendingRow).on_conflict_do_nothing(index_elements=["scope"])
    connection.execute(unknown, [{"scope": s, "committed_usd": 0.0, "calls": 0} for s in scopes])
    found = _balances(connection, scopes, lock=True)
    added: dict[str, tuple[float, int]] = dict.fromkeys(scopes, (0.0, 0))
    answers: list[Balance | None] = []
    for wish in wishes:
        now = [
            Balance(scope, cap, found[scope][0] + added[scope][0], found[scope][1])
            for scope, cap in wish.caps.items()
        ]
        obstacle = next((balance for balance in now if _forbids(balance, wish.usd)), None)
        if obstacle is None:
            for scope in wish.caps:
                usd, calls = added[scope]
                added[scope] = (usd + wish.usd, calls + 1)
        answers.append(obstacle)
    _add(connection, added)
    return answers


def _forbids(balance: Balance, usd: float) -> bool:
    return balance.cap_usd is not None and balance.committed_usd + usd > balance.cap_usd + _DUST_USD


def _settle(connection: Connection, refunds: Sequence[_Refund]) -> list[None]:
    back: dict[str, tuple[float, int]] = {}
    for refund in refunds:
        for scope in refund.scopes:
            usd, _ = back.get(scope, (0.0, 0))
            back[scope] = (usd - refund.usd, 0)
    _add(connection, back)
    return [None] * len(refunds)


def _add(connection: Connection, added: Mapping[str, tuple[float, int]]) -> None:
    changes = [
        {"of": scope, "usd": usd, "number": calls}
        for scope, (usd, calls) in sorted(added.items())
        if usd or calls
    ]
    if changes:
        connection.execute(
            update(SpendingRow)
            .where(SpendingRow.scope == bindparam("of"))
            .values(
                committed_usd=SpendingRow.committed_usd + bindparam("usd", type_=Double),
                calls=SpendingRow.calls + bindparam("number", type_=Integer),
            ),
            changes,
        )


def _balances(
    connection: Connection, scopes: Sequence[str], *, lock: bool = False
) -> dict[str, tuple[float, int]]:
    """(US dollars committed, calls) of each scope that has a row."""
    found = {}
    for chunk in chunks(scopes):
        query = select(SpendingRow.__table__).where(SpendingRow.scope.in_(chunk))
        for row in connection.execute(query.with_for_update() if lock else query).mappings():
            found[row["scope"]] = (row["committed_usd"], row["calls"])
    return found


def _explain(balance: Balance) -> str:
    kind, _, name = balance.scope.partition(":")
    whose, field = (
        (f"run {name!r}", "per_run_usd") if kind == "run" else (f"{name} (UTC)", "per_day_usd")
    )
    return (
        f"the budget of {whose} is used up: ${balance.committed_usd:.4f} of ${balance.cap_usd:.2f} "
        f"is spent or reserved; raise judge.budget.{field} and repeat the request: answers that "
        "were judged cost nothing again"
    )


def _report(settled: asyncio.Future[None]) -> None:
    if not settled.cancelled() and (error := settled.exception()) is not None:
        log.warning("a reservation could not be settled", extra={"reason": str(error)})
