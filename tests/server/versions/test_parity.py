"""The probe's arithmetic and its verdict."""

from __future__ import annotations

import math

import pytest

from galen.errors import VersionRefused
from server.schemas import Probe
from server.versions import parity


def test_the_difference_is_the_mean_over_tokens_not_over_sequences() -> None:
    """A long sequence weighs as much as its tokens."""
    difference = parity.mean_difference([[-1.0, -2.0, -3.0], [-4.0]], [[-1.0, -2.0, -3.0], [-8.0]])
    assert difference == 1.0


def test_a_difference_within_the_limit_is_accepted_and_reported() -> None:
    """Exactly the limit still passes."""
    assert parity.judge("v", [[-1.0]], [[-1.25]], 0.25) == 0.25


@pytest.mark.parametrize(("off", "shown"), [(0.3, "0.3000 nat"), (math.nan, "not a number")])
def test_too_large_a_difference_is_refused_with_its_number(off: float, shown: str) -> None:
    """NaN is no agreement: weights that overflow are refused too."""
    with pytest.raises(VersionRefused, match=shown):
        parity.judge("v", [[-1.0]], [[-1.0 + off]], 0.05)


def test_an_adapter_that_is_the_base_is_refused() -> None:
    """Log-probabilities equal to the base's mean that the adapter reached nothing."""
    with pytest.raises(VersionRefused, match="changes nothing"):
        parity.refuse_no_change("v", [[-1.0, -2.0]], [[-1.0, -2.0]])
    parity.refuse_no_change("v", [[-1.0, -2.0]], [[-1.0, -2.001]])


@pytest.mark.parametrize(
    ("token_ids", "token_logprobs"),
    [
        (((1, 2),), ((-1.0, -1.0),)),
        (((1, 2), (3, 4)), ((-1.0,),)),
        (((1,),), ((),)),
    ],
)
def test_a_probe_whose_numbers_do_not_fit_its_tokens_is_refused(
    token_ids: tuple[tuple[int, ...], ...], token_logprobs: tuple[tuple[float, ...], ...]
) -> None:
    """One log-probability for each token after the first, and at least one of them."""
    with pytest.raises(VersionRefused):
        parity.check_shape(Probe(token_ids=token_ids, token_logprobs=token_logprobs), "v")


def test_a_probe_that_would_take_for_ever_is_refused() -> None:
    """While a probe is computed nobody is answered."""
    most = parity.MOST_SEQUENCES
    parity.check_shape(Probe(token_ids=((1, 2),) * most, token_logprobs=((-1.0,),) * most), "v")
    longer = Probe(token_ids=((1, 2),) * (most + 1), token_logprobs=((-1.0,),) * (most + 1))
    with pytest.raises(VersionRefused, match="more than 64 sequences"):
        parity.check_shape(longer, "v")
