"""Real judges in processes of their own on one database: they share calls, `kill -9` or not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import select, text

from judge.ledger import database
from judge.ledger.tables import LeaseRow, VerdictRow
from tests.fakes.postgres import Postgres, running_postgres
from tests.fakes.teacher import FakeTeacher, Good, Hang, Wait, answer_in

ROOT = Path(__file__).parents[2]
CONCURRENCY = 16
LEASE_S, LONG_LEASE_S = 5.0, 60.0
"""Of a judge that will be killed, since the next has to wait so long, and of any other."""


@dataclass
class Judge:
    """`galen judge serve` in a process."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    async def ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=None, trust_env=False) as client:
            while True:
                assert self.process.poll() is None, self.log.read_text("utf-8")
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.ConnectError:
                    pass  # it has not begun to listen
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


JudgeMaker = Callable[..., Judge]
"""Takes the length of its leases, else a long one."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


BY_POSTGRES = pytest.param("postgresql", marks=pytest.mark.prove)
"""Where what differs between the two is held elsewhere: leases over processes by the batches that
overlap, all else by the ledger's own tests."""


@pytest.fixture(params=["sqlite", BY_POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'judge.sqlite3'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.empty()
    yield made
    server.drop(made)


@pytest.fixture
async def teacher() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
def start(url: str, teacher: FakeTeacher, tmp_path: Path) -> Iterator[JudgeMaker]:
    """Starts judges on one database and one teacher."""
    made: list[Judge] = []

    def make(lease_s: float = LONG_LEASE_S) -> Judge:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        stack = tmp_path / f"stack{len(made)}.yaml"
        settings = {
            "port": port,
            "database_url": url,
            "lease_s": lease_s,
            "teacher": {"concurrency": CONCURRENCY},
        }
        fields = {"name": "t", "server": {"model": "none"}, "judge": settings}
        stack.write_text(yaml.safe_dump(fields), "utf-8")
        log = tmp_path / f"judge{len(made)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "judge", "serve", str(stack)],
                cwd=tmp_path,
                env=environment(teacher),
                stdout=file,
                stderr=file,
            )
        made.append(Judge(f"http://127.0.0.1:{port}", process, log))
        return made[-1]

    yield make
    for judge in made:
        if judge.process.poll() is None:
            judge.kill()


def environment(teacher: FakeTeacher) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("GALEN_KEYS", "JUDGE_MODEL")}
    ours = {"PYTHONPATH": str(ROOT), "JUDGE_BASE_URL": teacher.url, "DEEPSEEK_API_KEY": "any"}
    return {**kept, **ours}


def answer(number: int) -> str:
    words = f"嗓子痛可能与咽炎有关（第{number}号）。建议多喝温水。如果高烧不退，请尽快就医。"
    return f"<think>\n嗓子痛两天，可能是咽炎。\n</think>\n\n{words}"


async def score(
    client: httpx.AsyncClient, judge: Judge, numbers: range, teacher: str = "required"
) -> dict[str, Any]:
    items = [{"id": str(n), "prompt": "嗓子痛怎么办？", "response": answer(n)} for n in numbers]
    body = {"rubric": "medical", "items": items, "teacher": teacher}
    reply = await client.post(f"{judge.url}/v1/score", json=body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=240.0, limits=limits, trust_env=False) as client:
        yield client


def stored(url: str) -> dict[str, Any]:
    """Every verdict on disk, by its key."""
    engine = database.connect(url)
    with engine.connect() as connection:
        found = connection.execute(select(VerdictRow.__table__)).mappings().all()
    engine.dispose()
    return {row["key"]: dict(row) for row in found}


def leased(url: str) -> int:
    engine = database.connect(url)
    with engine.connect() as connection:
        found = len(connection.execute(select(LeaseRow.key)).all())
    engine.dispose()
    return found


