"""A teacher's log-probabilities of the policy's own tokens, from a vLLM of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from transformers import PreTrainedTokenizerBase

from galen.errors import RecipeError, UpstreamFailed
from galen.http import ServiceClient
from trainer.patience import through_restarts
from trainer.recipes.opd import Teacher
from trainer.rl.rollout import Grade

KEY_VARIABLE = "GALEN_TEACHER_KEY"
SAMPLE = "头痛两天了，怎么办？ A headache for 2 days: 37.5 °C, f(x) = x² + 1.\n<think>\n"
"""Two tokenizers that agree on it are taken for the same."""


class TeacherClient(ServiceClient):
    async def require_same_tokens(self, model: str, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises `RecipeError` for a teacher that reads other tokens than the policy writes."""
        body = {"model": model, "prompt": SAMPLE, "add_special_tokens": False}
        answer = await self.call("POST", "/tokenize", body=body)
        ours = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
        if answer.get("tokens") != list(ours):
            raise RecipeError(
                f"the teacher {model} at {self.base_url} has another tokenizer than the policy, so "
                "it cannot grade its tokens; take a teacher of the same family"
            )

    async def grade(self, model: str, prompt: Sequence[int], written: Sequence[int]) -> list[float]:
        """log π_teacher of each written token after the prompt."""
        ids = [*prompt, *written]
        body = {"model": model, "prompt": ids, "max_tokens": 1, "prompt_logprobs": 0}
        answer = await self.call("POST", "/v1/completions", body=body)
        try:
            entries = answer["choices"][0]["prompt_logprobs"][len(prompt) :]
            pairs = zip(written, entries, strict=True)
            return [float(entry[str(token)]["logprob"]) for token, entry in pairs]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise UpstreamFailed(
                f"{self.base_url}/v1/completions gave no `prompt_logprobs`; the teacher must be a "
                "vLLM server"
            ) from error


def require_same_tokens(teacher: Teacher, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises `RecipeError` for another tokenizer, `Unavailable` if no teacher answers."""

    async def ask() -> None:
        async with TeacherClient(teacher.url, key=os.environ.get(KEY_VARIABLE)) as client:
            await client.require_same_tokens(teacher.model, tokenizer)

    asyncio.run(ask())


@asynccontextmanager
async def grader(teacher: Teacher, at_once: int) -> AsyncIterator[Grade]:
    """Has the teacher grade what was written, at most `at_once` at a time."""
    gate = asyncio.Semaphore(at_once)
    key = os.environ.get(KEY_VARIABLE)
    async with TeacherClient(teacher.url, key=key, deadline_s=600.0) as client:

        async def grade(prompt: Sequence[int], written: Sequence[int]) -> list[float]:
            async with gate:
                return await through_restarts(lambda: client.grade(teacher.model, prompt, written))

        yield grade
