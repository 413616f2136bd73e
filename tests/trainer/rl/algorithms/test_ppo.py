"""Laws of PPO's arithmetic.

Shapes: B completions, C tokens.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.recipes import Critic, KlControl, PpoRecipe
from trainer.rl.algorithms import ppo, terms
from trainer.rl.algorithms.streams import Drawn, Fixed, Now

lengths = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def mask_of(sizes: list[int]) -> torch.Tensor:
    return (torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)).float()


def algorithm(**changes: object) -> ppo.Ppo:
    fields = {"stage": "ppo", "run": "r", "model": "m", "prompts": ["p"], **changes}
    return ppo.Ppo(PpoRecipe.model_validate(fields))


@given(lengths, st.integers(0, 10_000), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_gae_is_the_discounted_sum_of_its_residuals(
    sizes: list[int], seed: int, gamma: float, lam: float
) -> None:
    """A_t = Σ_k (γλ)^k δ_{t+k} over a completion's own tokens, whatever stands on padding."""
    mask_BC = mask_of(sizes)
    generator = torch.Generator().manual_seed(seed)
    rewards_BC = torch.randn(mask_BC.shape, generator=generator, dtype=torch.float64)
    values_BC = torch.randn(mask_BC.shape, generator=generator, dtype=torch.float64)
    found_BC, returns_BC = ppo.gae(rewards_BC * mask_BC, values_BC, mask_BC, gamma, lam)
    for row, size in enumerate(sizes):
        r, v = rewards_BC[row, :size], torch.cat([values_BC[row, :size], torch.zeros(1).double()])
        delta = r + gamma * v[1:] - v[:-1]
        for t in range(size):
            expected = sum((gamma * lam) ** k * delta[t + k] for k in range(size - t))
            assert math.isclose(float(expected), float(found_BC[row, t]), abs_tol=1e-9)
        assert torch.allclose(found_BC[row, :size] + v[:-1], returns_BC[row, :size])
        assert not found_BC[row, size:].any()


def test_gae_by_hand() -> None:
    """γ 1, λ ½, values ½ ¼, a score of 1 at the end: δ = (−¼, ¾), so A = (⅛, ¾)."""
    one = torch.ones(1, 2)
    advantages, returns = ppo.gae(
        torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]]), one, 1.0, 0.5
    )
    assert (advantages.tolist(), returns.tolist()) == ([[0.125, 0.75]], [[0.625, 1.0]])


def test_the_score_lands_on_the_last_real_token() -> None:
    """Padding gets no reward, and the KL penalty is on every token."""
    mask_BC = mask_of([2, 3])
    rewards_BC = ppo.token_rewards(torch.tensor([1.0, 2.0]), torch.full((2, 3), 0.05), mask_BC)
    expected_BC = torch.tensor([[-0.05, 0.95, 0.0], [-0.05, -0.05, 1.95]])
    assert torch.allclose(expected_BC, rewards_BC)


@given(lengths, st.integers(0, 10_000))
def test_whitening_ignores_padding(sizes: list[int], seed: int) -> None:
    """Real tokens get mean 0 whatever stands on padding, and padding becomes 0."""
    mask_BC = mask_of(sizes)
    values_BC = torch.randn(mask_BC.shape, generator=torch.Generator().manual_seed(seed))
    noisy_BC = torch.where(mask_BC.bool(), values_BC, torch.full_like(values_BC, 1e3))
    white_BC = terms.whiten(noisy_BC, mask_BC)
    assert torch.allclose(terms.whiten(values_BC, mask_BC), white_BC, atol=1e-5)
    assert abs(float(terms.masked_mean(white_BC, mask_BC))) < 1e-4
    assert not white_BC[mask_BC == 0].any()


@pytest.mark.parametrize(
    ("advantage", "ratio", "gradient"),
    [(1.0, 1.5, 0.0), (1.0, 1.25, -1.25), (-1.0, 1.5, 1.5), (-1.0, 0.7, 0.0), (1.0, 0.7, -0.7)],
)
def test_the_policy_gains_nothing_beyond_the_clip(
    advantage: float, ratio: float, gradient: float
) -> None:
    """Past its bound a good or bad token has no gradient left; bounds may differ (clip-higher)."""
    logprob = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss, held = terms.clipped_surrogate(logprob.exp(), torch.tensor([[advantage]]), 0.8, 1.28)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    assert gradient == pytest.approx(float(logprob.grad), abs=1e-6)
    assert float(held) == (gradient == 0.0)


