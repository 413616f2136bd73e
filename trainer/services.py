"""The trainer's connections to the two services. The key comes from the environment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from judge.client import JudgeClient
from server.client import PolicyClient
from server.schemas import Sampling
from trainer.recipes import Rewards, Services
from trainer.rl.rewards import Scorer
from trainer.rl.rollout import Collector

KEY_VARIABLE = "GALEN_KEY"


@asynccontextmanager
async def collector(
    services: Services, sampling: Sampling, run: str, rewards: Rewards | None = None
) -> AsyncIterator[Collector]:
    """A collector with new connections, which are closed at the end of the block."""
    key = os.environ.get(KEY_VARIABLE)
    size = services.concurrency
    async with (
        PolicyClient(services.server, key=key, connections=size, deadline_s=600.0) as policy,
        JudgeClient(services.judge, key=key, connections=size, deadline_s=120.0) as judge,
    ):
        asked = rewards or Rewards()
        scorer = Scorer(judge, services.rubric, run, services.allow_mock, asked.judge, asked.exact)
        yield Collector(policy, scorer, sampling, size)
