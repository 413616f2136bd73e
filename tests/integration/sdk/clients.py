"""OpenAI's and Anthropic's SDKs at a real server, as their users make them, and what they ask."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.integration.real_server import KEYS, Server

ASK = [{"role": "user", "content": "头痛"}]
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
PLAIN = {**NO_THINKING, "ignore_eos": True}
"""No reasoning, and as many tokens as were asked for, whatever the toy would like."""
CALL_TOKENS = 560
"""What the toy's context leaves for a call, beside the tool's description letter by letter."""
CITIES = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["a", "b"]}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather", "parameters": CITIES}
TOOL = {"type": "function", "function": FUNCTION}
FLAT_TOOL = {"type": "function", **FUNCTION}
THEIR_TOOL = {"name": "weather", "description": "The weather", "input_schema": CITIES}


class Place(BaseModel):
    """A form that an answer must have."""

    city: Literal["a", "b"]
    far: bool


@dataclass
class Clients:
    """The SDKs as their users make them; `openai` and `anthropic` have a user's key."""

    server: Server
    stack: ExitStack

    def __post_init__(self) -> None:
        self.url = str(self.server.http.base_url).rstrip("/")
        self.openai = self.openai_with(KEYS["user"])
        self.anthropic = self.anthropic_with(api_key=KEYS["user"])

    def openai_with(self, key: str) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(trust_env=False, event_hooks={"response": [self._look]})
        url = f"{self.url}/v1"
        client = openai.OpenAI(base_url=url, api_key=key, http_client=http, max_retries=0)
        return self.stack.enter_context(client)

    def anthropic_with(self, **keys: str) -> anthropic.Anthropic:
        hooks = {"response": [self._look]}
        http = anthropic.DefaultHttpxClient(trust_env=False, event_hooks=hooks)
        client = anthropic.Anthropic(base_url=self.url, http_client=http, max_retries=0, **keys)
        return self.stack.enter_context(client)

    def _look(self, response: httpx2.Response) -> None:
        if response.is_error and self.server.backend == "transformers":
            response.read()
            if "the simple engine does not support" in response.text:
                pytest.skip("the simple engine does not support this, and says so")

    def chat(self, **more: Any) -> Any:
        """A chat completion of eight tokens, without reasoning unless `extra_body` says so."""
        body = {"model": "policy", "messages": ASK, "max_tokens": 8, "extra_body": PLAIN}
        return self.openai.chat.completions.create(**{**body, **more})

    def message(self, **more: Any) -> Any:
        """A message of eight tokens without thinking, the likeliest, since it takes no seed."""
        body = {
            "model": "policy",
            "messages": ASK,
            "max_tokens": 8,
            "extra_body": {"temperature": 0},
        }
        return self.anthropic.messages.create(**{**body, "thinking": {"type": "disabled"}, **more})


def curl(*words: str) -> str:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
