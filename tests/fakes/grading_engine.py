"""A vLLM that grades prompts, for on-policy distillation."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.services import FakeService, Request, send_json


class GradingEngine(FakeService):
    """Answers `/tokenize` with `tokens`, and grades token t of a prompt with −t."""

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.tokens = tokens
        self.grades_prompts = True

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        if request.path == "/tokenize":
            send_json(handler, 200, {"tokens": self.tokens})
            return
        ids = request.body["prompt"]
        grades: list[Any] = [None, *({str(t): {"logprob": -float(t)}} for t in ids[1:])]
        choice = {"text": "", "prompt_logprobs": grades} if self.grades_prompts else {"text": ""}
        send_json(handler, 200, {"choices": [choice]})
