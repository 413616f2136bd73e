"""`/v1/completions`: plans to an answer, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from server.simple import answers
from server.simple.answers import Identity
from server.simple.engine import SimpleEngine
from server.simple.generate import Piece, Plan, Position
from server.simple.protocol import CompletionRequest
from server.simple.sequences import Whole, pieces, wholes


class Completion:
    """One request and its answer."""

    def __init__(
        self, engine: SimpleEngine, request: CompletionRequest, plans: Sequence[Plan]
    ) -> None:
        self._engine = engine
        self._request = request
        self._plans = plans
        model = request.model or engine.options.served_model_name
        self._identity = Identity("cmpl", "text_completion", model)

    async def whole(self) -> dict[str, Any]:
        said = await wholes(self._engine, self._plans)
        choices = [self._choice(index, answer) for index, answer in enumerate(said)]
        return self._identity.body(choices, usage=self._usage([a.token_ids for a in said]))

    async def stream(self) -> AsyncGenerator[bytes]:
        """Events, each with what one token adds to one choice."""
        options = self._request.stream_options
        written: list[list[int]] = [[] for _ in self._plans]
        offsets = [0] * len(self._plans)
        async with aclosing(pieces(self._engine, self._plans)) as said:
            async for piece in said:
                is_first = not written[piece.index]
                written[piece.index] += piece.token_ids
                chunk = self._identity.body([self._chunk(piece, offsets, is_first=is_first)])
                if options and options.continuous_usage_stats:
                    chunk["usage"] = self._usage(written)
                yield answers.event(chunk)
        if options and options.include_usage:
            yield answers.event(self._identity.body([], usage=self._usage(written)))
        yield answers.DONE

    def _usage(self, written: Sequence[Sequence[int]]) -> dict[str, Any]:
        tokens = sum(len(ids) for ids in written)
        return answers.usage(self._plans, self._request.n or 1, tokens)

    def _choice(self, index: int, answer: Whole) -> dict[str, Any]:
        request, plan = self._request, self._plans[index]
        prompt_ids, prompt_text = self._echo(plan)
        logprobs = None
        if request.logprobs is not None:
            told = answer.prompt_logprobs if request.echo else ()
            logprobs = self._logprobs([*prompt_ids, *answer.token_ids], [*told, *answer.logprobs])
        choice: dict[str, Any] = {
            "index": index,
            "text": prompt_text + answer.text,
            "logprobs": logprobs,
            "finish_reason": answer.finish_reason,
            "stop_reason": answer.stop_reason,
            "token_ids": None,
            "prompt_logprobs": answers.prompt_logprobs(
                self._engine.tokenizer, answer.prompt_logprobs
            ),
            "prompt_token_ids": None,
        }
        if request.return_token_ids:
            choice |= {"token_ids": answer.token_ids, "prompt_token_ids": list(plan.prompt_ids)}
        return choice

    def _chunk(self, piece: Piece, offsets: list[int], *, is_first: bool) -> dict[str, Any]:
        """`offsets` are the lengths of each choice's text so far; this one's is moved on."""
        request, plan = self._request, self._plans[piece.index]
        prompt_ids, prompt_text = self._echo(plan) if is_first else ((), "")
        logprobs = None
        if request.logprobs is not None:
            told = piece.prompt_logprobs if request.echo else ()
            ids, positions = [*prompt_ids, *piece.token_ids], [*told, *piece.logprobs]
            logprobs = self._logprobs(ids, positions, offsets[piece.index])
            offsets[piece.index] += sum(len(token) for token in logprobs["tokens"])
        choice: dict[str, Any] = {
            "index": piece.index,
            "text": prompt_text + piece.text,
            "logprobs": logprobs,
            "finish_reason": piece.finish_reason,
            "stop_reason": piece.stop_reason,
        }
        if request.return_token_ids:
            choice["token_ids"] = list(piece.token_ids)
            choice["prompt_token_ids"] = list(plan.prompt_ids) if is_first else None
        return choice

    def _echo(self, plan: Plan) -> tuple[tuple[int, ...], str]:
        """The prompt as an answer repeats it, if it was asked to; ids stand for the text if both
        were asked for."""
        if not self._request.echo:
            return (), ""
        text = "" if self._request.return_token_ids else plan.decode(plan.prompt_ids)
        return plan.prompt_ids, text

    def _logprobs(
        self, ids: Sequence[int], positions: Sequence[Position | None], offset: int = 0
    ) -> dict[str, Any]:
        return answers.completion_logprobs(
            self._engine.tokenizer,
            ids,
            positions,
            offset=offset,
            as_ids=bool(self._request.return_tokens_as_token_ids),
        )
