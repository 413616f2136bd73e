"""Engine against trainer: weights that correct for their difference, and how large it is.

The engine draws with log-probabilities of its own arithmetic; the trainer's differ by rounding, or
by more if the engine is wrong. ρ_t = π_trainer / π_engine.

Sources: truncated importance sampling, Ionides 2008; masks and bounds by token and by sequence,
Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"; IcePop's
two-sided mask, Ling team 2025.

Shapes: B completions, C completion tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.recipes import Correction
from trainer.rl.algorithms.terms import FARTHEST, masked_mean


def weights(
    logprobs_BC: Tensor, engine_BC: Tensor, mask_BC: Tensor, correction: Correction | None
) -> Tensor:
    """The weight of each token, (B, C); 0 on padding. Without a correction it is 1."""
    if correction is None:
        return mask_BC
    gap_BC = (logprobs_BC - engine_BC) * mask_BC
    if correction.level != "token":
        sum_B1 = gap_BC.sum(dim=1, keepdim=True)
        length_B1 = mask_BC.sum(dim=1, keepdim=True).clamp(min=1)
        gap_BC = (sum_B1 if correction.level == "sequence" else sum_B1 / length_B1) * mask_BC
    ratio_BC = gap_BC.clamp(-FARTHEST, FARTHEST).exp()
    if correction.mode == "truncate":
        return ratio_BC.clamp(correction.low, correction.high) * mask_BC
    inside_BC = (ratio_BC >= correction.low) & (ratio_BC <= correction.high)
    return ratio_BC * inside_BC * mask_BC


def mismatch(logprobs_BC: Tensor, engine_BC: Tensor, mask_BC: Tensor) -> dict[str, float]:
    """How far engine and trainer are apart, over the real tokens.

    `mismatch`: mean |log ρ|; `mismatch_kl`: KL(engine ‖ trainer) by k3, in nats per token;
    `ratio_max`: the largest ρ; `ess`: effective sample size (Σρ)² / (n Σρ²), 1 where all agree.
    """
    real = mask_BC.bool()
    gap_N = (logprobs_BC - engine_BC)[real].double().clamp(-FARTHEST, FARTHEST)
    if not len(gap_N):
        return {"mismatch": 0.0, "mismatch_kl": 0.0, "ratio_max": 1.0, "ess": 1.0}
    ratio_N = gap_N.exp()
    return {
        "mismatch": float(masked_mean((logprobs_BC - engine_BC).abs(), mask_BC)),
        "mismatch_kl": float((ratio_N - 1 - gap_N).mean()),
        "ratio_max": float(ratio_N.max()),
        "ess": float(ratio_N.sum() ** 2 / (len(ratio_N) * torch.sum(ratio_N**2))),
    }
