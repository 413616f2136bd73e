"""People go before rollouts, and rollouts go on."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Overloaded
from galen.keys import Caller
from server.gateway.admission import LINGER_S, MOST_WAITING, Admission

PERSON = Caller("anna", "user")
ROLLOUT = Caller("run", "rollout")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Crowd:
    """Requests that hold their turns until they are told to end; who is inside, in which order."""

    admission: Admission
    inside: list[int] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)
    _ends: dict[int, asyncio.Event] = field(default_factory=dict)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def come(self, number: int, caller: Caller = ROLLOUT, sequences: int = 1) -> None:
        self._ends[number] = asyncio.Event()
        self._tasks[number] = asyncio.create_task(self._hold(number, caller, sequences))
        await settled()

    async def _hold(self, number: int, caller: Caller, sequences: int) -> None:
        async with self.admission.turn(caller, sequences):
            self.entered.append(number)
            self.inside.append(number)
            try:
                await self._ends[number].wait()
            finally:
                self.inside.remove(number)

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await settled()

    def cancel(self, number: int) -> None:
        self._tasks[number].cancel()

    async def all_gone(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def settled() -> None:
    """Everything that can run has run: a turn of the loop for each task that wakes another."""
    for _ in range(20):
        await asyncio.sleep(0)


def make(places: int, few: int = 1, clock: Clock | None = None) -> Admission:
    return Admission(places, few, clock or Clock())


async def test_rollouts_wait_for_a_place_and_enter_in_the_order_of_coming() -> None:
    """No more are inside than there are places, and the longest waiting is next."""
    crowd = Crowd(make(2))
    for number in range(5):
        await crowd.come(number)
    assert crowd.inside == [0, 1]
    await crowd.end(1)
    await crowd.end(0)
    assert crowd.entered == [0, 1, 2, 3]
    await crowd.all_gone()


async def test_people_do_not_wait_behind_rollouts() -> None:
    """However many rollouts wait, a user and an admin begin at once."""
    crowd = Crowd(make(1))
    for number in range(300):
        await crowd.come(number)
    await crowd.come(1000, PERSON)
    await crowd.come(1001, Caller("boss", "admin"))
    assert crowd.inside == [0, 1000, 1001]
    await crowd.all_gone()


async def test_there_are_fewer_places_while_people_are_about() -> None:
    """From a person's coming until a while after the answer, rollouts that end make room only
    down to the lower number; then they have all their places again."""
    clock = Clock()
    crowd = Crowd(make(4, few=2, clock=clock))
    for number in range(12):
        await crowd.come(number)
    await crowd.come(1000, PERSON)
    for number in (0, 1):
        await crowd.end(number)
    assert crowd.inside == [2, 3, 1000]
    await crowd.end(2)
    assert crowd.inside == [3, 1000, 4], "they go on beside people"
    await crowd.end(1000)
    clock.now += LINGER_S - 0.1
    await crowd.end(3)
    assert crowd.inside == [4, 5], "the next question may come any moment"
    clock.now += 0.2
    await crowd.end(4)
    assert crowd.inside == [5, 6, 7, 8]
    await crowd.all_gone()


async def test_a_rollout_of_many_sequences_takes_as_many_places() -> None:
    """It waits until they are free, nobody overtakes it, and one that is too large goes alone."""
    crowd = Crowd(make(4))
    await crowd.come(0, sequences=2)
    await crowd.come(1, sequences=3)
    await crowd.come(2, sequences=1)
    assert crowd.inside == [0]
    await crowd.end(0)
    assert crowd.inside == [1, 2]
    await crowd.come(3, sequences=100)
    await crowd.end(1)
    assert crowd.inside == [2]
    await crowd.end(2)
    assert crowd.inside == [3]
    await crowd.all_gone()


async def test_a_hang_up_in_the_queue_makes_way() -> None:
    """A large request that gave up waiting no longer holds up the small ones behind it."""
    crowd = Crowd(make(2))
    await crowd.come(0)
    await crowd.come(1, sequences=2)
    await crowd.come(2)
    assert crowd.inside == [0]
    crowd.cancel(1)
    await settled()
    assert crowd.inside == [0, 2]
    await crowd.all_gone()


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_place_and_a_hang_up_at_the_same_moment_lose_nothing(cancelled_first: bool) -> None:
    """Whoever is cancelled just before or just after being let in leaves the place to the next."""
    crowd = Crowd(make(1))
    first = crowd.admission.turn(ROLLOUT)
    await first.__aenter__()
    await crowd.come(1)
    await crowd.come(2)
    if cancelled_first:
        crowd.cancel(1)
    await first.__aexit__(None, None, None)
    if not cancelled_first:
        crowd.cancel(1)
    await settled()
    assert crowd.entered == crowd.inside == [2]
    await crowd.all_gone()


async def test_too_many_waiting_rollouts_are_refused() -> None:
    """The queue is bounded; who is refused is told when to come back."""
    crowd = Crowd(make(1))
    for number in range(MOST_WAITING + 1):
        crowd._ends[number] = asyncio.Event()
        crowd._tasks[number] = asyncio.create_task(crowd._hold(number, ROLLOUT, 1))
    await settled()
    with pytest.raises(Overloaded) as refused:
        async with crowd.admission.turn(ROLLOUT):
            pass
    assert refused.value.retry_after_s
    await crowd.all_gone()
    async with crowd.admission.turn(ROLLOUT):
        pass


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "end", "cancel", "person", "end of person", "later"]),
        st.integers(0, 30),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps=STEPS, places=st.integers(1, 5), few=st.integers(1, 5))
def test_whatever_happens_places_are_kept_and_none_is_lost(
    steps: list[tuple[str, int, int, bool]], places: int, few: int
) -> None:
    """Rollouts come, end and are cancelled at any point, people come and go: never are more
    sequences inside than there are places (a large one alone excepted), the order is that of
    coming, somebody is inside as long as anybody waits, and in the end nothing is left."""
    asyncio.run(_happens(steps, places, few))


async def _happens(steps: list[tuple[str, int, int, bool]], places: int, few: int) -> None:
    clock = Clock()
    crowd = Crowd(make(places, few, clock))
    sizes: dict[int, int] = {}
    came, people, persons = list[int](), deque[int](), count(10_000)
    for what, which, sequences, at_once in steps:
        rollouts = [n for n in crowd.inside if n < 10_000]
        match what:
            case "come":
                number = len(sizes)
                sizes[number] = sequences
                came.append(number)
                await crowd.come(number, ROLLOUT, sequences)
            case "end" if rollouts:
                await crowd.end(rollouts[which % len(rollouts)])
            case "cancel" if came:
                crowd.cancel(came[which % len(came)])
                if at_once and rollouts:  # another's end and the cancellation meet in one turn
                    crowd._ends[rollouts[0]].set()
            case "person":
                people.append(next(persons))
                await crowd.come(people[-1], PERSON)
                assert people[-1] in crowd.inside
            case "end of person" if people:
                await crowd.end(people.popleft())
            case "later":
                clock.now += which
            case _:
                continue
        if not at_once:
            await settled()
        inside = [n for n in crowd.inside if n < 10_000]
        assert len(inside) <= 1 or sum(sizes[n] for n in inside) <= places
    await settled()
    entered = [n for n in crowd.entered if n < 10_000]
    assert entered == sorted(entered)
    if any(not crowd._tasks[n].done() for n in came):
        assert [n for n in crowd.inside if n < 10_000]
    await crowd.all_gone()
    assert (crowd.admission._running, crowd.admission._people) == (0, 0)
    assert not crowd.admission._waiting
