"""What turns rewards into a better policy: one algorithm a file, each with credit and loss.

Credit says what each token earned; the loss says how the policy follows. Both are pure functions of
the tensors in `streams`. A new algorithm is a file here, a recipe and a stage of a few lines.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from trainer.rl.algorithms.streams import Credit, Drawn, Fixed, Now


class Algorithm(Protocol):
    """What the loop in `trainer.rl.trainer` asks."""

    def credit(self, drawn: Drawn) -> Credit:
        """What each token of a batch earned, before any update."""
        ...

    def loss(self, now: Now, fixed: Fixed) -> tuple[Tensor, dict[str, float]]:
        """The loss of a mini-batch or a part of one, and figures; parts add up to the whole."""
        ...

    def after_batch(self, kl: float, samples: int) -> None:
        """Adapt to a batch's KL from the reference, in nats per completion."""
        ...

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold and the log shows."""
        ...

    def restore(self, state: dict[str, float]) -> None: ...
