"""A policy server that answers chats that are not streamed, as it is told for each question.

With an empty queue for a question the answer is `re: <question>`, by `policy@v1`.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.services import FakeService, Refusal, Request, refuse, send_json


@dataclass(frozen=True)
class Said:
    """A chat completion."""

    content: str | None
    reasoning: str | None = None
    finish_reason: str = "stop"
    model: str = "policy@v1"
    usage: dict[str, int] | None = None

    def body(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.content, "reasoning": self.reasoning}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        body = {"model": self.model, "choices": [choice]}
        return body if self.usage is None else {**body, "usage": self.usage}


@dataclass(frozen=True)
class Odd:
    """A 200 whose JSON is not a completion's."""

    body: Any


@dataclass
class Held:
    """No answer until `release` is set; `arrived` tells that the question is there."""

    release: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)


class ChatServer(FakeService):
    def __init__(self) -> None:
        super().__init__()
        self.ready = True
        self.refusal: Refusal | None = None
        """What every question gets that has nothing queued, if set."""
        self.usual: Callable[[str], Said] = lambda question: Said(f"re: {question}", "想")
        """What is answered else."""
        self._queued: dict[str, deque[Said | Odd | Held | Refusal]] = defaultdict(deque)

    def enqueue(self, question: str, *replies: Said | Odd | Held | Refusal) -> None:
        self._queued[question].extend(replies)

    @property
    def questions(self) -> list[str]:
        """Every question so far, in the order in which they came."""
        return [b["messages"][-1]["content"] for b in self.asked("POST", "/v1/chat/completions")]

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        match request.path:
            case "/v1/models":
                send_json(handler, 200, {"data": [{"id": "policy"}, {"id": "policy@v1"}]})
            case "/readyz":
                send_json(handler, 200 if self.ready else 503, {})
            case "/v1/chat/completions":
                self._chat(handler, request.body["messages"][-1]["content"])
            case _:
                refuse(handler, Refusal(404, f"no route {request.path}"))

    def _chat(self, handler: BaseHTTPRequestHandler, question: str) -> None:
        queue = self._queued[question]
        match queue.popleft() if queue else self.refusal:
            case Refusal() as refusal:
                refuse(handler, refusal)
                return
            case Said() as said:
                send_json(handler, 200, said.body())
                return
            case Odd(body):
                send_json(handler, 200, body)
                return
            case Held() as held:
                held.arrived.set()
                held.release.wait(60)
            case None:
                pass
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever asked is gone
            send_json(handler, 200, self.usual(question).body())
