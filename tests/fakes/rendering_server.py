"""A policy server that renders chats and completes token ids; a token is a character of the text.

Its versions differ in what they say: `said[version]` is a function of the question, by default the
same for all. It holds one version at a time, as a server of merged weights does.
"""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.loop_services import LoopPolicyServer
from tests.fakes.services import Refusal, Request, refuse, send_json

LONGEST = 2000
END = "\x03"
"""Ends each turn of the template."""


class RenderingServer(LoopPolicyServer):
    def __init__(self) -> None:
        super().__init__("0" * 64)
        self.said: dict[str, Callable[[str], str]] = {}
        self.refuses: dict[str, Refusal] = {}
        """Errors instead of completions, by a part of the prompt."""
        self.ids: Callable[[str], list[int]] = lambda text: list(map(ord, text))
        self.template = "<|im_start|>assistant\n"
        self.letter = "A"
        """The letter that gets most probability."""
        self.cuts_off: list[Refusal] = []
        """Errors of the next activations, which happen all the same."""
        self.gives_letters = True
        self.renders = True
        self.tokenizes: list[Refusal] = []
        """Errors of the next calls of `/tokenize` or `/detokenize`."""
        self.models: list[str] = []
        """What `/v1/models` lists; without any there is no such list."""

    def answer_next(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        body = request.body
        if request.path in ("/tokenize", "/detokenize") and self.tokenizes:
            refuse(handler, self.tokenizes.pop(0))
        elif request.path in ("/tokenize", "/detokenize") and not self.renders:
            refuse(handler, Refusal(501, "not supported"))
        elif request.path == "/policy/activate" and self.cuts_off:
            self.current = request.body["name"]
            refuse(handler, self.cuts_off.pop(0))
        elif request.path == "/v1/models" and self.models:
            send_json(handler, 200, {"data": [{"id": name} for name in self.models]})
        elif request.path == "/tokenize":
            ids = self.ids(self._text(body))
            send_json(handler, 200, {"tokens": ids, "max_model_len": LONGEST})
        elif request.path == "/detokenize":
            send_json(handler, 200, {"prompt": "".join(map(chr, body["tokens"]))})
        elif request.path == "/v1/chat/completions":
            send_json(handler, 200, self._chat(body))
        elif request.path == "/v1/completions":
            prompt = "".join(map(chr, body["prompt"]))
            if refusal := next((r for part, r in self.refuses.items() if part in prompt), None):
                refuse(handler, refusal)
            elif "logprob_token_ids" in body and not self.gives_letters:
                refuse(handler, Refusal(422, "no such log-probabilities"))
            elif "logprob_token_ids" in body:
                send_json(handler, 200, self._letters(body["logprob_token_ids"]))
            else:
                send_json(handler, 200, self._written(prompt, body))
        else:
            super().answer_next(handler, request)

    def _state(self) -> dict[str, Any]:
        for name, card in self.cards.items():
            card["loaded"] = name == self.current
        return super()._state()

    def _text(self, body: dict[str, Any]) -> str:
        if "prompt" in body:
            return str(body["prompt"])
        turns = "".join(f"{turn['role']}:{turn['content']}{END}" for turn in body["messages"])
        return turns + self.template

    def _say(self, question: str) -> str:
        return self.said.get(self.current, lambda _: self.text)(question)

    def _written(self, prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        text = self._say(prompt.split(END)[-2].partition(":")[2])
        is_cut = len(text) > body["max_tokens"]
        text = text[: body["max_tokens"]]
        choice = {"text": text, "finish_reason": "length" if is_cut else "stop"}
        usage = {"completion_tokens": len(text)}
        return {"model": f"policy@{self.current}", "choices": [choice], "usage": usage}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {"content": self._say(body["messages"][-1]["content"])}
        usage = {"prompt_tokens": 9, "completion_tokens": 7}
        choice = {"message": message, "finish_reason": "stop"}
        return {"model": body["model"], "choices": [choice], "usage": usage}

    def _letters(self, ids: list[int]) -> dict[str, Any]:
        top = {f"token_id:{token}": 0.0 if chr(token) == self.letter else -3.0 for token in ids}
        return {"model": "m", "choices": [{"logprobs": {"top_logprobs": [top]}}]}
