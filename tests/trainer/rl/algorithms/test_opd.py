"""Laws of on-policy distillation's arithmetic.

Shapes: B completions, C tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.recipes import OpdRecipe
from trainer.rl.algorithms.opd import Opd
from trainer.rl.algorithms.streams import Drawn, Fixed, Now


def recipe_of(**changes: Any) -> OpdRecipe:
    fields = {"stage": "opd", "run": "r", "model": "m", "prompts": ["p"], "teacher": {"model": "t"}}
    return OpdRecipe.model_validate({**fields, **changes})


def test_a_token_earns_what_the_teacher_holds_it_likelier_for() -> None:
    """By hand, and with a reward's advantage of ±1/√2 beside it."""
    drawn = Drawn(
        scores_B=torch.tensor([1.0, 0.0]),
        groups_B=torch.tensor([0, 0]),
        mask_BC=torch.tensor([[1.0, 1.0], [1.0, 0.0]]),
        learnt_BC=torch.tensor([[1.0, 1.0], [1.0, 0.0]]),
        old_BC=torch.tensor([[-1.0, -2.0], [-3.0, 0.0]]),
        teacher_BC=torch.tensor([[-1.5, -0.5], [-3.0, 0.0]]),
    )
    alone = Opd(recipe_of(strength=2.0)).credit(drawn)
    assert alone.advantages_BC.tolist() == [[-1.0, 3.0], [0.0, 0.0]]
    mixed = Opd(recipe_of(reward_weight=1.0, generations=2, rewards={"judge": 1.0})).credit(drawn)
    assert mixed.advantages_BC[0].tolist() == pytest.approx([-0.5 + 0.707, 1.5 + 0.707], abs=1e-3)
    assert mixed.advantages_BC[1].tolist() == pytest.approx([-0.707, 0.0], abs=1e-3)


def test_the_gradient_is_that_of_the_reverse_kl() -> None:
    """Over every token weighted by the policy's own probability, at the policy that drew them."""
    logits_V = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    teacher_V = torch.tensor([0.6, 0.3, 0.1]).log()
    logprobs_V = logits_V.log_softmax(-1)
    (logprobs_V.exp() * (logprobs_V - teacher_V)).sum().backward()  # type: ignore[no-untyped-call]
    assert logits_V.grad is not None
    expected_V = logits_V.grad.clone()
    logits_V.grad = None
    now_V1 = logits_V.log_softmax(-1).unsqueeze(1)
    old_V1 = now_V1.detach()
    one = torch.ones_like(old_V1)
    drawn = Drawn(
        torch.zeros(3), torch.arange(3), one, one, old_V1, teacher_BC=teacher_V.unsqueeze(1)
    )
    opd = Opd(recipe_of())
    fixed = Fixed(one, old_V1.exp(), old_V1, opd.credit(drawn).advantages_BC, one)
    loss, _ = opd.loss(Now(now_V1, one), fixed)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(expected_V, logits_V.grad, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"temperature": 0.7}, "temperature"),
        ({"reward_weight": 1.0, "rewards": {"judge": 1.0}}, "generations"),
        ({"rewards": {"judge": 1.0}}, "reward_weight"),
        ({"entropy_coefficient": 0.1}, "entropy_coefficient"),
    ],
)
def test_what_cannot_be_graded_is_refused(fields: dict[str, Any], named: str) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=named):
        recipe_of(**fields)
