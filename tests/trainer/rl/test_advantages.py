"""Laws of PPO's arithmetic.

Shapes: B completions, C tokens.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.rl import advantages

lengths = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def mask_of(sizes: list[int]) -> torch.Tensor:
    return (torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)).float()


@given(lengths, st.integers(0, 10_000), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_gae_is_the_discounted_sum_of_its_residuals(
    sizes: list[int], seed: int, gamma: float, lam: float
) -> None:
    """A_t = Σ_k (γλ)^k δ_{t+k} over a completion's own tokens, whatever stands on padding."""
    mask_BC = mask_of(sizes)
    generator = torch.Generator().manual_seed(seed)
    rewards_BC = torch.randn(mask_BC.shape, generator=generator, dtype=torch.float64)
    values_BC = torch.randn(mask_BC.shape, generator=generator, dtype=torch.float64)
    found_BC, returns_BC = advantages.gae(rewards_BC * mask_BC, values_BC, mask_BC, gamma, lam)
    for row, size in enumerate(sizes):
        r, v = rewards_BC[row, :size], torch.cat([values_BC[row, :size], torch.zeros(1).double()])
        delta = r + gamma * v[1:] - v[:-1]
        for t in range(size):
            expected = sum((gamma * lam) ** k * delta[t + k] for k in range(size - t))
            assert math.isclose(float(expected), float(found_BC[row, t]), abs_tol=1e-9)
        assert torch.allclose(found_BC[row, :size] + v[:-1], returns_BC[row, :size])
        assert not found_BC[row, size:].any()


def test_the_score_lands_on_the_last_real_token() -> None:
    """Padding gets no reward, and the KL penalty is on every token."""
    mask_BC = mask_of([2, 3])
    zeros_BC = torch.zeros(2, 3)
    rewards_BC = advantages.token_rewards(
        torch.tensor([1.0, 2.0]), zeros_BC + 0.5, zeros_BC, mask_BC, 0.1
    )
    expected_BC = torch.tensor([[-0.05, 0.95, 0.0], [-0.05, -0.05, 1.95]])
    assert torch.allclose(expected_BC, rewards_BC)


@given(lengths, st.integers(0, 10_000))
def test_whitening_ignores_padding(sizes: list[int], seed: int) -> None:
    """Real tokens get mean 0 whatever stands on padding, and padding becomes 0."""
    mask_BC = mask_of(sizes)
    values_BC = torch.randn(mask_BC.shape, generator=torch.Generator().manual_seed(seed))
    noisy_BC = torch.where(mask_BC.bool(), values_BC, torch.full_like(values_BC, 1e3))
    white_BC = advantages.whiten(noisy_BC, mask_BC)
    assert torch.allclose(advantages.whiten(values_BC, mask_BC), white_BC, atol=1e-5)
    assert abs(float(advantages.masked_mean(white_BC, mask_BC))) < 1e-4
    assert not white_BC[mask_BC == 0].any()


def test_the_policy_gains_nothing_beyond_the_clip() -> None:
    """Past 1 + ε a good token has no gradient left; a bad one still has."""
    mask = torch.ones(1, 1)
    for advantage, expected in ((1.0, 0.0), (-1.0, 1.5)):
        logprob = torch.tensor([[math.log(1.5)]], requires_grad=True)
        loss, clipped = advantages.policy_loss(
            logprob, torch.zeros(1, 1), torch.tensor([[advantage]]), mask, mask, 0.2
        )
        loss.backward()  # type: ignore[no-untyped-call]
        assert logprob.grad is not None
        assert expected == pytest.approx(float(logprob.grad))
        assert float(clipped) == (advantage > 0)


def test_the_value_loss_takes_the_worse_of_clipped_and_plain() -> None:
    """A value that leaps to its return is charged as if it had moved only ε."""
    one = torch.ones(1, 1)
    loss = advantages.value_loss(one, torch.zeros(1, 1), one, one, 0.2)
    assert math.isclose(0.5 * 0.8**2, float(loss), rel_tol=1e-6)


def test_importance_weights_are_capped_from_above_only() -> None:
    """A token that the engine thought unlikely counts at most `cap`; an overlikely one less."""
    weights = advantages.importance_weights(
        torch.tensor([[0.0, -3.0, 0.0]]), torch.tensor([[-3.0, 0.0, 0.0]]), torch.ones(1, 3), 2.0
    )
    assert torch.allclose(torch.tensor([[2.0, math.exp(-3), 1.0]]), weights)


def test_the_kl_coefficient_rises_above_target_and_falls_below() -> None:
    """β changes by at most 20 % · n/horizon, towards the target."""
    control = advantages.AdaptiveKl(0.1, target=6.0, horizon=100)
    control.update(60.0, samples=50)
    assert control.coefficient == pytest.approx(0.1 * 1.1)
    control.update(0.0, samples=50)
    assert control.coefficient == pytest.approx(0.1 * 1.1 * 0.9)
