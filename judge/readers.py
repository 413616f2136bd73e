"""Reading answers by the rules, off the event loop: on a thread, or in processes of its own.

The rules are regular expressions over Chinese text and cost more than all else that the judge does
itself. Python runs one thread at a time, so a judge that has a teacher to keep busy reads in other
processes. What a reader is given and gives back are texts and numbers; the rubrics it knows are
those that the judge knew at its start.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Protocol

from galen.errors import Unavailable
from judge.case import Case
from judge.rubric import Rubric, RubricShelf
from judge.schemas import RuleVerdict

log = logging.getLogger(__name__)


_TRIES = 2
_NICE = 10
"""Readers take the time that the judge itself leaves: it keeps the teacher busy meanwhile."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rules say of one answer."""

    rules: RuleVerdict
    is_kept_back: bool
    """A pre-check was hit: no teacher may see the answer."""
    is_prompt_distrusted: bool
    """Nor may one see the prompt."""


class Readers(Protocol):
    @property
    def at_once(self) -> int:
        """How many calls of `read` are worth having under way."""
        ...

    async def read(self, rubric: Rubric, cases: Sequence[Case]) -> list[Reading]:
        """One reading for each case. Raises `Unavailable`."""
        ...

    def close(self) -> None: ...


class ThreadReader:
    """One thread: the loop stays free, and requests take turns."""

    at_once = 1

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rules")

    async def read(self, rubric: Rubric, cases: Sequence[Case]) -> list[Reading]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, lambda: [read(rubric, case) for case in cases]
        )

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class ProcessReaders:
    """Several processes. They end with the judge, however it ends."""

    def __init__(self, shelf: RubricShelf, processes: int) -> None:
        self.at_once = processes
        self._shelf = shelf
        self._pool = self._start()

    async def read(self, rubric: Rubric, cases: Sequence[Case]) -> list[Reading]:
        """When a process dies, what was under way is read once more: it may not be to blame."""
        texts = [(case.prompt, case.response, case.reference) for case in cases]
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            pool = self._pool
            try:
                return await loop.run_in_executor(pool, _read_texts, rubric.name, texts)
            except BrokenProcessPool:
                if pool is self._pool:  # the first to notice sees to it
                    log.error("a process that reads answers has died; new ones are started")
                    self._pool = self._start()
        raise Unavailable(
            "processes that read answers by the rules keep dying; send the request again",
            retry_after_s=1,
        )

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=_Spawn(),
            initializer=_begin,
            initargs=(self._shelf,),
        )
        for _ in range(self.at_once):  # they start with work, and should be there before it comes
            pool.submit(_read_texts, next(iter(self._shelf)).name, [])
        return pool


def read(rubric: Rubric, case: Case) -> Reading:
    rules = rubric.examine(case)
    kept_back = rubric.keeps_from_teacher(rules)
    return Reading(rules, kept_back, not kept_back and rubric.distrusts(case.prompt))


class _Reader(SpawnProcess):
    """What a pool ends as soon as another of its processes has died."""

    def terminate(self) -> None:
        self.kill()  # it heeds no SIGTERM


class _Spawn(SpawnContext):
    Process = _Reader


_shelf: RubricShelf
"""A reader process's own; set once, as it begins."""


def _begin(shelf: RubricShelf) -> None:
    global _shelf
    _shelf = shelf
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group, meant for the judge
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    threading.Thread(target=_end_with_judge, daemon=True).start()


def _end_with_judge() -> None:
    judge = multiprocessing.parent_process()
    assert judge is not None
    judge.join()
    os._exit(0)


def _read_texts(rubric: str, texts: Sequence[tuple[str, str, str]]) -> list[Reading]:
    return [read(_shelf.get(rubric), Case(*each)) for each in texts]
