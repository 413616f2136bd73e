"""Laws of GRPO's arithmetic and of its relatives'.

Shapes: B completions, C tokens.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer.recipes import GrpoRecipe
from trainer.rl.algorithms import grpo
from trainer.rl.algorithms.streams import Drawn, Fixed, Now, counted, shares

LONGEST = 6


@pytest.fixture(scope="module")
def rival() -> Iterator[Any]:
    """TRL's trainer, imported without vLLM, which would take ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        checks = importlib.import_module("trl.import_utils")
        patch.setattr(checks, "is_vllm_available", lambda *_, **__: False)
        yield importlib.import_module("trl.trainer.grpo_trainer").GRPOTrainer


def recipe_of(**changes: Any) -> GrpoRecipe:
    fields = {"stage": "grpo", "run": "r", "model": "m", "prompts": ["p"], **changes}
    return GrpoRecipe.model_validate({"max_new_tokens": LONGEST, **fields})


def advantages(scores: list[float], groups: list[int], how: Any) -> list[float]:
    found: list[float] = grpo.group_advantages(
        torch.tensor(scores), torch.tensor(groups), how
    ).tolist()
    return found


def test_the_baseline_is_the_mean_of_a_prompts_answers() -> None:
    """By hand: rewards 1 and 0 of one prompt, 3 and 1 of another."""
    scores, groups = [1.0, 3.0, 0.0, 1.0], [0, 1, 0, 1]
    assert advantages(scores, groups, "none") == [0.5, 1.0, -0.5, -1.0]
    by_group = [0.5 / (0.5**0.5 + 1e-4), 1 / (2**0.5 + 1e-4)]
    assert advantages(scores, groups, "group")[:2] == pytest.approx(by_group)
    deviation = (2.5 / 3) ** 0.5
    by_batch = [a / (deviation + 1e-4) for a in (0.5, 1.0, -0.5, -1.0)]
    assert advantages(scores, groups, "batch") == pytest.approx(by_batch)


@pytest.mark.parametrize("how", ["group", "batch", "none"])
def test_nothing_is_learnt_from_a_group_without_spread_or_an_answer_alone(how: str) -> None:
    """Its advantages are 0, whatever the others' are."""
    found = advantages([0.4, 0.4, 0.4, 1.0, 0.0, 0.9], [0, 0, 0, 1, 1, 2], how)
    assert found[:3] + found[5:] == [0.0] * 4
    assert found[3] > 0 > found[4]


def test_a_failed_answer_is_in_no_baseline() -> None:
    """The others' advantages are those of a group in which it never was."""
    with_it = advantages([1.0, 0.0, 1.0], [0, 0, 0], "group")
    without = advantages([1.0, 0.0], [0, 0], "group")
    assert with_it[:2] != without
    assert without == pytest.approx([-without[1], without[1]])


def drawn_now(seed: int, requires_grad: bool = True) -> tuple[Fixed, torch.Tensor, torch.Tensor]:
    """Made-up streams of 4 completions: fixed ones, the present log π, entropies."""
    generator = torch.Generator().manual_seed(seed)
    mask_BC = (torch.arange(LONGEST) < torch.tensor([[2], [6], [4], [1]])).float()
    old_BC, reference_BC, entropy_BC = (
        torch.rand(4, LONGEST, generator=generator) * sign for sign in (-3, -3, 3)
    )
    now_BC = (old_BC + 0.5 * torch.randn(4, LONGEST, generator=generator)).detach()
    fixed = Fixed(
        mask_BC=mask_BC,
        share_BC=mask_BC,
        old_BC=old_BC,
        advantages_BC=torch.randn(4, 1, generator=generator) * mask_BC,
        weights_BC=mask_BC,
        reference_BC=reference_BC,
    )
    return fixed, now_BC.requires_grad_(requires_grad), entropy_BC


def ours(recipe: GrpoRecipe, seed: int) -> tuple[float, torch.Tensor]:
    fixed, now_BC, entropy_BC = drawn_now(seed)
    mask_BC = fixed.mask_BC
    (share_BC,) = shares([mask_BC], recipe.over, LONGEST, counted(mask_BC))
    streams = {name: getattr(fixed, name) for name in Fixed.__slots__}
    if not recipe.beta:
        streams["reference_BC"] = None
    loss, _ = grpo.Grpo(recipe).loss(
        Now(now_BC, entropy_BC), Fixed(**{**streams, "share_BC": share_BC})
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert now_BC.grad is not None
    return float(loss.detach()), now_BC.grad


def theirs(rival: Any, seed: int, **settings: Any) -> tuple[float, torch.Tensor]:
    """The loss of TRL's own trainer on the same streams."""
    fixed, now_BC, entropy_BC = drawn_now(seed)
    accelerator = SimpleNamespace(
        num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True
    )
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (now_BC, entropy_BC, None),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", use_vllm=False, accelerator=accelerator,
        model=torch.nn.Identity().eval(), _entropy_bonus_enabled=False, beta=0.05,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False), loss_type="dapo",
        epsilon_low=0.2, epsilon_high=0.2, max_completion_length=LONGEST,
        _metrics={"eval": defaultdict(list)},
    )  # fmt: skip
    vars(trainer).update(settings)
    ids = torch.zeros(4, LONGEST, dtype=torch.long)
    inputs = {
        "prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids,
        "completion_mask": fixed.mask_BC, "advantages": fixed.advantages_BC[:, 0],
        "old_per_token_logps": fixed.old_BC, "ref_per_token_logps": fixed.reference_BC,
        "num_items_in_batch": fixed.mask_BC.sum(),
    }  # fmt: skip
    loss = rival._compute_loss(trainer, None, inputs)
    loss.backward()
    assert now_BC.grad is not None
    return float(loss.detach()), now_BC.grad


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({}, {}),
        ({"clip_high": 0.28, "beta": 0.0}, {"epsilon_high": 0.28, "beta": 0.0}),
        ({"over": "sequences"}, {"loss_type": "grpo"}),
        ({"over": "constant"}, {"loss_type": "dr_grpo"}),
        (
            {"ratio": "sequence", "over": "sequences"},
            {"importance_sampling_level": "sequence", "loss_type": "grpo"},
        ),
        ({"surrogate": "cispo", "clip_high": 0.3}, {"loss_type": "cispo", "epsilon_high": 1.3}),
    ],
    ids=["dapo", "clip-higher", "grpo", "dr-grpo", "gspo", "cispo"],
)
def test_loss_and_gradient_are_those_of_trl(
    rival: Any, fields: dict[str, Any], settings: dict[str, Any]
) -> None:
    """On made-up streams with clipped tokens among them, for GRPO and each relative."""
    for seed in (1, 2):
        loss, gradient_BC = ours(recipe_of(**fields), seed)
        expected, expected_BC = theirs(rival, seed, **settings)
        assert expected == pytest.approx(loss, abs=1e-6)
        assert torch.allclose(expected_BC, gradient_BC, atol=1e-6)


def test_every_token_of_an_answer_gets_its_advantage() -> None:
    """And tokens that are not learnt get none."""
    drawn = Drawn(
        scores_B=torch.tensor([1.0, 0.0]),
        groups_B=torch.tensor([3, 3]),
        mask_BC=torch.ones(2, 2),
        learnt_BC=torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
        old_BC=torch.zeros(2, 2),
    )
    credit = grpo.Grpo(recipe_of(normalise="none")).credit(drawn)
    assert credit.advantages_BC.tolist() == [[0.5, 0.5], [0.0, 0.0]]
