"""The ledger: keys, single flight within and across processes, insert-only rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from galen.errors import Unavailable
from judge.ledger import database, leases, verdict_rows
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.ledger.tables import LeaseRow, RejectedReplyRow, VerdictRow
from judge.rubrics.rubric import RubricRegistry
from judge.teacher.question import Question
from judge.teacher.verdict import Client, RejectedReply, TeacherError, Verdict
from judge.text.case import Case
from tests.fakes.account import FREE
from tests.fakes.scripted_teacher import ScriptedTeacher, verdict

SHELF = RubricRegistry.load()
CASE = Case("问题", "<think>\n想\n</think>\n\n回答", "参考")


def rows(url: str, column: Any) -> list[Any]:
    engine = database.connect(url)
    with engine.connect() as connection:
        found = list(connection.execute(select(column)).scalars())
    engine.dispose()
    return found


def keys_in(url: str) -> list[str]:
    return sorted(rows(url, VerdictRow.key))


LedgerMaker = Callable[..., Ledger]


@pytest.fixture
async def make_ledger(database_url: str) -> AsyncIterator[LedgerMaker]:
    """Makes ledgers that share one database, as judges in several processes do."""
    made: list[Ledger] = []

    def make(lease_s: float = 10.0) -> Ledger:
        made.append(Ledger(Store(database.connect(database_url)), lease_s))
        return made[-1]

    yield make
    for ledger in made:
        await ledger.aclose()


@pytest.fixture
def ledger(make_ledger: LedgerMaker) -> Ledger:
    return make_ledger()


def question(key: str = "k", asked: ScriptedTeacher | None = None) -> Question:
    client = Client("test", FREE)
    return Question(key, SHELF.get("medical"), CASE, asked or ScriptedTeacher(), client)


def failing(error: Exception) -> ScriptedTeacher:
    async def fail(case: Case, client: Client) -> Verdict:
        raise error

    return ScriptedTeacher(fail)


def waiting_for(go: asyncio.Event, why: str = "好") -> ScriptedTeacher:
    async def wait(case: Case, client: Client) -> Verdict:
        await go.wait()
        return verdict(why)

    return ScriptedTeacher(wait)


async def lease_is_renewed(url: str, beyond: float) -> None:
    """Return once the only lease ends later than `beyond`."""
    while rows(url, LeaseRow.expires_at)[0] <= beyond:  # noqa: ASYNC110 - a database tells nobody
        await asyncio.sleep(0.02)


async def test_a_verdict_is_on_disk_before_it_is_told(ledger: Ledger, database_url: str) -> None:
    """Whoever has a verdict can find it again, also from another process."""
    assert await ledger.obtain(question("k1")) == (verdict(), True)
    assert keys_in(database_url) == ["k1"]
    assert await ledger.find(["k1", "k2"]) == {"k1": verdict()}


async def test_lookups_at_once_each_get_their_own(ledger: Ledger) -> None:
    """They share a question to the database, and no answer."""
    await asyncio.gather(*(ledger.obtain(question(key)) for key in ("a", "b", "c")))
    wishes = [["a"], ["b", "x"], ["c", "a"], ["x"]]
    found = await asyncio.gather(*map(ledger.find, wishes))
    assert [set(one) for one in found] == [{"a"}, {"b"}, {"a", "c"}, set()]


async def test_concurrent_askers_share_one_call(ledger: Ledger) -> None:
    """However many want a verdict at once, one call is made and one of them pays."""
    go = asyncio.Event()
    asked = waiting_for(go)
    waiting = asyncio.gather(*(ledger.obtain(question(asked=asked)) for _ in range(1000)))
    await asked.has_asked(1)
    go.set()
    answers = await waiting
    assert len(asked.asked) == 1
    assert [ours for _, ours in answers].count(True) == 1
    assert {got.why for got, _ in answers} == {"好"}


async def test_judges_on_one_database_share_one_call(make_ledger: LedgerMaker) -> None:
    """Who does not get the lease waits for the other's verdict, and does not pay."""
    go = asyncio.Event()
    asked = waiting_for(go)
    judges = [make_ledger() for _ in range(3)]
    waiting = asyncio.gather(
        *(judge.obtain(question(asked=asked)) for judge in judges for _ in range(20))
    )
    await asked.has_asked(1)
    go.set()
    answers = await waiting
    assert len(asked.asked) == 1
    assert [ours for _, ours in answers].count(True) == 1


async def test_judges_that_race_for_many_keys_ask_each_once(
    make_ledger: LedgerMaker, database_url: str
) -> None:
    """As many winners as keys, whoever comes first."""
    asked = ScriptedTeacher()
    judges = [make_ledger() for _ in range(3)]
    keys = [f"k{i:03d}" for i in range(200)]
    answers = await asyncio.gather(
        *(judge.obtain(question(key, asked)) for key in keys for judge in judges)
    )
    assert len(asked.asked) == 200
    assert [ours for _, ours in answers].count(True) == 200
    assert keys_in(database_url) == keys
    assert rows(database_url, LeaseRow.key) == []


