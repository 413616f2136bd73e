"""One thread owns the model; sequences take turns in it, token by token."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from galen.errors import GalenError, Unavailable
from server.simple.generate import Piece, Writer
from server.simple.metrics import EngineMetrics
from server.simple.model import PolicyModel

log = logging.getLogger(__name__)

MOST_RUNNING = 8
"""Sequences that have a cache at once; more wait."""

T = TypeVar("T")


class _Call(Generic[T]):
    """Work for the worker's thread between two turns, and where its result goes."""

    def __init__(self, work: Callable[[PolicyModel], T]) -> None:
        self._work = work
        self.result: Future[T] = Future()

    def run(self, model: PolicyModel) -> None:
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            result = self._work(model)
        except BaseException as error:
            self.result.set_exception(error)
        else:
            self.result.set_result(result)


class Worker:
    """Waiting sequences begin by priority (lower first), then in the order in which they came.

    While it is paused those in hand are finished and new ones are kept back.
    """

    def __init__(self, model: PolicyModel, metrics: EngineMetrics) -> None:
        self._model = model
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int, Writer]] = []
        self._running: list[Writer] = []
        self._kept_back: list[Writer] = []
        self._calls: list[_Call[Any]] = []
        self._drained: list[Future[None]] = []
        self._arrivals = 0
        self._paused = self._stopping = self._is_over = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._on_end: Callable[[], None] = lambda: None

    def start(self, on_end: Callable[[], None]) -> None:
        """Begin to work. `on_end` is called, in this thread, however the work ends."""
        self._on_end = on_end
        self._thread.start()

    def stop(self) -> None:
        """End after the turn at hand; whoever still waits for an answer is told to retry."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, writers: Iterable[Writer]) -> None:
        with self._changed:
            if self._paused:
                self._kept_back.extend(writers)
            else:
                self._enqueue(writers)
            self._tell()
        self._tell_if_over()

    def cancel(self, writers: Iterable[Writer]) -> None:
        """End sequences before their next turn; those that are at their end already stay so."""
        gone = set(writers)
        with self._changed:
            for writer in gone:
                writer.cancelled = True
            self._kept_back = [w for w in self._kept_back if w not in gone]
            self._waiting = [entry for entry in self._waiting if entry[2] not in gone]
            heapq.heapify(self._waiting)
            self._tell()

    async def call(self, work: Callable[[PolicyModel], T]) -> T:
        """Run `work` in the worker's thread between two turns."""
        call: _Call[T] = _Call(work)
        with self._changed:
            self._calls.append(call)
            self._tell()
        self._tell_if_over()
        return await asyncio.wrap_future(call.result)

    async def pause(self) -> None:
        """Keep new sequences back; returns once those in hand are finished."""
        drained: Future[None] = Future()
        with self._changed:
            self._paused = True
            self._drained.append(drained)
            self._tell()
        self._tell_if_over()
        await asyncio.wrap_future(drained)

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._enqueue(self._kept_back)
            self._kept_back = []
            self._tell()

    def uses(self, adapter: str) -> bool:
        """Whether a sequence that is not at its end was begun with this adapter."""
        with self._changed:
            queued = [entry[2] for entry in self._waiting]
            return any(
                writer.plan.adapter == adapter
                for writer in (*queued, *self._running, *self._kept_back)
            )

    def _enqueue(self, writers: Iterable[Writer]) -> None:
        for writer in writers:
            self._arrivals += 1
            heapq.heappush(self._waiting, (writer.plan.priority, self._arrivals, writer))

    def _tell(self) -> None:
        """After a change of what there is to do; the lock is held."""
        self._metrics.running.set(len(self._running))
        self._metrics.waiting.set(len(self._waiting) + len(self._kept_back))
        self._changed.notify()

    def _run(self) -> None:
        try:
            while self._take_turns():
                pass
        finally:
            self._end()
            self._on_end()

    def _take_turns(self) -> bool:
        """One turn for each running sequence; False when the worker is to end."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            if self._stopping:
                return False
            calls, self._calls = self._calls, []
            while self._waiting and len(self._running) < MOST_RUNNING:
                self._running.append(heapq.heappop(self._waiting)[2])
            self._tell()
        for call in calls:
            call.run(self._model)
        for writer in tuple(self._running):
            self._advance(writer)
        with self._changed:
            if not self._running and not self._waiting:
                drained, self._drained = self._drained, []
                for future in drained:
                    if future.set_running_or_notify_cancel():
                        future.set_result(None)
            self._tell()
        return True

    def _has_work(self) -> bool:
        return bool(
            self._stopping or self._calls or self._running or self._waiting or self._drained
        )

    def _advance(self, writer: Writer) -> None:
        """Let a sequence take its turn; it leaves before its last piece is told."""
        said = self._turn_of(writer)
        if writer.cancelled or isinstance(said, GalenError) or (said and said.finish_reason):
            with self._changed:
                self._running.remove(writer)
                self._tell()
        if isinstance(said, Piece):
            self._metrics.count(writer, said)
        if said:
            writer.deliver(said)

    def _turn_of(self, writer: Writer) -> Piece | GalenError | None:
        """What a sequence adds in its turn; an error of its own ends it alone."""
        if writer.cancelled:
            return None
        try:
            return writer.step(self._model)
        except GalenError as error:
            return error

    def _end(self) -> None:
        """Nobody waits for what will not come."""
        with self._changed:
            self._is_over = True
        self._tell_if_over()

    def _tell_if_over(self) -> None:
        """Once the work has ended, whoever waits for it is told, and whoever comes later."""
        lost = Unavailable("the engine has ended; try again shortly", retry_after_s=5)
        with self._changed:
            if not self._is_over:
                return
            queued = [entry[2] for entry in self._waiting]
            for writer in (*queued, *self._running, *self._kept_back):
                if not writer.cancelled:
                    writer.deliver(lost)
            futures: list[Future[Any]] = [*self._drained, *(call.result for call in self._calls)]
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_exception(lost)
            self._waiting, self._running, self._kept_back = [], [], []
            self._drained, self._calls = [], []
