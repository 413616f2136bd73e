"""Keys have limits: so many requests a minute, so many under way at once."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Overloaded
from galen.keys import Caller
from galen.service.key_limits import LEFT_IN_SCOPE, WINDOW_S, KeyLimits

RATES = st.integers(1, 30) | st.integers(1, 6000)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def refused_for(limits: KeyLimits, caller: Caller) -> float:
    """Seconds after which a request may come back; 0 if it was not refused, and has ended."""
    try:
        with limits.turn(caller, {}):
            return 0.0
    except Overloaded as error:
        assert error.retry_after_s
        assert caller.name in error.message
        return error.retry_after_s


def told(limits: KeyLimits, caller: Caller) -> dict[str, str]:
    """What the answer's headers say of the rate, whether the request is refused or not."""
    scope: dict[str, Any] = {}
    with suppress(Overloaded), limits.turn(caller, scope):
        pass
    found = {name.decode(): value.decode() for name, value in scope.get(LEFT_IN_SCOPE, [])}
    return {name.removeprefix("x-ratelimit-"): value for name, value in found.items()}


def seconds_of(duration: str) -> float:
    return float(duration[:-2]) / 1000 if duration.endswith("ms") else float(duration[:-1])


@given(per_minute=RATES, pauses=st.lists(st.floats(0, 30), max_size=80))
def test_a_rate_is_never_exceeded_and_the_wait_that_is_named_is_the_right_one(
    per_minute: int, pauses: list[float]
) -> None:
    """No minute sees more begin than the rate; who comes back after the seconds named is let in,
    and a little earlier is not."""
    clock, began = Clock(), list[float]()
    limits, caller = KeyLimits(clock), Caller("anna", "user", per_minute=per_minute)
    for pause in pauses:
        clock.now += pause
        if wait_s := refused_for(limits, caller):
            at = clock.now
            clock.now = at + wait_s * 0.99
            assert refused_for(limits, caller)
            clock.now = at + wait_s
            assert not refused_for(limits, caller)
        began.append(clock.now)
    for first, last in zip(began, began[per_minute:], strict=False):
        assert last - first >= WINDOW_S - 0.001


@given(per_minute=st.integers(1, 30), pauses=st.lists(st.floats(0, 60), max_size=40))
def test_what_is_left_of_a_rate_is_what_may_begin_now(per_minute: int, pauses: list[float]) -> None:
    """As many more as `remaining` are let in at this moment and the next is refused; after the
    `reset` that is then told, it is again what a key at rest has left after one."""
    clock = Clock()
    limits, caller = KeyLimits(clock), Caller("anna", "user", per_minute=per_minute)
    at_rest = told(limits, caller)
    assert at_rest["limit-requests"] == str(per_minute)
    for pause in pauses:
        clock.now += pause
        remaining = int(told(limits, caller)["remaining-requests"])
        waits = [refused_for(limits, caller) for _ in range(remaining + 1)]
        assert [wait_s > 0 for wait_s in waits] == [False] * remaining + [True]
        spent = told(limits, caller)
        assert spent["remaining-requests"] == "0"
        clock.now += seconds_of(spent["reset-requests"])
        assert told(limits, caller) == at_rest


def test_what_is_left_is_told_as_openai_does() -> None:
    """The three headers after one request of a key at rest, and again a while later."""
    clock = Clock()
    limits, caller = KeyLimits(clock), Caller("anna", "user", per_minute=60)
    at_rest = {"limit-requests": "60", "remaining-requests": "59", "reset-requests": "60s"}
    assert told(limits, caller) == at_rest
    caller = replace(caller, at_once=1)
    with limits.turn(caller, {}):
        clock.now += 58.5
        assert told(limits, caller) == at_rest | {
            "remaining-requests": "58",
            "reset-requests": "1.5s",
        }


def test_no_clock_makes_a_round_time_odd() -> None:
    """At this reading a minute later is a little more than a minute away."""
    assert 125.3 + 60.0 - 125.3 > 60.0
    rate = Caller("anna", "user", per_minute=6)
    assert told(KeyLimits(Clock(125.3)), rate)["reset-requests"] == "60s"


