"""Many clients that ask a policy server without a pause, and what each was answered."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.integration.real_server import PROMPT_IDS, Server

CLIENTS = 32
GREEDY = {"max_tokens": 12, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
LONGEST_WAIT_S = 120.0
"""For one answer; a request that takes longer hangs."""


@dataclass
class Load:
    """The answers so far, in no order; an exception of a client fails the test that asked."""

    answers: list[httpx.Response] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def add(self, answer: httpx.Response) -> httpx.Response:
        with self._news:
            self.answers.append(answer)
            self._news.notify_all()
        return answer

    def wait_for_an_answer_by(self, version: str) -> None:
        """Until one more answer names it: a version that serves for a moment only may be asked
        for nothing."""
        with self._news:
            seen = len(self.answers)
            assert self._news.wait_for(
                lambda: any(
                    answer.headers.get("X-Policy-Version") == version
                    for answer in self.answers[seen:]
                ),
                LONGEST_WAIT_S,
            ), f"no answer names {version!r}"

    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers)

    def written_by(self) -> dict[str, set[tuple[int, ...]]]:
        """For each version that an answer names, all that it wrote."""
        written: dict[str, set[tuple[int, ...]]] = {}
        for answer in self.answers:
            if answer.status_code == 200:
                told = answer.json()
                assert told["model"] == f"policy@{answer.headers['X-Policy-Version']}"
                written.setdefault(told["model"], set()).add(tokens_of(told))
        return written


def tokens_of(told: dict[str, Any]) -> tuple[int, ...]:
    return tuple(told["choices"][0]["token_ids"])


def greedy(server: Server) -> tuple[str, tuple[int, ...]]:
    """The version that serves, and what it always writes."""
    told = server.complete(**GREEDY).raise_for_status().json()
    return told["model"], tokens_of(told)


@contextlib.contextmanager
def under_load(server: Server) -> Iterator[Load]:
    """`CLIENTS` clients ask `policy` from before the block until after it, and are then waited
    for; each has been answered at least once before the block begins."""
    load, over, first = Load(), threading.Event(), threading.Barrier(CLIENTS + 1)
    body = {"model": "policy", "prompt": PROMPT_IDS, **GREEDY}

    def ask() -> None:
        url, headers = server.http.base_url, server.http.headers
        with httpx.Client(
            base_url=url, headers=headers, timeout=LONGEST_WAIT_S, trust_env=False
        ) as http:
            load.add(http.post("/v1/completions", json=body))
            first.wait()
            while not over.is_set():
                answer = load.add(http.post("/v1/completions", json=body))
                if answer.status_code == 503:  # As a client does that heeds Retry-After.
                    over.wait(1)

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask) for _ in range(CLIENTS)]
        try:
            first.wait(LONGEST_WAIT_S)
            yield load
        finally:
            over.set()
    for client in asking:
        client.result()
