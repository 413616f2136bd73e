"""Rollouts: prompts to judged completions; each is sent to the judge as soon as it is finished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from galen.errors import Overloaded, TrainingStopped, Unavailable
from galen.records import PromptRow
from galen.telemetry import accept_request_id, request_id
from judge.schemas import ScoreResult
from server.client import PolicyClient
from server.schemas import Sampling, TokenCompletion
from trainer.rl.rewards import Scorer

REMEDY = "fix the judge and run the same command again: it continues from here"


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the token ids that the policy sees."""

    row: PromptRow
    prompt_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A question, one completion, and the judge's result."""

    id: str
    question: Question
    completion: TokenCompletion
    result: ScoreResult
    """Its reward is the weighted sum of the sources'."""
    group: int = 0
    """The same number for answers to one prompt of a batch."""
    parts: Mapping[str, float | None] = field(default_factory=dict)
    """The reward of each source by itself."""
    teacher: tuple[float, ...] | None = None
    """A teacher's log-probability of each token, where one grades them."""

    @property
    def has_ended(self) -> bool:
        """Whether the policy ended the answer; otherwise it was cut off."""
        return self.completion.finish_reason == "stop"

    @property
    def is_judged(self) -> bool:
        return self.result.reward is not None

    @property
    def is_violation(self) -> bool:
        return bool(self.result.flags)


@dataclass(frozen=True, slots=True)
class Collector:
    """Requests and judges completions, at most `concurrency` at once."""

    policy: PolicyClient
    rewards: Scorer
    sampling: Sampling
    concurrency: int
    retry_every_s: float = 5.0
    server_patience_s: float = 180.0
    """Seconds for which a server may answer with Retry-After, as while its engine restarts."""

    async def collect(
        self,
        questions: Sequence[Question],
        *,
        model: str,
        step: int,
        seed: int,
        label: str,
        generations: int = 1,
    ) -> list[Rollout]:
        """One rollout for each question, in order; sample i has the seed `seed + i`.

        Each `generations` questions in a row are the same one and make a group.

        Each sample has its own request id, under which it appears in the logs of server and judge.
        """
        gate = asyncio.Semaphore(self.concurrency)

        async def one(index: int, question: Question) -> Rollout:
            item_id = f"{label}-{index:04d}"
            request_id.set(accept_request_id(item_id))  # for this task only
            async with gate:
                sampling = self.sampling.model_copy(update={"seed": seed + index})
                completion = await self._complete(question, sampling, model)
            result, parts = await self.rewards.score(question.row, item_id, completion.text, step)
            return Rollout(item_id, question, completion, result, index // generations, parts)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(i, q)) for i, q in enumerate(questions)]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others have the same cause
        return [task.result() for task in tasks]

    async def _complete(
        self, question: Question, sampling: Sampling, model: str
    ) -> TokenCompletion:
        """One completion. While the server answers with Retry-After, because its engine restarts
        or a version is being swapped, the request is repeated for `server_patience_s`."""
        deadline = time.monotonic() + self.server_patience_s
        while True:
            try:
                return await self.policy.complete_tokens(question.prompt_ids, sampling, model=model)
            except (Unavailable, Overloaded) as error:
                if error.retry_after_s is None or time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def until_quorum(
        self, rollouts: Sequence[Rollout], *, step: int, quorum: float, patience_s: float
    ) -> list[Rollout]:
        """Repeat failed judgements until the share `quorum` has a reward.

        The completions stay the same. Raises `TrainingStopped` after `patience_s` seconds, or at
        once if no failure can be retried.
        """
        rollouts = list(rollouts)
        deadline = time.monotonic() + patience_s
        while sum(r.is_judged for r in rollouts) < quorum * len(rollouts):
            _stop_if_final(rollouts)
            if time.monotonic() >= deadline:
                failed = sum(not r.is_judged for r in rollouts)
                raise TrainingStopped(
                    f"{failed} of {len(rollouts)} judgements failed for {patience_s:.0f} s "
                    f"({_reasons(rollouts)}); {REMEDY}"
                )
            await asyncio.sleep(min(self.retry_every_s, patience_s))
            rollouts = await asyncio.gather(*(self._again(r, step) for r in rollouts))
        return rollouts

    async def _again(self, rollout: Rollout, step: int) -> Rollout:
        """The rollout, judged again if its judgement failed and may be retried."""
        error = rollout.result.error
        if rollout.is_judged or (error and not error.retryable):
            return rollout
        request_id.set(accept_request_id(rollout.id))  # for this task only
        result, parts = await self.rewards.score(
            rollout.question.row, rollout.id, rollout.completion.text, step
        )
        return replace(rollout, result=result, parts=parts)


def _stop_if_final(rollouts: Sequence[Rollout]) -> None:
    """Raises `TrainingStopped` if none of the failures can be retried."""
    errors = [r.result.error for r in rollouts if not r.is_judged]
    if errors and not any(error.retryable for error in errors if error):
        raise TrainingStopped(f"no judgement can succeed ({_reasons(rollouts)}); {REMEDY}")


def _reasons(rollouts: Sequence[Rollout]) -> str:
    return ", ".join(sorted({r.result.error.code for r in rollouts if r.result.error}))
