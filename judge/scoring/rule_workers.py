"""Applies the rules off the event loop: on a thread, or in worker processes.

The rules are regular expressions over Chinese text and the judge's largest use of processor time.
Python runs one thread at a time, so worker processes leave the judge's own free to keep the teacher
busy. A worker gets the rubrics once, at its start; a call carries only texts and numbers.
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
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.schemas import RuleVerdict
from judge.text.case import Case

log = logging.getLogger(__name__)


_TRIES = 2
Texts = tuple[str, str, str, tuple[tuple[str, str], ...]]
"""Of a case: the question, the answer, the reference, the earlier turns."""
_NICE = 10
"""Workers run at a lower priority than the judge, which has to keep the teacher busy."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The rules' verdict on one answer."""

    rules: RuleVerdict
    is_kept_back: bool
    """A pre-check hit: no teacher may see the answer."""
    is_prompt_distrusted: bool
    """The prompt attacks the judge: no teacher may see it."""


class Readers(Protocol):
    @property
    def at_once(self) -> int:
        """How many calls of `read` run in parallel."""
        ...

    async def read(self, rubric: Rubric, cases: Sequence[Case]) -> list[Reading]:
        """One reading for each case. Raises `Unavailable`."""
        ...

    def close(self) -> None: ...


class ThreadReader:
    """Applies the rules on one thread; the event loop stays free."""

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
    """Applies the rules in several processes, which end when the judge ends, even if killed."""

    def __init__(self, rubrics: RubricRegistry, processes: int) -> None:
        self.at_once = processes
        self._rubrics = rubrics
        self._pool = self._start()

    async def read(self, rubric: Rubric, cases: Sequence[Case]) -> list[Reading]:
        """If a process dies, its open work is tried once more: another answer may be the cause."""
        texts = [(case.prompt, case.response, case.reference, case.earlier) for case in cases]
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            pool = self._pool
            try:
                return await loop.run_in_executor(pool, _read_texts, rubric.name, texts)
            except BrokenProcessPool:
                if pool is self._pool:  # another caller may have replaced it already
                    log.error("a rules process has died; new ones are started")
                    self._pool = self._start()
        raise Unavailable(
            "the judge's rules processes keep dying; send the request again",
            retry_after_s=1,
        )

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=_Spawn(),
            initializer=_begin,
            initargs=(self._rubrics,),
        )
        for _ in range(self.at_once):  # the pool starts a process only when it gets work
            pool.submit(_read_texts, next(iter(self._rubrics)).name, [])
        return pool


def read(rubric: Rubric, case: Case) -> Reading:
    """Apply a rubric's rules and pre-checks to one case."""
    rules = rubric.examine(case)
    kept_back = rubric.keeps_from_teacher(rules)
    asked = (*(text for _, text in case.earlier), case.prompt)
    return Reading(rules, kept_back, not kept_back and any(map(rubric.distrusts, asked)))


class _Reader(SpawnProcess):
    """A worker. When one dies, the pool terminates the others."""

    def terminate(self) -> None:
        self.kill()  # workers ignore SIGTERM


class _Spawn(SpawnContext):
    Process = _Reader


_rubrics: RubricRegistry
"""Set once, when a worker process starts."""


def _begin(rubrics: RubricRegistry) -> None:
    global _rubrics
    _rubrics = rubrics
    for number in (signal.SIGINT, signal.SIGTERM):  # a group's signal is for the judge to handle
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    threading.Thread(target=_end_with_judge, daemon=True).start()


def _end_with_judge() -> None:
    judge = multiprocessing.parent_process()
    assert judge is not None
    judge.join()
    os._exit(0)


def _read_texts(rubric: str, texts: Sequence[Texts]) -> list[Reading]:
    return [read(_rubrics.get(rubric), Case(*each)) for each in texts]