def test_the_value_loss_takes_the_worse_of_clipped_and_plain() -> None:
    """A value that leaps to its return is charged as if it had moved only ε."""
    one = torch.ones(1, 1)
    loss = ppo.value_errors(one, torch.zeros(1, 1), one, 0.2)
    assert math.isclose(0.5 * 0.8**2, float(loss), rel_tol=1e-6)


def test_both_estimators_of_kl_have_its_mean() -> None:
    """Over all tokens weighted by π, k1 and k3 give Σ π log(π/π_ref); k3 is nowhere negative."""
    policy_V, reference_V = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    exact = float((policy_V * (policy_V / reference_V).log()).sum())
    for estimator in ("k1", "k3"):
        found_V = terms.kl(policy_V.log(), reference_V.log(), estimator)  # type: ignore[arg-type]
        assert exact == pytest.approx(float((policy_V * found_V).sum()), abs=1e-6)
        assert estimator == "k1" or bool((found_V >= 0).all())


def test_the_kl_coefficient_rises_above_target_and_falls_below() -> None:
    """β changes by at most 20 % · n/horizon, towards the target; without a horizon it stays."""
    control = ppo.AdaptiveKl(0.1, target=6.0, horizon=100)
    control.update(60.0, samples=50)
    assert control.coefficient == pytest.approx(0.1 * 1.1)
    control.update(0.0, samples=50)
    assert control.coefficient == pytest.approx(0.1 * 1.1 * 0.9)
    fixed = ppo.AdaptiveKl(0.1, target=6.0, horizon=None)
    fixed.update(60.0, samples=50)
    assert fixed.coefficient == 0.1


def test_the_critic_may_learn_with_a_lambda_of_its_own() -> None:
    """With λ 1 its returns are what came after, whatever the policy's λ."""
    drawn = Drawn(
        scores_B=torch.tensor([1.0, 0.0]),
        groups_B=torch.arange(2),
        mask_BC=torch.ones(2, 3),
        learnt_BC=torch.ones(2, 3),
        old_BC=torch.full((2, 3), -1.0),
        values_BC=torch.tensor([[0.9, 0.1, 0.4], [0.3, 0.2, 0.8]]),
    )
    same = algorithm(lam=0.5).credit(drawn)
    apart = algorithm(lam=0.5, value_lam=1.0).credit(drawn)
    assert apart.returns_BC is not None
    assert torch.allclose(torch.tensor([[1.0] * 3, [0.0] * 3]), apart.returns_BC, atol=1e-6)
    assert torch.equal(same.advantages_BC, apart.advantages_BC)


def test_the_whole_loss_by_hand() -> None:
    """Two tokens of a completion: surrogate, value error and entropy, each with its coefficient."""
    fixed = Fixed(
        mask_BC=torch.ones(1, 2),
        share_BC=torch.full((1, 2), 0.5),
        old_BC=torch.zeros(1, 2),
        advantages_BC=torch.tensor([[1.0, -1.0]]),
        weights_BC=torch.tensor([[1.0, 2.0]]),
        old_values_BC=torch.zeros(1, 2),
        returns_BC=torch.tensor([[0.1, 0.1]]),
    )
    now = Now(torch.zeros(1, 2), torch.tensor([[2.0, 4.0]]), torch.zeros(1, 2))
    loss, figures = algorithm(entropy_coefficient=0.01).loss(now, fixed)
    expected = 0.5 * (-1.0 + 2.0) + 0.1 * 0.5 * 0.1**2 - 0.01 * 3.0
    assert expected == pytest.approx(float(loss))
    assert figures["clipped"] == 0.0


def test_what_a_checkpoint_keeps_comes_back() -> None:
    """The coefficient goes on from where it was."""
    first, second = (algorithm(kl=KlControl(horizon=10), critic=Critic()) for _ in range(2))
    first.after_batch(60.0, 4)
    second.restore(first.state())
    assert second.kl.coefficient == first.kl.coefficient != 0.2
