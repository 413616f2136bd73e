"""Brings a version to every engine in the rotation, or to none.

An engine that is lost on the way leaves the rotation and catches up later. If one engine refuses
the version, it is refused: those that have loaded it go back to what they had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from galen.errors import GalenError, Unavailable
from server.policy.pool import RETRY_AFTER_S
from server.policy.replica import Replica
from server.versions.store import Weights

log = logging.getLogger(__name__)


async def load(replicas: Sequence[Replica], weights: Weights, current: str) -> float:
    """Returns the largest parity difference in nats. No request is in flight meanwhile.

    Raises the first refusal; or, if no engine is left, why the first of them was lost.
    """
    results = await asyncio.gather(
        *(replica.loader.load(weights, current) for replica in replicas), return_exceptions=True
    )
    loaded: dict[Replica, float] = {}
    lost: dict[Replica, Unavailable] = {}
    refusals: list[BaseException] = []
    for replica, result in zip(replicas, results, strict=True):
        if isinstance(result, float):
            loaded[replica] = result
        elif isinstance(result, Unavailable):
            lost[replica] = result
        else:
            refusals.append(result)
    if refusals:
        await undo(loaded, weights.name)
        raise refusals[0]
    if not loaded:
        away = Unavailable("every engine was lost meanwhile", retry_after_s=RETRY_AFTER_S)
        raise next(iter(lost.values()), away)
    for replica, problem in lost.items():
        _put_aside(replica, f"{weights.name} could not be loaded: {problem.message}")
    return max(loaded.values())


async def undo(replicas: Collection[Replica], name: str) -> None:
    """Put back what the replicas had before `name`. One that fails leaves the rotation."""
    await asyncio.gather(*(_undo(replica, name) for replica in replicas))


async def _undo(replica: Replica, name: str) -> None:
    try:
        await replica.loader.undo()
    except GalenError as error:
        _put_aside(replica, f"{name} could not be removed again: {error.message}")


def _put_aside(replica: Replica, reason: str) -> None:
    log.error("engine put aside", extra={"engine": replica.label, "reason": reason})
    if replica.is_ready():
        replica.engine.restart(reason)
