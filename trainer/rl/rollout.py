"""Rollouts: prompts to judged completions; each is sent to the judge as soon as it is finished."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from galen.errors import DeadlineExceeded, TrainingStopped, UpstreamFailed
from galen.records import PromptRow
from galen.telemetry import accept_request_id, request_id
from judge.schemas import ScoreResult
from server.client import PolicyClient
from server.schemas import Sampling, TokenCompletion
from trainer.patience import RESTART_S, TRIES, through_restarts
from trainer.rl.rewards import PASSING, Scorer, failed
from trainer.rl.rollouts.kept import KeptSamples, Verdict

Grade = Callable[[Sequence[int], Sequence[int]], Awaitable[list[float]]]
"""A teacher's log-probability of each token that was written after a prompt."""

REMEDY = "mend what failed and run the same command again: it continues from here"
LOST = "error"
"""In place of a finish reason: the engine failed on this sample, again and again."""


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
    place: int = 0
    """Its number among the samples of its batch."""

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
    """Requests completions, at most `concurrency` at once, and has each judged when it is there.

    What `kept` has is neither requested nor judged again, and what comes is added to it.
    """

    policy: PolicyClient
    rewards: Scorer
    sampling: Sampling
    concurrency: int
    grade: Grade | None = None
    kept: KeptSamples | None = None
    retry_every_s: float = 5.0
    server_patience_s: float = RESTART_S
    """Seconds for which a server may be away or answer with Retry-After, as while it restarts."""

    async def collect(
        self,
        questions: Sequence[Question],
        *,
        newest: Callable[[], tuple[str, int]],
        step: int,
        seed: int,
        label: str,
        generations: int = 1,
        first: int = 0,
    ) -> list[Rollout]:
        """One rollout for each question, in order; sample i has the seed `seed + i`.

        `newest` names the version that serves, and the batches that it has learnt from. Each
        `generations` questions in a row are the same one and make a group. `first` is the place of
        the first sample in `kept`.

        Each sample has its own request id, under which it appears in the logs of server and judge.
        """
        gate = asyncio.Semaphore(self.concurrency)

        async def one(index: int, question: Question) -> Rollout:
            item_id = f"{label}-{index:04d}"
            place, kept = first + index, self.kept
            request_id.set(accept_request_id(item_id))  # for this task only
            completion = kept.completion(place) if kept else None
            if completion is None:
                async with gate:
                    asked = newest()
                    sampling = self.sampling.model_copy(update={"seed": seed + index})
                    completion = await self._complete(question, sampling, asked[0])
                if kept:
                    kept.put_completion(place, completion, *asked)
            verdict = kept.verdict(place) if kept else None
            verdict = verdict or await self._judge(question, item_id, completion, place, step)
            result, parts, teacher = verdict
            group = index // generations
            return Rollout(item_id, question, completion, result, group, parts, teacher, place)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(i, q)) for i, q in enumerate(questions)]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others have the same cause
        return [task.result() for task in tasks]

    async def _complete(
        self, question: Question, sampling: Sampling, version: str
    ) -> TokenCompletion:
        """One completion. While the server is away, its engine restarts or a version is being
        swapped, the request is repeated for `server_patience_s`. One on which the engine itself
        fails `TRIES` times is empty and lost."""
        for _ in range(TRIES):
            with contextlib.suppress(DeadlineExceeded, UpstreamFailed):
                return await through_restarts(
                    lambda: self.policy.complete_tokens(question.prompt_ids, sampling),
                    self.server_patience_s,
                )
        return TokenCompletion(
            token_ids=(), logprobs=(), text="", finish_reason=LOST, version=version
        )

    async def _judge(
        self, question: Question, item_id: str, completion: TokenCompletion, place: int, step: int
    ) -> Verdict:
        """The completion's verdict, and a teacher's grades where one grades."""
        verdict: Verdict
        if completion.finish_reason == LOST:
            why = f"the engine failed on this sample {TRIES} times"
            verdict = failed(item_id, "no_completion", why, retryable=False), {}, None
        else:
            verdict = await self._verdict(question, item_id, completion, step)
        if self.kept:
            self.kept.put_verdict(place, verdict)
        return verdict

    async def _verdict(
        self, question: Question, item_id: str, completion: TokenCompletion, step: int
    ) -> Verdict:
        if self.grade is None:
            scored = await self.rewards.score(question.row, item_id, completion.text, step)
            return *scored, None
        try:
            teacher = tuple(await self.grade(question.prompt_ids, completion.token_ids))
        except PASSING as error:
            return failed(item_id, error.code, error.message), {}, None
        result, parts = await self.rewards.score(question.row, item_id, completion.text, step)
        if not parts:  # nobody else is asked
            gap = fmean(teacher) - fmean(completion.logprobs)
            result, parts = result.model_copy(update={"reward": gap}), {"teacher": gap}
        return result, parts, teacher

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
        result, parts, teacher = await self._judge(
            rollout.question, rollout.id, rollout.completion, rollout.place, step
        )
        return replace(rollout, result=result, parts=parts, teacher=teacher)


def _stop_if_final(rollouts: Sequence[Rollout]) -> None:
    """Raises `TrainingStopped` if none of the failures can be retried."""
    errors = [r.result.error for r in rollouts if not r.is_judged]
    if errors and not any(error.retryable for error in errors if error):
        raise TrainingStopped(f"no judgement can succeed ({_reasons(rollouts)}); {REMEDY}")


def _reasons(rollouts: Sequence[Rollout]) -> str:
    return ", ".join(sorted({r.result.error.code for r in rollouts if r.result.error}))
