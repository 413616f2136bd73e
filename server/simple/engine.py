"""Which sequences are written and which wait. Runs on the event loop; the model has a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from galen.errors import GalenError, Unavailable
from server.simple.batch import Batch, Output
from server.simple.model import Model
from server.simple.sequence import Piece, Sequence

T = TypeVar("T")


class Engine:
    """At most `most` sequences are written at once. The others begin by priority (lower first),
    then in order of arrival."""

    def __init__(self, model: Model, most: int) -> None:
        self.model, self._batch, self._most = model, Batch(model), most
        self._thread = ThreadPoolExecutor(1, "model")
        self._outputs: dict[Sequence, asyncio.Queue[Output]] = {}
        """For each sequence that somebody waits for."""
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._work, self._is_paused = asyncio.Event(), False
        self._prompt_tokens = self._new_tokens = 0
        self.on_end: Callable[[], None] = lambda: None
        """Called once the engine has ended, also by a fault; the process then ends."""

    def metrics(self) -> dict[str, int]:
        """By vLLM's names."""
        running = sum(sequence in self._outputs for sequence in self._running)
        return {
            "vllm:num_requests_running": running,
            "vllm:num_requests_waiting": len(self._outputs) - running,
            "vllm:prompt_tokens_total": self._prompt_tokens,
            "vllm:generation_tokens_total": self._new_tokens,
        }

    async def run(self) -> None:
        """Write what there is to write, step by step, until cancelled."""
        try:
            while True:
                if self._choose():
                    for output in await self.call(self._batch.step, self._running):
                        self._deliver(output)
                else:
                    self._work.clear()
                    await self._work.wait()
        finally:
            self._thread.shutdown(wait=False)
            self._end_all()
            self.on_end()

    def _choose(self) -> bool:
        """Choose the sequences of the next step; False if there are none."""
        self._running = [sequence for sequence in self._running if sequence in self._outputs]
        self._waiting = [sequence for sequence in self._waiting if sequence in self._outputs]
        places = 0 if self._is_paused else self._most - len(self._running)
        self._waiting.sort(key=lambda sequence: sequence.request.priority)
        self._running += self._waiting[:places]
        del self._waiting[:places]
        return bool(self._running)

    def _deliver(self, output: Output) -> None:
        if outputs := self._outputs.get(sequence := output[0]):
            outputs.put_nowait(output)
            self._new_tokens += 1
            self._prompt_tokens += len(sequence.prompt_ids) if len(sequence.token_ids) == 1 else 0
            if sequence.is_over:
                del self._outputs[sequence]

    async def generate(self, sequences: list[Sequence]) -> AsyncGenerator[tuple[Sequence, Piece]]:
        """Pieces as they are written, until every sequence has ended.

        Closing the generator ends the sequences. Raises the error of a sequence that failed.
        """
        outputs: asyncio.Queue[Output] = asyncio.Queue()
        self._outputs |= dict.fromkeys(sequences, outputs)
        self._waiting += sequences
        self._work.set()
        left = len(sequences)
        try:
            while left:
                sequence, output = await outputs.get()
                if isinstance(output, GalenError):
                    raise output
                left -= output.finish_reason is not None
                yield sequence, output
        finally:
            for sequence in sequences:
                self._outputs.pop(sequence, None)

    async def call(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run `work` in the model's thread, between two steps."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def pause(self) -> None:
        """End every sequence and begin no more; returns once the model is at rest."""
        self._is_paused = True
        self._end_all()
        await self.call(lambda: None)

    def resume(self) -> None:
        self._is_paused = False
        self._work.set()

    def _end_all(self) -> None:
        """End every sequence, so that no caller waits for ever."""
        ended = Unavailable("the engine has ended or paused; try again shortly", retry_after_s=5)
        for sequence, outputs in self._outputs.items():
            outputs.put_nowait((sequence, ended))
        self._outputs.clear()
