"""From logits to a token: each rule by itself, and the order that vLLM gives them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from server.simple import sampling
from server.simple.sampling import Sampling, draw, processed_logprobs

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])
logit_rows = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40).map(torch.tensor)


def kept(logits_V: Tensor) -> list[int]:
    return torch.isfinite(logits_V).nonzero().flatten().tolist()


@given(logit_rows)
def test_the_defaults_are_the_models_own_distribution(logits_V: Tensor) -> None:
    """Importance ratios need the distribution as it is."""
    processed = processed_logprobs(logits_V, Sampling(), [0], [0])
    torch.testing.assert_close(processed, logits_V.log_softmax(-1))


@given(logit_rows, st.floats(0.05, 2), st.floats(0.01, 1), st.integers(-1, 50), st.floats(0, 1))
def test_what_is_left_is_a_distribution_with_the_likeliest_token(
    logits_V: Tensor, temperature: float, top_p: float, top_k: int, min_p: float
) -> None:
    """However much is ruled out, probabilities add up to one and the likeliest token stays."""
    rules = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    processed = processed_logprobs(logits_V, rules, [], [])
    assert float(processed.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert math.isfinite(processed[int(logits_V.argmax())])


@given(logit_rows, st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_tokens_that_reach_it(logits_V: Tensor, top_p: float) -> None:
    """What stays reaches `top_p`; without its last token it would not."""
    probs_V = logits_V.softmax(-1)
    staying = probs_V[kept(sampling.keep_top_p(logits_V, top_p))]
    assert float(staying.sum()) >= top_p - 1e-4
    assert float(staying.sum() - staying.min()) < top_p + 1e-4


def test_top_k_keeps_k_tokens() -> None:
    """0, -1 and more than there are keep all."""
    assert kept(sampling.keep_top_k(LOGITS, 2)) == [0, 1]
    for everything in (0, -1, 5, 99):
        assert kept(sampling.keep_top_k(LOGITS, everything)) == [0, 1, 2, 3, 4]


def test_min_p_is_relative_to_the_likeliest_token() -> None:
    """A token with a tenth of the likeliest one's probability goes at 0.2 and stays at 0.05."""
    logits_V = torch.tensor([0.0, math.log(0.1)])
    assert kept(sampling.keep_min_p(logits_V, 0.2)) == [0]
    assert kept(sampling.keep_min_p(logits_V, 0.05)) == [0, 1]


def test_penalties_count_what_they_say() -> None:
    """Repetition counts the prompt too, and pushes towards less likely on both sides of zero."""
    rules = Sampling(repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25)
    penalised = sampling.penalise(LOGITS, rules, prompt_ids=[3], written_ids=[1, 1])
    assert penalised.tolist() == pytest.approx([2.0, 0.5 - 0.5 - 0.5, 0.5, -2.0, -3.0])


def test_bias_allowed_and_banned_tokens() -> None:
    """A bias is added; what is not allowed, or is banned for now, cannot come."""
    rules = Sampling(logit_bias={4: 100.0}, allowed=(1, 2, 4))
    processed = processed_logprobs(LOGITS, rules, [], [], banned=[2])
    assert kept(processed) == [1, 4]
    assert int(processed.argmax()) == 4
    assert LOGITS.tolist() == [2.0, 1.0, 0.5, -1.0, -3.0]


def test_a_seed_draws_the_same_tokens_again() -> None:
    """And another seed draws others."""

    def drawn(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [draw(torch.zeros(50).log_softmax(-1), Sampling(), generator) for _ in range(20)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    """A token with probability 0.8 comes in about four of five draws."""
    generator = torch.Generator().manual_seed(0)
    logprobs_V = torch.tensor([0.8, 0.2]).log()
    ones = sum(draw(logprobs_V, Sampling(), generator) for _ in range(2000))
    assert 330 < ones < 470


def test_temperature_zero_takes_the_likeliest_and_tells_the_models_own_logprob() -> None:
    """No division by zero, and no certainty that the model did not have."""
    greedy = Sampling(temperature=0.0, top_p=0.1)
    processed = processed_logprobs(LOGITS, greedy, [], [])
    assert draw(processed, greedy, torch.Generator()) == 0
    torch.testing.assert_close(processed, LOGITS.log_softmax(-1))
