"""Several processes, one run: the first talks to the services for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list
from torch import nn

from galen.errors import GalenError
from trainer import processes
from trainer.rl.rollout import Rollout
from trainer.rl.trainer import RolloutSource

T = TypeVar("T")


def by_first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, in every process; an error is raised in all."""
    if processes.count() == 1:
        return work()
    found: list[Any] = [None, None]
    if processes.is_first():
        try:
            found[0] = work()
        except GalenError as error:
            found[1] = error
    broadcast_object_list(found, from_process=0)
    if found[1] is not None:
        raise found[1]
    done: T = found[0]
    return done


class SharedRollouts:
    """A `RolloutSource` that only the first process asks."""

    def __init__(self, source: RolloutSource) -> None:
        self._source = source

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        return by_first(lambda: self._source.draw(policy, batch, step))
