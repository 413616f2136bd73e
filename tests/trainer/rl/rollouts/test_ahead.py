"""Laws of drawing ahead."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from galen.errors import TrainingStopped
from trainer.rl.rollouts.ahead import Ahead


def test_only_what_is_allowed_is_drawn_one_batch_after_the_other() -> None:
    """The next batches are ready before they are taken, and none beyond the bound is begun."""
    begun: list[int] = []

    async def draw(batch: int) -> int:
        begun.append(batch)
        await asyncio.sleep(0.001)
        return 10 * batch

    ahead = Ahead(draw)
    for batch in (3, 4, 4):
        ahead.allow(batch)
    assert ahead.take(4) == 40
    assert begun == [3, 4]
    assert [ahead.is_allowed(batch) for batch in (3, 4, 5)] == [True, True, False]
    assert ahead.take(3) == 30
    ahead.close()


def test_a_batch_that_was_taken_is_given_away() -> None:
    """A run of many batches holds none that it has learnt from; it is not drawn again."""

    async def draw(batch: int) -> set[int]:
        return {batch}

    ahead = Ahead(draw)
    ahead.allow(1)
    taken = weakref.ref(ahead.take(1))
    ahead.close()
    assert taken() is None
    assert ahead.is_allowed(1)


def test_what_stops_a_batch_is_told_when_it_is_taken() -> None:
    """Not before: the batch that trains meanwhile is learnt from to its end."""

    async def draw(batch: int) -> int:
        raise TrainingStopped("the judge is away")

    ahead = Ahead(draw)
    ahead.allow(1)
    with pytest.raises(TrainingStopped, match="away"):
        ahead.take(1)
    ahead.close()


def test_leaving_cancels_what_is_being_drawn() -> None:
    """A run that stops does not wait for answers that nobody needs."""
    is_begun, ends = asyncio.Event(), []

    async def draw(batch: int) -> int:
        is_begun.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ends.append(batch)
            raise
        return batch

    ahead = Ahead(draw)
    ahead.allow(0)
    ahead.allow(1)
    while not is_begun.is_set():
        pass
    ahead.close()
    assert ends == [0]