async def test_a_verdict_stored_since_the_look_is_not_paid_again(make_ledger: LedgerMaker) -> None:
    """Between looking and asking another judge may have been quicker."""
    first, second = make_ledger(), make_ledger()
    assert await second.find(["k"]) == {}
    await first.obtain(question(asked=ScriptedTeacher()))
    late = ScriptedTeacher()
    assert await second.obtain(question(asked=late)) == (verdict(), False)
    assert late.asked == []


async def test_a_lease_outlasts_its_length_while_its_judge_lives(
    make_ledger: LedgerMaker, database_url: str
) -> None:
    """A teacher may take longer than a lease: the judge that asks renews it."""
    go = asyncio.Event()
    slow, eager = waiting_for(go), ScriptedTeacher()
    lease_s = 3.0
    owner, other = make_ledger(lease_s), make_ledger(lease_s)
    first = asyncio.ensure_future(owner.obtain(question(asked=slow)))
    await slow.has_asked(1)
    second = asyncio.ensure_future(other.obtain(question(asked=eager)))
    (begun,) = rows(database_url, LeaseRow.expires_at)
    await lease_is_renewed(database_url, beyond=begun + lease_s)
    go.set()
    assert await first == (verdict(), True)
    assert await second == (verdict(), False)
    assert eager.asked == []


async def test_a_killed_judges_lease_runs_out(make_ledger: LedgerMaker, database_url: str) -> None:
    """A row that nobody renews holds nobody up for longer than it says."""
    engine = database.connect(database_url)
    with engine.connect().execution_options(**database.WRITES) as c, c.begin():
        leases.claim(c, ["k"], "a judge that was killed", 0.3)
    engine.dispose()
    asked = ScriptedTeacher()
    assert await make_ledger().obtain(question(asked=asked)) == (verdict(), True)
    assert len(asked.asked) == 1


async def test_a_failed_call_frees_its_key_at_once(make_ledger: LedgerMaker) -> None:
    """The judge that waits for it does not wait for the lease's end: it asks for itself."""
    go = asyncio.Event()

    async def fail(case: Case, client: Client) -> Verdict:
        await go.wait()
        raise TeacherError("timeout", "too slow", retryable=True)

    unlucky, other = ScriptedTeacher(fail), ScriptedTeacher()
    hour = 3600.0
    first = asyncio.ensure_future(make_ledger(hour).obtain(question(asked=unlucky)))
    await unlucky.has_asked(1)
    second = asyncio.ensure_future(make_ledger(hour).obtain(question(asked=other)))
    go.set()
    with pytest.raises(TeacherError):
        await first
    assert await second == (verdict(), True)


async def test_closing_frees_every_key(make_ledger: LedgerMaker, database_url: str) -> None:
    """A judge that was told to stop holds nobody up."""
    never = asyncio.Event()
    asked = waiting_for(never)
    ledger = make_ledger(3600.0)
    waiting = [asyncio.ensure_future(ledger.obtain(question(f"k{i}", asked))) for i in range(3)]
    await asked.has_asked(3)
    assert len(rows(database_url, LeaseRow.key)) == 3
    await ledger.aclose()
    assert rows(database_url, LeaseRow.key) == []
    assert all(task.cancelled() for task in waiting)


async def test_who_goes_away_cancels_nobody_else(ledger: Ledger, database_url: str) -> None:
    """The first asker started the call; the second gets the verdict all the same."""
    go = asyncio.Event()
    asked = waiting_for(go)

    async def want() -> tuple[Verdict, bool]:
        return await ledger.obtain(question(asked=asked))

    first = asyncio.create_task(want())
    await asked.has_asked(1)
    second = asyncio.create_task(want())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == (verdict(), False)
    assert first.cancelled()
    assert keys_in(database_url) == ["k"]


async def test_a_call_that_nobody_waits_for_any_more_is_stored(
    ledger: Ledger, database_url: str
) -> None:
    """It was paid for: who asks again finds it."""
    go = asyncio.Event()
    asked = waiting_for(go)
    gone = asyncio.ensure_future(ledger.obtain(question(asked=asked)))
    await asked.has_asked(1)
    gone.cancel()
    go.set()
    await ledger.aclose(drain_s=60.0)
    assert keys_in(database_url) == ["k"]


async def test_a_failure_is_told_to_all_and_stored_for_nobody(
    ledger: Ledger, database_url: str
) -> None:
    """The next request asks again."""
    asked = failing(TeacherError("timeout", "too slow", retryable=True))
    both = [ledger.obtain(question(asked=asked)) for _ in range(2)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TeacherError, TeacherError]
    assert len(asked.asked) == 1
    assert keys_in(database_url) == []
    with pytest.raises(TeacherError):
        await ledger.obtain(question(asked=asked))
    assert len(asked.asked) == 2


