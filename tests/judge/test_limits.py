"""Back-off."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from judge.limits import Backoff


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
