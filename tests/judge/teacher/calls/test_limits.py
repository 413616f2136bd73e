"""Back-off, window, circuit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.teacher.calls.limits import Backoff, Breaker, CircuitOpenError, Deadline, Window


@given(tries=st.integers(1, 200), seed=st.integers(), asked=st.none() | st.floats(0, 100))
def test_a_wait_is_bounded_and_heeds_retry_after(
    tries: int, seed: int, asked: float | None
) -> None:
    """At least what was asked for, and at most the growing bound above it."""
    backoff = Backoff(base_s=0.5, cap_s=15.0, chance=random.Random(seed))
    floor = asked or 0.0
    assert floor <= backoff.seconds(tries, asked) <= floor + min(15.0, 0.5 * 2 ** min(tries, 30))


def test_the_bound_grows() -> None:
    """Later tries wait longer on the whole, so that a storm thins out."""
    backoff = Backoff(base_s=0.5, cap_s=100.0, chance=random.Random(0))
    means = [sum(backoff.seconds(tries) for _ in range(200)) for tries in (1, 3, 5)]
    assert means == sorted(means)


async def test_a_deadline_leaves_what_is_left() -> None:
    """A wait that would outlast it is not begun."""
    deadline = Deadline(60.0)
    assert deadline.leaves(1.0)
    assert not deadline.leaves(61.0)
    assert Deadline(0.0).left_s == 0.0


def test_a_burst_of_refusals_halves_the_window_once() -> None:
    """Calls that were under way together tell the same news."""
    window = Window(16)
    tickets = [window.ticket for _ in range(16)]
    for ticket in tickets:
        window.refused(ticket)
    assert window.limit == 8
    window.refused(window.ticket)
    assert window.limit == 4


def test_a_window_never_closes() -> None:
    """One call at a time is left, or nobody would find out that the storm is over."""
    window = Window(3)
    for _ in range(5):
        window.refused(window.ticket)
    assert window.limit == 1


def test_a_window_grows_by_one_for_each_full_window_of_successes() -> None:
    """From two: two successes make three, three more make four."""
    window = Window(4)
    window.refused(window.ticket)
    sizes = []
    for _ in range(10):
        window.succeeded()
        sizes.append(window.limit)
    assert sizes == [2, 3, 3, 3, 4, 4, 4, 4, 4, 4]


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 64))
def test_a_window_stays_within_its_bounds(outcomes: list[bool], most: int) -> None:
    """Whatever comes, between one and the most."""
    window = Window(most)
    for good in outcomes:
        window.succeeded() if good else window.refused(window.ticket)
        assert 1 <= window.limit <= most


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breaker:
    breaker = Breaker(failures, rest_s=10.0, clock=clock)
    for _ in range(failures):
        breaker.failed()
    return breaker


def test_a_run_of_failures_opens_the_circuit() -> None:
    """The third in a row; calls are refused then, with how long."""
    breaker = Breaker(3, rest_s=10.0, clock=Clock())
    breaker.failed()
    breaker.failed()
    with breaker.call():
        pass
    assert breaker.circuit == "closed"
    breaker.failed()
    assert (breaker.circuit, breaker.retry_after_s) == ("open", 10.0)
    with pytest.raises(CircuitOpenError, match=r"3 calls in a row .* in 10\.0 s"), breaker.call():
        pytest.fail("let through")


def test_a_success_between_keeps_it_closed() -> None:
    """Trouble now and again is the back-off's affair."""
    breaker = Breaker(3, rest_s=10.0, clock=Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.circuit == "closed"


def test_after_the_rest_one_call_tries() -> None:
    """A second one at the same time is refused; a success closes the circuit."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10.0
    assert breaker.circuit == "half_open"
    with breaker.call():
        with pytest.raises(CircuitOpenError, match="probing"):
            breaker.check()
        breaker.succeeded()
    assert breaker.circuit == "closed"
    breaker.failed()
    assert breaker.circuit == "closed", "the run of failures starts anew"


def test_a_failed_try_opens_it_again() -> None:
    """One failure is enough then."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10.0
    with breaker.call():
        breaker.failed()
    assert (breaker.circuit, breaker.retry_after_s) == ("open", 10.0)


def test_a_try_that_was_given_up_leaves_the_way_free() -> None:
    """A cancelled call tells nothing; the next one tries."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10.0
    with pytest.raises(KeyboardInterrupt), breaker.call():
        raise KeyboardInterrupt
    breaker.check()
