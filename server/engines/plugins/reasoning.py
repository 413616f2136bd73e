"""The logic of vLLM's reasoning parser, by `galen.transcript`. Imports no vLLM.

vLLM asks a parser two things: which text is reasoning, and from which token on a grammar, such as
a JSON schema, constrains the model. It makes one parser for each completion in the API server, and
one in the engine's core for each request that has a grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from galen.transcript import THINK_CLOSE, THINK_OPEN, Opening, Piece, Splitter, opening_of

_LAST_TURN_TOKENS = 4096
"""The prompt's last turn is looked for in this many tokens at its end."""
_OF_THE_PROMPT = frozenset({"add_generation_prompt", "continue_final_message", "messages", "tools"})
"""Names in a chat template that a switch cannot have."""


@lru_cache(maxsize=8)
def _only_token(tokenizer: Any, tag: str) -> int | None:
    """The token that is the whole tag, if there is one."""
    ids: list[int] = tokenizer.encode(tag, add_special_tokens=False)
    return ids[0] if len(ids) == 1 else None


class TemplateReasoning:
    """One completion, or in the engine's core one request.

    `chat_template_kwargs` is None for a prompt that no chat template made.
    """

    def __init__(
        self, tokenizer: Any, chat_template_kwargs: Mapping[str, Any] | None, *, in_core: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._template_kwargs = chat_template_kwargs
        self._in_core = in_core
        template = getattr(tokenizer, "chat_template", None)
        self._template = template if isinstance(template, str) else ""
        self._open_id = _only_token(tokenizer, THINK_OPEN)
        self._close_id = _only_token(tokenizer, THINK_CLOSE)
        self._opening: Opening | None = None
        self._splitter: Splitter | None = None
        self._reasoning = ""

    def read_prompt(self, token_ids: Sequence[int]) -> None:
        """Find out from the prompt itself where the completion begins."""
        special = set(self._tokenizer.all_special_ids)
        start = max(0, len(token_ids) - _LAST_TURN_TOKENS)
        for index in range(len(token_ids) - 1, start, -1):
            if token_ids[index] in special:
                start = index
                break
        self._opening = opening_of(self._tokenizer.decode(list(token_ids[start:])))

    def starts_constrained(self) -> bool:
        """Whether a grammar holds from the first token, since no thought comes before the answer.

        A thought is expected where the prompt opened one, or where the chat's template supports
        thoughts and this chat has not switched them off.
        """
        chat_thinks = self._template_kwargs is not None and THINK_OPEN in self._template
        return self.opening is Opening.CLOSED or (
            self.opening is Opening.NOTHING and not chat_thinks
        )

    @property
    def opening(self) -> Opening:
        """What the prompt opened; until it is known, what the template opens."""
        if self._opening is None:
            self._opening = self._template_opening()
        return self._opening

    def _template_opening(self) -> Opening:
        if not self._template:
            return Opening.NOTHING
        switches = {
            name: value
            for name, value in (self._template_kwargs or {}).items()
            if name in self._template and name not in _OF_THE_PROMPT
        }
        try:
            prompt = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": "?"}],
                tokenize=False,
                add_generation_prompt=True,
                **switches,
            )
        except (TemplateError, TypeError, ValueError):
            return Opening.NOTHING  # the conversation itself will be refused
        return opening_of(prompt)

    # What vLLM calls.

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Called with the prompt. In the core: whether the grammar holds from the first token.

        In the API server always False: after True vLLM would treat all text as the answer, even if
        the model opens a thought. There `adjust_request` sets from where the grammar holds.
        """
        self.read_prompt(input_ids)
        return self._in_core and self.starts_constrained()

    def is_reasoning_end_streaming(
        self, input_ids: Sequence[int], delta_ids: Iterable[int]
    ) -> bool:
        """Whether the thought ends in these new tokens, the last of `input_ids`."""
        new = list(delta_ids)
        if self._close_id is not None:
            return self._close_id in new
        last = list(input_ids[-(len(new) + len(THINK_CLOSE)) :])
        return THINK_CLOSE in self._tokenizer.decode(last)

    def adjust_request(self, request: Any) -> Any:
        """Let a grammar hold from the first token of a chat without a thought."""
        if self._close_id is not None and not self._tokenizer.decode(
            [self._close_id], skip_special_tokens=True
        ):
            request.skip_special_tokens = False  # else the text would come without its tags
        has_grammar = any(
            getattr(request, name, None)
            for name in ("response_format", "structured_outputs", "tools")
        )
        if has_grammar and hasattr(request, "_grammar_from_parser") and self.starts_constrained():
            request._grammar_from_parser = True
        return request

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Reasoning and answer of a whole completion; None where there is none."""
        splitter = Splitter(self._opening_of(request))
        pieces = splitter.feed(model_output), splitter.finish()
        self._reasoning = "".join(piece.reasoning for piece in pieces)
        answer = "".join(piece.answer for piece in pieces)
        none = splitter.thinking or (self._reasoning and not answer)
        return self._reasoning or None, None if none else answer

    def _opening_of(self, request: Any) -> Opening:
        """The opening, kept on the request: only the first choice's parser sees the prompt."""
        known = getattr(request, "galen_opening", None)
        if self._opening is None and isinstance(known, Opening):  # a client can send only a text
            self._opening = known
        request.galen_opening = self.opening
        return self.opening

    def feed(self, text: str) -> Piece:
        """What some more text of a streamed completion adds."""
        if self._splitter is None:
            self._splitter = Splitter(self.opening)
        piece = self._splitter.feed(text)
        self._reasoning += piece.reasoning
        return piece

    def finish(self) -> Piece:
        """The text that was held back, once the stream has ended."""
        piece = self._splitter.finish() if self._splitter else Piece()
        self._reasoning += piece.reasoning
        return piece

    def has_engine_confirmed_reasoning_end(self) -> bool:
        """Whether vLLM may pass on all further text as the answer."""
        return self._splitter is not None and self._splitter.verbatim

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """The answer's tokens among those in which the thought ends."""
        if self._close_id not in input_ids:
            return input_ids
        return input_ids[input_ids.index(self._close_id) + 1 :]

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """How many tokens of a completion are reasoning, without its tags."""
        if not self._reasoning:
            return 0
        if self._close_id is None:
            return len(self._tokenizer.encode(self._reasoning, add_special_tokens=False))
        ids = list(token_ids)
        end = ids.index(self._close_id) if self._close_id in ids else len(ids)
        return sum(token != self._open_id for token in ids[:end])
