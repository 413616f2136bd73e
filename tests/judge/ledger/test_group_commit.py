"""Group commit: work that waits is done together, and one that fails fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from galen.errors import Unavailable
from judge.ledger import database
from judge.ledger.group_commit import Store
from judge.ledger.tables import SpendingRow


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(database.connect(database_url))
    yield store
    await store.aclose()


def add(connection: Connection, scopes: Sequence[str]) -> list[int]:
    """One row for each; the result says how many were done in this transaction."""
    for scope in scopes:
        values = {"scope": scope, "usd": 0.0, "calls": 0}
        connection.execute(text("INSERT INTO spending VALUES (:scope, :usd, :calls)"), values)
    return [len(scopes)] * len(scopes)


def scopes(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(SpendingRow.scope)).scalars())


async def test_what_waits_is_done_in_one_transaction(store: Store) -> None:
    """While a commit is under way, work gathers; the next commit takes all of it."""
    go = threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait()

    first = asyncio.create_task(store.write(hold))
    await begun.wait()
    waiting = [store.writes.put(add, f"s{i}") for i in range(20)]
    go.set()
    assert await asyncio.gather(*waiting) == [20] * 20
    await first
    assert len(await store.read(scopes)) == 20


async def test_what_is_refused_of_one_does_not_fail_the_others(store: Store) -> None:
    """The guilty is told; what waited with it is done by itself."""
    await store.writes.put(add, "taken")
    waiting = [store.writes.put(add, scope) for scope in ("a", "taken", "b")]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, Unavailable, int]
    assert isinstance(outcomes[1].__cause__, IntegrityError)  # type: ignore[union-attr]
    assert await store.read(scopes) == ["a", "b", "taken"]


async def test_a_mistake_reaches_who_made_it(store: Store) -> None:
    """It is not mistaken for the database's, and the line goes on."""

    def slip(connection: Connection) -> None:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        store.write(slip), store.writes.put(add, "a"), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, int]


async def test_results_come_in_order(store: Store) -> None:
    """Each caller gets its own, whatever else was in the transaction."""
    works = [store.read(lambda _, i=i: i) for i in range(50)]  # type: ignore[misc]
    assert await asyncio.gather(*works) == list(range(50))


async def test_what_is_queued_is_done_before_closing(database_url: str) -> None:
    """Closing loses nothing, and nothing comes after it."""
    store = Store(database.connect(database_url))
    waiting = [store.writes.put(add, f"s{i}") for i in range(5)]
    await store.aclose()
    assert sorted(await asyncio.gather(*waiting)) == [5] * 5
    with pytest.raises(Unavailable, match="stopping"):
        store.writes.put(add, "late")


async def test_who_does_not_wait_any_more_stops_nobody(store: Store) -> None:
    """Work that was queued is done, whether or not anybody hears of it."""
    gone = store.writes.put(add, "gone")
    other = store.writes.put(add, "other")
    gone.cancel()
    await other
    assert await store.read(scopes) == ["gone", "other"]
