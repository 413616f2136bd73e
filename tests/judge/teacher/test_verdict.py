"""What a judgement spends."""

from __future__ import annotations

from judge.teacher.verdict import Spent, TeacherError
from tests.fakes.account import FREE


def test_what_is_spent_adds_up() -> None:
    """Each kind of spending adds to its own kind."""
    total = Spent(1, 2, 3, 0.5) + Spent(10, 20, 30, 0.25)
    assert total == Spent(11, 22, 33, 0.75)


async def test_a_free_account_is_never_empty() -> None:
    """Calls that cost nothing need nobody's leave."""
    reservation = await FREE.reserve(1e9)
    await reservation.settle(1e9)


def test_a_failure_becomes_an_items_error() -> None:
    """Code, message and whether to try again reach the client; nothing else does."""
    error = TeacherError("timeout", "too slow", retryable=True, spent=Spent(cost_usd=1.0))
    assert error.as_item_error().model_dump() == {
        "code": "timeout",
        "message": "too slow",
        "retryable": True,
    }
