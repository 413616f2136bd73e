"""Rollouts with regular checks of the judge's anchors."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from torch import nn

from galen.errors import DeadlineExceeded, Overloaded, Unavailable
from judge.client import JudgeClient
from judge.schemas import DriftReport, DriftRequest
from trainer.recipes import Services
from trainer.rl.rollout import Rollout
from trainer.rl.trainer import RolloutSource
from trainer.services import KEY_VARIABLE

log = logging.getLogger(__name__)


class WatchedRollouts:
    """A `RolloutSource` that has the judge score its anchors before some of its batches.

    Drift does not stop the run: it appears in the log and in the batch's figures, and a person
    decides what the rewards since then are worth.
    """

    def __init__(self, source: RolloutSource, services: Services, run: str) -> None:
        self._source = source
        self._services = services
        self._run = run

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        every = self._services.drift_every
        seen: dict[str, Any] = {}
        if every and batch % every == 0:
            began = time.monotonic()
            seen = self._look(batch, step)
            seen["drift_s"] = time.monotonic() - began
        rollouts, facts = self._source.draw(policy, batch, step)
        return rollouts, {**facts, **seen}

    def _look(self, batch: int, step: int) -> dict[str, Any]:
        """The drift figures of a batch; empty if the anchors could not be judged."""
        request = DriftRequest(rubric=self._services.rubric, run=self._run, step=step)
        try:
            report = asyncio.run(self._ask(request))
        except (Unavailable, Overloaded, DeadlineExceeded) as error:
            log.warning("batch %d: the anchors were not checked: %s", batch + 1, error.message)
            return {}
        return self._figures(report, batch + 1)

    @staticmethod
    def _figures(report: DriftReport, number: int) -> dict[str, Any]:
        if not report.anchors:
            log.info("batch %d: the rubric %s has no anchors to check", number, report.rubric)
            return {}
        if not report.alarm and report.reason:
            log.warning("batch %d: the anchors were not checked: %s", number, report.reason)
            return {}
        if report.alarm:
            log.warning("batch %d: the judge has drifted: %s", number, report.reason)
        else:
            shift = f"largest mean shift {report.max_shift:.3f}"
            log.info("batch %d: %d anchors judged again, %s", number, report.judged, shift)
        return {"drift_shift": report.max_shift, "drift_alarm": int(report.alarm)}

    async def _ask(self, request: DriftRequest) -> DriftReport:
        key = os.environ.get(KEY_VARIABLE)
        async with JudgeClient(self._services.judge, key=key, deadline_s=300.0) as judge:
            return await judge.drift(request)
