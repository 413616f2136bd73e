"""The ledger: keys, single flight, insert-only rows."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from galen.errors import Unavailable
from judge import database
from judge.case import Case
from judge.ledger import Ledger, key_of
from judge.mock_teacher import MockTeacher
from judge.models import VerdictRow
from judge.prices import Prices
from judge.rubric import RubricShelf
from judge.settings import TeacherSettings
from judge.teacher import OpenAITeacher
from judge.verdict import TeacherError, Verdict

SHELF = RubricShelf.load()
CASE = Case("问题", "<think>\n想\n</think>\n\n回答", "参考")


def verdict(why: str = "好") -> Verdict:
    return Verdict(
        scores={"safety": 0.5},
        why=why,
        reply="{}",
        provider="somebody",
        model_asked="m",
        model_answered="m-1",
        fingerprint="fp",
    )


def keys_in(url: str) -> list[str]:
    engine = database.connect(url)
    with engine.connect() as connection:
        found = list(connection.execute(select(VerdictRow.key)).scalars())
    engine.dispose()
    return found


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database.connect(database_url))
    yield ledger
    await ledger.aclose()


def teacher(**changes: Any) -> OpenAITeacher:
    return OpenAITeacher(TeacherSettings(**changes), "a-key", Prices.load())


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(CASE, prompt="问题 "),
        dataclasses.replace(CASE, response="<think>\n想\n</think>\n\n回答 "),
        dataclasses.replace(CASE, response="<think>\n想 \n</think>\n\n回答"),
        dataclasses.replace(CASE, reference=""),
    ],
)
def test_every_character_of_the_item_is_in_the_key(other: Case, shelf: RubricShelf) -> None:
    """White space is not normalised: tricks with it are attacks."""
    rubric = shelf.get("medical")
    assert key_of(MockTeacher(), rubric, CASE) != key_of(MockTeacher(), rubric, other)


async def test_whatever_can_change_a_verdict_is_in_the_key(shelf: RubricShelf) -> None:
    """Endpoint, model, epoch, sampling and mock or not each make another key."""
    rubric = shelf.get("medical")
    teachers = [
        teacher(),
        teacher(base_url="http://127.0.0.1:9/v1"),
        teacher(model="another"),
        teacher(epoch="2"),
        teacher(max_tokens=700),
        teacher(thinking_off=False),
    ]
    keys = {key_of(one, rubric, CASE) for one in [*teachers, MockTeacher()]}
    assert len(keys) == len(teachers) + 1
    for one in teachers:
        await one.aclose()


async def test_what_cannot_change_a_verdict_is_not_in_the_key(shelf: RubricShelf) -> None:
    """Keys, time limits and concurrency may change without paying again."""
    rubric = shelf.get("medical")
    patient = OpenAITeacher(
        TeacherSettings(deadline_s=5.0, concurrency=2), "another-key", Prices.load()
    )
    plain = teacher()
    assert key_of(plain, rubric, CASE) == key_of(patient, rubric, CASE)
    await plain.aclose()
    await patient.aclose()


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_key_is_the_same_every_time(prompt: str, response: str) -> None:
    """The random boundary of a request is not in its key."""
    rubric = SHELF.get("medical")
    case = Case(prompt, response)
    assert key_of(MockTeacher(), rubric, case) == key_of(MockTeacher(), rubric, case)


async def test_a_verdict_is_on_disk_before_it_is_told(
    ledger: Ledger, shelf: RubricShelf, database_url: str
) -> None:
    """Whoever has a verdict can find it again, also from another process."""

    async def ask() -> Verdict:
        return verdict()

    got, ours = await ledger.obtain("k1", shelf.get("medical"), ask)
    assert (got, ours) == (verdict(), True)
    assert keys_in(database_url) == ["k1"]
    assert await ledger.find(["k1", "k2"]) == {"k1": verdict()}


async def test_concurrent_askers_share_one_call(ledger: Ledger, shelf: RubricShelf) -> None:
    """However many want a verdict at once, one call is made and one of them pays."""
    calls = 0
    go = asyncio.Event()

    async def ask() -> Verdict:
        nonlocal calls
        calls += 1
        await go.wait()
        return verdict()

    rubric = shelf.get("medical")
    waiting = [asyncio.create_task(ledger.obtain("k", rubric, ask)) for _ in range(50)]
    await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(*waiting)
    assert calls == 1
    assert [ours for _, ours in answers].count(True) == 1
    assert {got.why for got, _ in answers} == {"好"}


async def test_who_goes_away_cancels_nobody_else(
    ledger: Ledger, shelf: RubricShelf, database_url: str
) -> None:
    """The first asker started the call; the second gets the verdict all the same."""
    go = asyncio.Event()

    async def ask() -> Verdict:
        await go.wait()
        return verdict()

    rubric = shelf.get("medical")
    first = asyncio.create_task(ledger.obtain("k", rubric, ask))
    await asyncio.sleep(0)
    second = asyncio.create_task(ledger.obtain("k", rubric, ask))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == (verdict(), False)
    assert first.cancelled()
    assert keys_in(database_url) == ["k"]


async def test_a_failure_is_told_to_all_and_stored_for_nobody(
    ledger: Ledger, shelf: RubricShelf, database_url: str
) -> None:
    """The next request asks again."""
    calls = 0

    async def fail() -> Verdict:
        nonlocal calls
        calls += 1
        raise TeacherError("timeout", "too slow", retryable=True)

    rubric = shelf.get("medical")
    both = [ledger.obtain("k", rubric, fail) for _ in range(2)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TeacherError, TeacherError]
    assert calls == 1
    assert keys_in(database_url) == []
    with pytest.raises(TeacherError):
        await ledger.obtain("k", rubric, fail)
    assert calls == 2


async def test_a_row_is_never_changed(
    ledger: Ledger, shelf: RubricShelf, database_url: str
) -> None:
    """Who writes a key second, as a second process may, leaves the first verdict standing."""
    rubric = shelf.get("medical")
    other = Ledger(database.connect(database_url))

    async def ask(why: str) -> Verdict:
        return verdict(why)

    await ledger.obtain("k", rubric, lambda: ask("first"))
    await other.obtain("k", rubric, lambda: ask("second"))
    assert (await ledger.find(["k"]))["k"].why == "first"
    await other.aclose()


async def test_verdicts_that_come_together_are_all_written(
    ledger: Ledger, shelf: RubricShelf, database_url: str
) -> None:
    """A batch's verdicts may share a transaction; none of them is lost."""
    rubric = shelf.get("medical")

    async def ask(turns: int) -> Verdict:
        for _ in range(turns):
            await asyncio.sleep(0)
        return verdict()

    keys = [f"k{i:03d}" for i in range(600)]
    await asyncio.gather(
        *(ledger.obtain(key, rubric, lambda i=i: ask(i % 7)) for i, key in enumerate(keys))
    )
    assert sorted(keys_in(database_url)) == keys
    assert set(await ledger.find(keys)) == set(keys)


async def test_a_database_that_fails_is_an_error_not_a_verdict(
    shelf: RubricShelf, tmp_path: Path
) -> None:
    """Nobody is told a verdict that was not stored."""
    unmade = Ledger(database.connect(f"sqlite:///{tmp_path / 'empty.sqlite3'}"))

    async def ask() -> Verdict:
        return verdict()

    with pytest.raises(Unavailable, match="no such table"):
        await unmade.obtain("k", shelf.get("medical"), ask)
    await unmade.aclose()


async def test_closing_gives_up_what_is_still_asked(database_url: str, shelf: RubricShelf) -> None:
    """A judge that stops does not wait for a teacher that hangs."""
    ledger = Ledger(database.connect(database_url))
    never = asyncio.Event()

    async def hang() -> Verdict:
        await never.wait()
        return verdict()

    waiting = asyncio.create_task(ledger.obtain("k", shelf.get("medical"), hang))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await ledger.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
