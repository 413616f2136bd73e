"""The tokenizer: texts and conversations to token ids, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from server.simple.errors import BadRequest

RESERVED = frozenset(
    {"conversation", "chat_template", "tokenize", "return_dict", "return_tensors", "tools"}
)
"""Of `apply_chat_template`'s own arguments those that a request may not set."""

Decode = Callable[[Sequence[int]], str]


class Tokenizer:
    def __init__(self, folder: Path) -> None:
        self.inner: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._longest = max(len(token) for token in self.inner.get_vocab())

    @property
    def end_ids(self) -> frozenset[int]:
        end = self.inner.eos_token_id
        return frozenset() if end is None else frozenset([end])

    def encode(self, text: str, *, special: bool, most: int | None = None) -> list[int]:
        """Token ids. A text that must have more than `most` tokens is refused without being
        tokenized, since that would take long."""
        if most is not None and len(text) > most * self._longest:
            raise BadRequest(
                f"This model's maximum context length is {most} tokens. However, the prompt has "
                f"{len(text):,} characters, which are more tokens than that; shorten it.",
                param="input_tokens",
            )
        return list(self.inner(text, add_special_tokens=special)["input_ids"])

    def decoder(self, *, skip_special: bool) -> Decode:
        return partial(self.inner.decode, skip_special_tokens=skip_special)

    def token_text(self, token: int) -> str:
        return str(self.inner.decode([token]))

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """The tokens as the vocabulary spells them."""
        return list(self.inner.convert_ids_to_tokens(list(ids)))

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        *,
        add_generation_prompt: bool,
        continue_final_message: bool,
        more: dict[str, Any],
    ) -> str:
        """The conversation as the chat template writes it."""
        if self.inner.chat_template is None:
            raise BadRequest("the model has no chat template; use /v1/completions")
        if taken := sorted(more.keys() & RESERVED):
            field = f"chat_template_kwargs.{taken[0]}"
            raise BadRequest(f"{field}: may not be set by a request", param=field)
        try:
            return str(
                self.inner.apply_chat_template(
                    list(messages),
                    tools=None if tools is None else list(tools),
                    tokenize=False,
                    **{
                        "add_generation_prompt": add_generation_prompt,
                        "continue_final_message": continue_final_message,
                        **more,
                    },
                )
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            # The template's own words may hold a message's text.
            reason = type(error).__name__
            message = f"messages: the chat template does not take them ({reason})"
            raise BadRequest(message, param="messages") from error
