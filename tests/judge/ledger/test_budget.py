"""Caps: never crossed, whoever spends, however many at once, however often the judge restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from judge.ledger import database
from judge.ledger.budget import Balance, Budget
from judge.ledger.group_commit import Store
from judge.settings import BudgetSettings
from judge.teacher.verdict import TeacherError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = "day:2026-11-21"

BudgetMaker = Callable[..., Budget]


@pytest.fixture
async def make_budget(database_url: str) -> AsyncIterator[BudgetMaker]:
    """Makes budgets that share one database, as restarted judges and several at once do."""
    stores: list[Store] = []

    def make(
        per_run: float | None = None, per_day: float | None = None, now: datetime = NOON
    ) -> Budget:
        stores.append(Store(database.connect(database_url)))
        caps = BudgetSettings(per_run_usd=per_run, per_day_usd=per_day)
        return Budget(stores[-1], caps, lambda: now)

    yield make
    for store in stores:
        await store.aclose()


async def granted(*attempts: object) -> int:
    """How many of these reservations came about; the others must have met a cap."""
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)  # type: ignore[call-overload]
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(outcome) for outcome in refused} <= {TeacherError}
    assert {outcome.code for outcome in refused} <= {"budget_exceeded"}
    return len(outcomes) - len(refused)


async def test_reserving_counts_the_most_and_settling_what_it_was(make_budget: BudgetMaker) -> None:
    """What a call may cost is counted before it is made, what it did cost afterwards."""
    budget = make_budget(per_run=1.0, per_day=2.0)
    reservation = await budget.account("r").reserve(0.4)
    assert await budget.state("r") == [
        Balance(DAY, 2.0, 0.4, 1),
        Balance("run:r", 1.0, 0.4, 1),
    ]
    await reservation.settle(0.1)
    await budget.account("r").reserve(0.0)
    day, run = await budget.state("r")
    assert (day.committed_usd, run.committed_usd) == pytest.approx((0.1, 0.1))
    assert (day.left_usd, run.left_usd) == pytest.approx((1.9, 0.9))


async def test_a_reservation_is_settled_once(make_budget: BudgetMaker) -> None:
    """Saying it twice gives nothing back twice."""
    budget = make_budget()
    reservation = await budget.account("r").reserve(0.4)
    await reservation.settle(0.1)
    await reservation.settle(0.1)
    await budget.account("r").reserve(0.0)
    assert (await budget.state("r"))[1].committed_usd == pytest.approx(0.1)


async def test_a_call_that_cost_more_than_the_most_is_counted(make_budget: BudgetMaker) -> None:
    """A price table may be out of date; the money is gone all the same."""
    budget = make_budget(per_run=1.0)
    await (await budget.account("r").reserve(0.4)).settle(1.5)
    with pytest.raises(TeacherError, match="budget"):
        await budget.account("r").reserve(0.01)
    assert (await budget.state("r"))[1].left_usd == 0.0


@pytest.mark.parametrize(("per_run", "per_day"), [(1.0, None), (None, 1.0), (1.0, 5.0)])
async def test_many_at_once_never_cross_a_cap(
    make_budget: BudgetMaker, per_run: float | None, per_day: float | None
) -> None:
    """Two judges and a hundred calls: exactly those that fit are made."""
    judges = [make_budget(per_run, per_day) for _ in range(2)]
    attempts = [judge.account("r").reserve(0.1) for judge in judges for _ in range(50)]
    assert await granted(*attempts) == 10
    day, run = await judges[0].state("r")
    assert (day.committed_usd, run.committed_usd) == pytest.approx((1.0, 1.0))
    assert (day.calls, run.calls) == (10, 10)


async def test_neither_scope_is_charged_where_one_refuses(make_budget: BudgetMaker) -> None:
    """A run that is at its end takes nothing from the day of the others."""
    budget = make_budget(per_run=0.5, per_day=10.0)
    assert await granted(budget.account("r").reserve(0.6)) == 0
    assert [(b.committed_usd, b.calls) for b in await budget.state("r")] == [(0.0, 0), (0.0, 0)]


async def test_runs_share_the_day(make_budget: BudgetMaker) -> None:
    """Each has its own cap, and together they have the day's; so have requests without a run."""
    budget = make_budget(per_run=1.0, per_day=1.5)
    assert await granted(budget.account("a").reserve(1.0)) == 1
    assert await granted(budget.account("b").reserve(1.0)) == 0
    assert await granted(budget.account(None).reserve(0.4)) == 1
    assert await granted(budget.account("b").reserve(0.1)) == 1
    assert await granted(budget.account(None).reserve(0.1)) == 0