async def test_rejected_replies_are_kept(ledger: Ledger, database_url: str) -> None:
    """What was paid for is there to be read, whether a verdict came of it in the end or not."""
    nonsense = RejectedReply("not JSON", "no verdict\0\ud800", 0.0002)
    failure = TeacherError("judge_malformed", "…", retryable=False, rejected=(nonsense,) * 2)
    with pytest.raises(TeacherError):
        await ledger.obtain(question("failed", failing(failure)))

    async def mend(case: Case, client: Client) -> Verdict:
        return verdict(rejected=(nonsense,))

    await ledger.obtain(question("mended", ScriptedTeacher(mend)))
    assert rows(database_url, RejectedReplyRow.key) == ["failed", "failed", "mended"]
    assert rows(database_url, RejectedReplyRow.reply)[0] == "no verdict\ufffd\ufffd"
    assert set(rows(database_url, RejectedReplyRow.model_asked)) == {"m"}


async def test_what_an_endpoint_says_of_itself_is_cut_to_fit(
    ledger: Ledger, database_url: str
) -> None:
    """A foreign model's name is no reason to lose a verdict that was paid for."""

    async def boast(case: Case, client: Client) -> Verdict:
        return verdict("\0", model_answered="很长" * 500, fingerprint="f" * 500)

    await ledger.obtain(question(asked=ScriptedTeacher(boast)))
    assert rows(database_url, VerdictRow.model_answered) == ["很长" * 100]
    assert rows(database_url, VerdictRow.fingerprint) == ["f" * 200]


async def test_a_row_is_never_changed(database_url: str) -> None:
    """Who writes a key second leaves the first verdict standing."""
    engine = database.connect(database_url)
    for why in ("first", "second"):
        row = verdict_rows.verdict_row("k", SHELF.get("medical"), verdict(why))
        with engine.connect().execution_options(**database.WRITES) as c, c.begin():
            verdict_rows.add_verdicts(c, [row])
    with engine.connect() as c:
        assert verdict_rows.find_verdicts(c, ["k"])["k"].why == "first"
    engine.dispose()


async def test_verdicts_that_come_together_are_all_written(
    ledger: Ledger, database_url: str
) -> None:
    """A batch's verdicts share transactions; none of them is lost."""
    turns = iter(range(10_000))

    async def later(case: Case, client: Client) -> Verdict:
        for _ in range(next(turns) % 7):
            await asyncio.sleep(0)
        return verdict()

    asked = ScriptedTeacher(later)
    keys = [f"k{i:03d}" for i in range(600)]
    await asyncio.gather(*(ledger.obtain(question(key, asked)) for key in keys))
    assert keys_in(database_url) == keys
    assert set(await ledger.find(keys)) == set(keys)


async def test_a_database_that_fails_is_an_error_not_a_verdict(tmp_path: Path) -> None:
    """Nobody is told a verdict that was not stored."""
    unmade = Ledger(Store(database.connect(f"sqlite:///{tmp_path / 'empty.sqlite3'}")))
    with pytest.raises(Unavailable, match="no such table"):
        await unmade.obtain(question())
    await unmade.aclose()


async def test_closing_lets_what_is_under_way_end(ledger: Ledger, database_url: str) -> None:
    """What was asked is paid for: it has its time to come back."""
    go = asyncio.Event()
    asked = waiting_for(go)
    waiting = asyncio.ensure_future(ledger.obtain(question(asked=asked)))
    await asked.has_asked(1)
    closing = asyncio.create_task(ledger.aclose(drain_s=60.0))
    await asyncio.sleep(0)
    go.set()
    await closing
    assert await waiting == (verdict(), True)
    assert keys_in(database_url) == ["k"]


async def test_behind_a_closed_door_nothing_is_asked(ledger: Ledger) -> None:
    """New work is told when to come back; what is in the ledger is still found."""
    await ledger.obtain(question("known"))
    ledger.stop_asking()
    asked = ScriptedTeacher()
    with pytest.raises(Unavailable) as refused:
        ledger.obtain(question("new", asked))
    assert refused.value.retry_after_s == 5.0
    assert asked.asked == []
    assert set(await ledger.find(["known"])) == {"known"}


async def test_closing_gives_up_what_hangs(ledger: Ledger) -> None:
    """A judge that stops does not wait for a teacher that never answers."""
    never = asyncio.Event()
    asked = waiting_for(never)
    waiting = asyncio.ensure_future(ledger.obtain(question(asked=asked)))
    await asked.has_asked(1)
    await ledger.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_verdict_that_was_paid_for_survives_a_database_fault(
    ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request fails, since nothing is on disk; a repeat stores it without another call."""
    teacher = ScriptedTeacher()
    stored = verdict_rows.add_verdicts

    def no_space(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("disk is full"))

    monkeypatch.setattr(verdict_rows, "add_verdicts", no_space)
    with pytest.raises(Unavailable):
        await ledger.obtain(question("paid", teacher))
    monkeypatch.setattr(verdict_rows, "add_verdicts", stored)
    assert await ledger.obtain(question("paid", teacher)) == (verdict(), True)
    assert len(teacher.asked) == 1
    assert keys_in(database_url) == ["paid"]
