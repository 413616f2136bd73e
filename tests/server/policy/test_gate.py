"""Requests pass together; a swap passes alone, and waits no longer than its limit."""

from __future__ import annotations

import asyncio

import pytest

from galen.errors import Displaced, Unavailable
from server.policy.gate import Gate

LONG_S = 60.0


async def fly(gate: Gate, end: asyncio.Event, version: str = "") -> None:
    with await gate.enter() as flight:
        flight.version = version
        await end.wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_swap_waits_until_every_flight_has_ended() -> None:
    """The gate counts as closed only once nothing is in flight."""
    gate, ends, events = Gate(LONG_S, LONG_S), [asyncio.Event(), asyncio.Event()], list[str]()
    flights = [asyncio.create_task(fly(gate, end)) for end in ends]
    await settled()

    async def swap() -> None:
        async with gate.closed():
            events.append("swapped")

    swapping = asyncio.create_task(swap())
    ends[0].set()
    await settled()
    assert events == []
    ends[1].set()
    await swapping
    assert events == ["swapped"]
    await asyncio.gather(*flights)


async def test_requests_wait_while_a_swap_is_under_way() -> None:
    """A request that comes during a swap passes after it, and not before."""
    gate = Gate(LONG_S, LONG_S)
    async with gate.closed():
        entering = asyncio.create_task(gate.enter())
        await settled()
        assert not entering.done()
    with await entering:
        pass


async def test_a_request_does_not_wait_for_ever() -> None:
    """After its limit a waiting request is told to retry."""
    gate = Gate(0.01, LONG_S)
    async with gate.closed():
        with pytest.raises(Unavailable) as refused:
            await gate.enter()
    assert refused.value.retry_after_s is not None


async def test_what_outlasts_the_limit_is_cut_off_and_says_why() -> None:
    """The swap goes on; the one that was cut off may ask again; nobody else is touched."""
    gate = Gate(LONG_S, 0.01)
    late = asyncio.create_task(fly(gate, asyncio.Event()))
    await settled()
    async with gate.closed():
        waiting = asyncio.create_task(gate.enter())
        with pytest.raises(Displaced) as cut:
            await late
        assert cut.value.retry_after_s is not None
    assert not late.cancelled() and late.cancelling() == 0
    with await waiting:
        pass


async def test_a_cut_hides_no_cancellation() -> None:
    """A batch whose window ends in that moment is cancelled, and asks no more."""
    gate = Gate(LONG_S, 0.01)
    late = asyncio.create_task(fly(gate, asyncio.Event()))
    await settled()
    for flight in gate._flights:
        flight.cut()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_a_drain_concerns_only_the_flights_that_it_names() -> None:
    """An adapter is unloaded while others answer."""
    gate, end = Gate(LONG_S, 0.01), asyncio.Event()
    other = asyncio.create_task(fly(gate, end, "v2"))
    late = asyncio.create_task(fly(gate, asyncio.Event(), "v1"))
    await settled()
    await gate.drain(lambda flight: flight.version == "v1")
    with pytest.raises(Displaced):
        await late
    assert not other.done()
    end.set()
    await other


async def test_a_flight_that_is_cancelled_by_others_stays_cancelled() -> None:
    """A client that hangs up, or a server that stops, is no displacement."""
    gate = Gate(LONG_S, LONG_S)
    flying = asyncio.create_task(fly(gate, asyncio.Event()))
    await settled()
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying
    async with gate.closed():
        pass
