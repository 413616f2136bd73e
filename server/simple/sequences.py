"""The sequences of one request: begun together, heard together, and ended if nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from galen.errors import GalenError
from server.simple.engine import SimpleEngine
from server.simple.generate import FinishReason, Piece, Plan, Position, Writer


async def pieces(engine: SimpleEngine, plans: Sequence[Plan]) -> AsyncGenerator[Piece]:
    """What the sequences say, as they say it, until each is at its end.

    Closing the generator ends those that are not.
    """
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[Piece | GalenError] = asyncio.Queue()

    def deliver(piece: Piece | GalenError) -> None:
        loop.call_soon_threadsafe(said.put_nowait, piece)

    writers = [Writer(index, plan, deliver) for index, plan in enumerate(plans)]
    engine.begin(writers)
    try:
        left = len(writers)
        while left:
            piece = await said.get()
            if isinstance(piece, GalenError):
                raise piece
            left -= piece.finish_reason is not None
            yield piece
    finally:
        engine.worker.cancel(writers)


@dataclass(slots=True)
class Whole:
    """All pieces of one sequence."""

    token_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    logprobs: list[Position] = field(default_factory=list)
    prompt_logprobs: tuple[Position | None, ...] = ()
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None

    def add(self, piece: Piece) -> None:
        self.token_ids += piece.token_ids
        self.texts.append(piece.text)
        self.logprobs += piece.logprobs
        self.prompt_logprobs = self.prompt_logprobs or piece.prompt_logprobs
        self.finish_reason, self.stop_reason = piece.finish_reason, piece.stop_reason

    @property
    def text(self) -> str:
        return "".join(self.texts)


async def wholes(engine: SimpleEngine, plans: Sequence[Plan]) -> list[Whole]:
    """The answers once all are written."""
    answers = [Whole() for _ in plans]
    async with aclosing(pieces(engine, plans)) as said:
        async for piece in said:
            answers[piece.index].add(piece)
    return answers
