"""Requests pass together; a swap passes alone."""

from __future__ import annotations

import asyncio

import pytest

from galen.errors import DeadlineExceeded, Unavailable
from server.policy.gate import Gate


async def test_a_swap_waits_until_those_inside_have_left() -> None:
    """The gate counts as closed only once nobody is inside."""
    gate, events = Gate(5.0), list[str]()
    first, second = await gate.enter(), await gate.enter()

    async def swap() -> None:
        async with gate.closed(5.0):
            events.append("swapped")

    swapping = asyncio.create_task(swap())
    await asyncio.sleep(0)
    first.give_back()
    await asyncio.sleep(0)
    assert events == []
    second.give_back()
    await swapping
    assert events == ["swapped"]


async def test_giving_a_pass_back_twice_counts_once() -> None:
    """A pass given back early and again at the end does not let a swap in beside others."""
    gate = Gate(5.0)
    first, _second = await gate.enter(), await gate.enter()
    first.give_back()
    first.give_back()
    with pytest.raises(DeadlineExceeded):
        async with gate.closed(0.01):
            pass


async def test_requests_wait_while_a_swap_is_on() -> None:
    """A request that comes during a swap passes after it, and not before."""
    gate = Gate(5.0)
    async with gate.closed(5.0):
        entering = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        assert not entering.done()
    (await entering).give_back()


async def test_a_request_does_not_wait_for_ever() -> None:
    """Past its limit a waiting request is told to retry."""
    gate = Gate(0.01)
    async with gate.closed(5.0):
        with pytest.raises(Unavailable) as refused:
            await gate.enter()
    assert refused.value.retry_after_s == 0.01


async def test_a_swap_that_cannot_begin_leaves_the_gate_open() -> None:
    """After its time limit the swap has failed and requests pass again."""
    gate = Gate(5.0)
    inside = await gate.enter()
    with pytest.raises(DeadlineExceeded):
        async with gate.closed(0.01):
            pass
    (await gate.enter()).give_back()
    inside.give_back()
