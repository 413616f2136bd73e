"""The fair queue: nobody is forgotten, nobody pushes in, no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.teacher.calls.fair_queue import FairQueue, QueueFullError

BOUND = 100


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


class Crowd:
    """Tasks that enter a queue and note when they got in."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.entered: list[str] = []

    def send(self, *names: str, returning: bool = False) -> list[asyncio.Task[None]]:
        """One task for each name; the name's first letter is the client."""
        return [asyncio.create_task(self._enter(name, returning)) for name in names]

    async def _enter(self, name: str, returning: bool) -> None:
        await self.queue.enter(name[0], returning=returning)
        self.entered.append(name)


async def served(names: Sequence[str], *, places: int = 1) -> list[str]:
    """The order in which a queue with all places taken lets `names` in."""
    queue = FairQueue(places, BOUND)
    for _ in range(places):
        await queue.enter("-")
    crowd = Crowd(queue)
    crowd.send(*names)
    await settle()
    while queue.taken:
        queue.leave()
        await settle()
    return crowd.entered


async def test_clients_take_turns_whatever_their_numbers() -> None:
    """A thousand of one client's do not keep another's single one waiting."""
    assert await served(["a1", "a2", "a3", "a4", "b1", "c1", "c2"]) == [
        "a1", "b1", "c1", "a2", "c2", "a3", "a4",
    ]  # fmt: skip


async def test_a_clients_own_are_served_in_their_order() -> None:
    """First come, first served, within a client."""
    assert await served(["a1", "a2", "a3"]) == ["a1", "a2", "a3"]


async def test_no_more_places_than_the_limit() -> None:
    """Two places: two are in, the third waits for one to leave."""
    crowd = Crowd(FairQueue(2, BOUND))
    crowd.send("a1", "a2", "a3")
    await settle()
    assert (crowd.entered, crowd.queue.taken, crowd.queue.waiting) == (["a1", "a2"], 2, 1)
    crowd.queue.leave()
    await settle()
    assert (crowd.entered, crowd.queue.waiting) == (["a1", "a2", "a3"], 0)


async def test_beyond_the_bound_they_are_turned_away() -> None:
    """One place and one seat to wait in: the third is told at once."""
    queue = FairQueue(1, bound=1)
    assert queue.room == 2
    crowd = Crowd(queue)
    crowd.send("a1", "a2")
    await settle()
    assert queue.room == 0
    with pytest.raises(QueueFullError):
        await queue.enter("b")


async def test_who_returns_goes_first_and_is_never_turned_away() -> None:
    """A judgement that was begun is finished before another is begun."""
    queue = FairQueue(1, bound=1)
    crowd = Crowd(queue)
    crowd.send("a1", "b1")
    await settle()
    crowd.send("c1", "c2", returning=True)
    await settle()
    for _ in range(3):
        queue.leave()
        await settle()
    assert crowd.entered == ["a1", "c1", "c2", "b1"]


async def test_a_lower_limit_waits_until_enough_have_left() -> None:
    """Nobody is thrown out; nobody comes in until there are fewer than the new limit."""
    queue = FairQueue(3, BOUND)
    crowd = Crowd(queue)
    crowd.send("a1", "a2", "a3", "a4")
    await settle()
    queue.limit = 1
    queue.leave()
    queue.leave()
    await settle()
    assert (queue.taken, queue.waiting) == (1, 1)
    queue.leave()
    await settle()
    assert crowd.entered[-1] == "a4"


async def test_a_higher_limit_lets_them_in_at_once() -> None:
    """They need not wait until somebody leaves."""
    queue = FairQueue(1, BOUND)
    crowd = Crowd(queue)
    crowd.send("a1", "a2", "a3")
    await settle()
    queue.limit = 3
    await settle()
    assert crowd.entered == ["a1", "a2", "a3"]


async def test_a_place_given_to_one_who_goes_in_the_same_moment_is_given_on() -> None:
    """Neither the one cancelled before its place came nor the one after keeps it."""
    queue = FairQueue(1, BOUND)
    crowd = Crowd(queue)
    _, before, after, _ = crowd.send("a1", "a2", "a3", "a4")
    await settle()
    before.cancel()
    queue.leave()  # goes past a2, whose future is cancelled, to a3
    after.cancel()  # which has a place, but has not run since
    await settle()
    assert (crowd.entered, queue.taken, queue.waiting) == (["a1", "a4"], 1, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("leave"), st.just(""), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("limit"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("run"), st.just(""), st.just(True)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 3), st.integers(0, 8))
def test_no_place_is_ever_lost(
    steps: list[tuple[str, object, bool]], limit: int, bound: int
) -> None:
    """Whatever comes, goes and is cancelled in whatever moment: once all have left, every place is
    free again and nobody waits."""
    asyncio.run(play(steps, limit, bound))


async def play(steps: list[tuple[str, object, bool]], limit: int, bound: int) -> None:
    queue, tasks = FairQueue(limit, bound), list[asyncio.Task[None]]()
    left = 0

    def inside() -> int:
        ended = [t for t in tasks if t.done() and not t.cancelled() and t.exception() is None]
        return len(ended) - left

    for step, value, flag in steps:
        if step == "enter":
            tasks.append(asyncio.create_task(queue.enter(str(value), returning=flag)))
        elif step == "leave" and inside():
            queue.leave()
            left += 1
        elif step == "cancel" and tasks:
            tasks[int(str(value)) % len(tasks)].cancel()
        elif step == "limit":
            queue.limit = int(str(value))
        elif step == "run":
            await settle()
        assert queue.room >= 0
    await settle()
    assert queue.taken == inside()
    assert queue.waiting == 0 or queue.taken >= queue.limit, "a place is free while somebody waits"
    while inside():
        queue.leave()
        left += 1
        await settle()
    assert (queue.taken, queue.waiting) == (0, 0)
    assert all(task.done() for task in tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