async def nobody_writes(url: str) -> None:
    """Return once the database has done all that a killed judge had sent: PostgreSQL ends a commit
    whose client is gone."""
    if not url.startswith("postgresql"):
        return
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    engine = database.connect(url)
    with engine.connect() as connection:
        while connection.execute(others).scalar_one():
            connection.rollback()  # within one transaction the view stands still
            await asyncio.sleep(0.05)
    engine.dispose()


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.prove)])
async def test_many_identical_requests_to_two_judges_are_one_call(
    start: JudgeMaker, teacher: FakeTeacher, client: httpx.AsyncClient, count: int
) -> None:
    """Whichever they reach, all are told the one verdict, and one of them pays for it.

    Both judges start at the same moment, on a database without a table.
    """
    judges = [start(), start()]
    await asyncio.gather(*(judge.ready() for judge in judges))
    go = asyncio.Event()
    teacher.enqueue(Wait(go))
    asking = [asyncio.create_task(score(client, judges[n % 2], range(1))) for n in range(count)]
    await teacher.has_asked(1)
    await asyncio.wait(asking, timeout=1.0)  # most of them are with the judges by then
    go.set()
    items = [(await task)["items"][0] for task in asking]
    assert len(teacher.requests) == 1
    assert len({item["reward"] for item in items}) == 1
    assert [item["cached"] for item in items].count(False) == 1
    assert sum(item["cost"] > 0 for item in items) == 1


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
async def test_batches_that_overlap_are_paid_once(
    start: JudgeMaker, teacher: FakeTeacher, client: httpx.AsyncClient, url: str
) -> None:
    """Two trainers with some answers in common: each answer is asked about once."""
    judges = [start(), start()]
    await asyncio.gather(*(judge.ready() for judge in judges))
    halves = [range(0, 120), range(60, 180)]
    told = await asyncio.gather(*map(score, [client] * 2, judges, halves))
    assert [{item["status"] for item in one["items"]} for one in told] == [{"ok"}] * 2
    assert set(Counter(map(answer_in, teacher.requests)).values()) == {1}
    assert len(teacher.requests) == 180
    assert len(stored(url)) == 180
    assert leased(url) == 0


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_judge_that_is_told_to_stop_ends_what_it_began(
    start: JudgeMaker, teacher: FakeTeacher, client: httpx.AsyncClient, url: str
) -> None:
    """SIGTERM: the request under way is answered, its verdict is on disk, no lease is left."""
    judge = start()
    await judge.ready()
    go = asyncio.Event()
    teacher.enqueue(Wait(go))
    waiting = asyncio.create_task(score(client, judge, range(1)))
    await teacher.has_asked(1)
    judge.process.send_signal(signal.SIGTERM)
    go.set()
    assert (await waiting)["items"][0]["status"] == "ok"
    assert await asyncio.to_thread(judge.process.wait, 60) == -signal.SIGTERM
    assert "Application shutdown complete" in judge.log.read_text("utf-8")
    assert (len(stored(url)), leased(url)) == (1, 0)


@pytest.mark.parametrize(
    "calm",
    [True, pytest.param(False, marks=pytest.mark.prove)],
    ids=["while-calls-hang", "in-full-flow"],
)
async def test_kill_9_loses_no_verdict_and_pays_for_none_twice(
    start: JudgeMaker, teacher: FakeTeacher, client: httpx.AsyncClient, url: str, calm: bool
) -> None:
    """In the middle of a thousand items; started again and asked again.

    What was on disk stays and is never asked again. Only what had been asked and was not on disk
    is: a reply that was lost on its way cannot be known to be paid.
    """
    if calm:  # 300 verdicts are on disk, and every call that is under way goes without an answer
        teacher.enqueue(*[Good()] * 300, *[Hang()] * CONCURRENCY)
    judge = start(LEASE_S)
    await judge.ready()
    cut_off = asyncio.create_task(score(client, judge, range(1000)))
    await teacher.has_asked(300 + CONCURRENCY)
    while calm and len(stored(url)) < 300:  # noqa: ASYNC110 - a database tells nobody
        await asyncio.sleep(0.05)
    judge.kill()
    with pytest.raises(httpx.TransportError):
        await cut_off
    await nobody_writes(url)
    before = stored(url)

    again = start()
    await again.ready()
    items = (await score(client, again, range(1000)))["items"]
    after = stored(url)
    asks = Counter(map(answer_in, teacher.requests))
    known = {item["id"] for item in items if item["cached"]}
    asked_of_known = {asks[answer(int(n)).rpartition("\n")[2]] for n in known}
    twice = sum(number == 2 for number in asks.values())

    assert {item["status"] for item in items} == {"ok"}
    assert {key: after[key] for key in before} == before
    assert (len(before), len(after)) == (len(known), 1000)
    assert asked_of_known == {1}
    assert len(teacher.requests) == 1000 + twice
    assert leased(url) == 0
    if calm:
        assert (len(before), twice) == (300, CONCURRENCY)
