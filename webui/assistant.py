"""The page's calls to the two services, without widgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from galen.errors import GalenError, UpstreamFailed
from galen.telemetry import request_id
from judge.audit_schemas import Vote
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest, ScoreResult
from server.client import PolicyClient
from webui.explain import SERVER, explain
from webui.settings import WebuiSettings
from webui.text import Turn, messages, storable


class Assistant:
    """Answers questions through the policy server and has answers judged."""

    def __init__(self, settings: WebuiSettings, policy: PolicyClient, judge: JudgeClient) -> None:
        self.settings = settings
        self.policy = policy
        self._judge = judge

    async def answer(
        self, turns: Sequence[Turn], question: str, model: str
    ) -> AsyncGenerator[Turn, None]:
        """The new turn as it grows; the last one is finished or has the error.

        Closing the iterator cancels the generation.
        """
        turn = Turn(storable(question))
        body = {
            "model": model,
            "messages": messages(turns, turn.question, self.settings.earlier_turns),
            "max_tokens": self.settings.max_tokens,
            "temperature": self.settings.temperature,
        }
        yield turn
        request_id.set(turn.request_id)
        try:
            async with aclosing(self.policy.chat_stream(body)) as chunks:
                async for chunk in chunks:
                    if "error" in chunk:
                        raise UpstreamFailed("the engine broke off in the middle of the answer")
                    turn = replace(turn, reply=turn.reply.add(chunk))
                    yield turn
            if turn.reply.finish_reason is None:
                raise UpstreamFailed("the stream ended before the answer did")
            turn = replace(turn, finished=True)
        except GalenError as error:
            turn = replace(turn, problem=explain(error, SERVER))
        yield turn

    async def answers(
        self, question: str, models: tuple[str, str]
    ) -> AsyncGenerator[tuple[Turn, Turn], None]:
        """Two models' turns for one question, as both grow; errors are in their turns.

        Closing the iterator cancels both generations.
        """
        turns = [Turn(question), Turn(question)]
        async with (
            aclosing(self.answer((), question, models[0])) as left,
            aclosing(self.answer((), question, models[1])) as right,
        ):
            both = (left, right)
            waiting = {asyncio.ensure_future(anext(both[side])): side for side in (0, 1)}
            try:
                while waiting:
                    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        side = waiting.pop(each)
                        if isinstance(each.exception(), StopAsyncIteration):
                            continue
                        turns[side] = each.result()
                        waiting[asyncio.ensure_future(anext(both[side]))] = side
                    yield turns[0], turns[1]
            finally:
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

    async def vote(self, vote: Vote) -> None:
        """Keep a vote at the judge. Raises `GalenError`."""
        await self._judge.vote(vote)

    async def judge(self, turn: Turn) -> ScoreResult:
        """The verdict on a turn's answer; a failed judgement comes back as one, not raised."""
        request_id.set(turn.request_id)
        item = ScoreItem(id="chat", prompt=turn.question, response=storable(turn.reply.text))
        request = ScoreRequest(rubric=self.settings.rubric, items=(item,), teacher="optional")
        return (await self._judge.score(request)).items[0]