async def test_a_cap_survives_a_restart(make_budget: BudgetMaker) -> None:
    """What a killed judge had set aside and never settled stays counted: it may have been paid."""
    await make_budget(per_run=1.0).account("r").reserve(0.9)
    restarted = make_budget(per_run=1.0)
    assert await granted(restarted.account("r").reserve(0.2)) == 0
    assert await granted(restarted.account("r").reserve(0.1)) == 1


async def test_a_day_ends_at_midnight_utc(make_budget: BudgetMaker) -> None:
    """Tomorrow's cap is whole again; a run's is not."""
    assert await granted(make_budget(2.0, 1.0).account("r").reserve(1.0)) == 1
    assert await granted(make_budget(2.0, 1.0).account("r").reserve(0.1)) == 0
    tomorrow = make_budget(2.0, 1.0, now=datetime(2026, 11, 22, 0, 0, tzinfo=UTC))
    assert await granted(tomorrow.account("r").reserve(1.0)) == 1
    assert await granted(tomorrow.account("r").reserve(0.1)) == 0


async def test_a_call_of_yesterday_is_settled_with_yesterday(
    database_url: str, make_budget: BudgetMaker
) -> None:
    """Midnight during a call moves no money."""
    hands = [datetime(2026, 11, 21, 23, 59, tzinfo=UTC)]
    store = Store(database.connect(database_url))
    budget = Budget(store, BudgetSettings(), lambda: hands[0])
    reservation = await budget.account(None).reserve(0.4)
    hands[0] = datetime(2026, 11, 22, 0, 1, tzinfo=UTC)
    await reservation.settle(0.1)
    await store.aclose()
    (yesterday,) = await make_budget(now=NOON).state()
    assert yesterday.committed_usd == pytest.approx(0.1)
    (today,) = await make_budget(now=hands[0]).state()
    assert today.committed_usd == 0.0


async def test_no_cap_is_no_limit_and_is_counted(make_budget: BudgetMaker) -> None:
    """None means that nothing is refused, not that nothing is known."""
    budget = make_budget()
    assert await granted(budget.account("r").reserve(1e6)) == 1
    assert (await budget.state("r"))[1] == Balance("run:r", None, 1e6, 1)
    assert (await budget.state("r"))[1].left_usd is None


@pytest.mark.parametrize(
    ("per_run", "per_day", "words"),
    [
        (1.0, None, ["run 'r'", "$0.9000 of $1.00", "judge.budget.per_run_usd"]),
        (None, 1.0, ["2026-11-21 (UTC)", "$0.9000 of $1.00", "judge.budget.per_day_usd"]),
    ],
)
async def test_a_refusal_says_which_cap_how_much_and_what_to_do(
    make_budget: BudgetMaker, per_run: float | None, per_day: float | None, words: list[str]
) -> None:
    """No second try can mend it, and nobody has to guess what would."""
    budget = make_budget(per_run, per_day)
    await budget.account("r").reserve(0.9)
    with pytest.raises(TeacherError) as refused:
        await budget.account("r").reserve(0.2)
    assert (refused.value.code, refused.value.retryable) == ("budget_exceeded", False)
    assert [word for word in words if word not in refused.value.message] == []