def test_a_key_without_a_rate_is_told_of_none() -> None:
    """Neither one without limits nor one that is limited at once alone."""
    limits = KeyLimits(Clock())
    assert told(limits, Caller("anna", "user")) == {}
    assert told(limits, Caller("ben", "user", at_once=1)) == {}


def test_a_key_at_rest_may_begin_its_whole_minute_at_once() -> None:
    """The next then waits until the first is a minute old, and the refusal says so."""
    clock = Clock()
    limits, caller = KeyLimits(clock), Caller("anna", "user", per_minute=3)
    assert [refused_for(limits, caller) for _ in range(5)] == [0, 0, 0, 60.0, 60.0]
    clock.now += 45.0
    with pytest.raises(Overloaded) as caught, limits.turn(caller, {}):
        pass
    assert caught.value.message == (
        "the key 'anna' has begun 3 request(s) in the last minute and may begin 3; "
        "come back in 15.0 s"
    )


def test_a_changed_limit_counts_what_was_begun_before() -> None:
    """Limits that change while a key works apply from its next request."""
    clock = Clock()
    limits = KeyLimits(clock)
    for _ in range(4):
        assert not refused_for(limits, Caller("anna", "user", per_minute=10))
        clock.now += 1
    fewer = Caller("anna", "user", per_minute=2)
    assert told(limits, fewer)["remaining-requests"] == "0"
    assert refused_for(limits, fewer) == pytest.approx(58.0)
    assert not refused_for(limits, Caller("anna", "user", per_minute=5))


def test_limits_go_by_key() -> None:
    """What one key uses up, another still has; a key without limits has none."""
    limits = KeyLimits(Clock())
    anna, ben = (Caller(name, "user", per_minute=1) for name in ("anna", "ben"))
    refused = [bool(refused_for(limits, who)) for who in (anna, anna, ben)]
    assert refused == [False, True, False]
    assert not any(refused_for(limits, Caller("eve", "user")) for _ in range(1000))


def test_work_in_a_keys_name_is_not_limited() -> None:
    """A key at its limits may still have a batch that goes on in its name, and the batch takes
    nothing of them."""
    limits = KeyLimits(Clock())
    limited, work = Caller("anna", "user", at_once=1), Caller("anna", "rollout")
    with limits.turn(limited, {}):
        assert refused_for(limits, limited)
        assert not refused_for(limits, work)
    with limits.turn(work, {}):
        assert not refused_for(limits, limited)


@pytest.mark.parametrize("role", ["user", "rollout", "admin"])
def test_a_key_has_no_more_under_way_than_it_may(role: str) -> None:
    """The next is refused, and passes when one has ended or failed; a refusal uses nothing of the
    key's rate."""
    limits = KeyLimits(Clock())
    caller = Caller("team", role, per_minute=60, at_once=2)  # type: ignore[arg-type]
    with limits.turn(caller, {}):
        with pytest.raises(ZeroDivisionError), limits.turn(caller, {}):
            for _ in range(100):
                assert refused_for(limits, caller)
            raise ZeroDivisionError
        assert not refused_for(limits, caller)


def test_whoever_is_refused_is_told_of() -> None:
    """Once for each refusal, whichever limit it was; nobody else is."""
    refused = list[Caller]()
    limits = KeyLimits(Clock(), refused.append)
    often, much = Caller("a", "user", per_minute=1), Caller("b", "rollout", at_once=1)
    for _ in range(3):
        refused_for(limits, often)
    with limits.turn(much, {}):
        refused_for(limits, much)
    assert refused == [often, often, much]


def test_threads_count_as_one() -> None:
    """Requests that begin and end on many threads leave nothing behind."""
    limits, caller = KeyLimits(Clock()), Caller("team", "user", at_once=1000)

    def many() -> None:
        for _ in range(2000):
            with limits.turn(caller, {}):
                pass

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one = Caller("team", "user", at_once=1)
    with limits.turn(one, {}):
        assert refused_for(limits, one)
