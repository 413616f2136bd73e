"""Prompts and conversations to token ids, and ids to text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from server.simple.model import Model
from server.simple.protocol import BadRequest, ChatRequest

_RAISED_BY_TEMPLATES = (
    *(TemplateError, ArithmeticError, AttributeError),
    *(LookupError, RecursionError, TypeError, ValueError),
)


class Tokenizer:
    """The tokenizer in the folder of a model."""

    def __init__(self, folder: Path, model: Model) -> None:
        self._inner: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._vocabulary, self.most = model.vocabulary, model.most
        self.end_ids = frozenset(model.end_ids | ({self._inner.eos_token_id} - {None}))
        self._longest_token = max(len(token) for token in self._inner.get_vocab())

    def prompt_ids(self, prompt: str | list[int], *, special: bool = True) -> list[int]:
        """Token ids that the model can read; `special` adds those that a text begins with."""
        # A text too long for any tokens is refused without tokenizing it, which would take long.
        if isinstance(prompt, str) and len(prompt) <= self.most * self._longest_token:
            prompt = list(self._inner(prompt, add_special_tokens=special)["input_ids"])
        if isinstance(prompt, str) or not 0 < len(prompt) < self.most:
            unit = "characters" if isinstance(prompt, str) else "tokens"
            raise BadRequest(
                f"This model's maximum context length is {self.most} tokens. However, the prompt "
                f"has {len(prompt)} {unit} and needs room for an answer; change its length.",
                param="input_tokens",
            )
        if max(prompt) >= self._vocabulary:
            message = f"prompt: token id {max(prompt)} is out of the vocabulary"
            raise BadRequest(f"{message} of {self._vocabulary}", param="prompt")
        return prompt

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._inner.decode(ids, skip_special_tokens=True))

    def render(self, request: ChatRequest) -> str:
        """The conversation as the model's chat template writes it, up to the answer."""
        if self._inner.chat_template is None:
            message = "messages: the model has no chat template; use /v1/completions"
            raise BadRequest(message, param="messages")
        messages = [_message(place, message) for place, message in enumerate(request.messages)]
        # A request that sets one of these too gives it twice, which is refused below.
        fixed = {"tools": None, "chat_template": None, "tokenize": False}
        fixed["add_generation_prompt"] = True
        kwargs, template = request.chat_template_kwargs, self._inner.apply_chat_template
        try:
            return str(template(messages, **fixed, **kwargs))
        except _RAISED_BY_TEMPLATES as error:
            # The error's own words may hold a message's text.
            reason = f"the chat template does not take them ({type(error).__name__})"
            raise BadRequest(f"messages: {reason}", param="messages") from error


def _message(place: int, message: dict[str, Any]) -> dict[str, Any]:
    """A message as chat templates read it: its parts joined, its reasoning under Qwen's name."""
    given = {name: value for name, value in message.items() if value is not None}
    content = given.get("content", "")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    readable = [text for text in texts if isinstance(text, str)]
    if readable != texts or not isinstance(given.get("role"), str) or given.get("tool_calls"):
        where = f"messages.{place}"
        raise BadRequest(f"{where}: needs a role and text, and may not call tools", param=where)
    given["content"] = "\n".join(readable)
    return given | ({"reasoning_content": given["reasoning"]} if "reasoning" in given else {})
