"""What the engine counts, under the names that vLLM gives it."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from server.simple.generate import Piece, Writer

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class EngineMetrics:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.running = Gauge(
            "vllm:num_requests_running", "Sequences that are being written", registry=registry
        )
        self.waiting = Gauge(
            "vllm:num_requests_waiting", "Sequences that have no turns yet", registry=registry
        )
        self._prompt_tokens = Counter(
            "vllm:prompt_tokens", "Tokens of prompts that were read", registry=registry
        )
        self._generation_tokens = Counter(
            "vllm:generation_tokens", "Tokens that were written", registry=registry
        )
        self._first_token = Histogram(
            "vllm:time_to_first_token_seconds",
            "Seconds from a sequence's arrival to its first token",
            buckets=_SECONDS,
            registry=registry,
        )

    def count(self, writer: Writer, piece: Piece) -> None:
        if not writer.has_begun:
            writer.has_begun = True
            self._prompt_tokens.inc(len(writer.plan.prompt_ids))
            self._first_token.observe(time.monotonic() - writer.arrived)
        self._generation_tokens.inc(len(piece.token_ids))

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry).decode()
