"""Answers that must follow a JSON schema: xgrammar's masks over the vocabulary, where installed.

Shapes: V the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from server.simple.errors import BadRequest

try:
    import xgrammar
except ImportError:
    xgrammar = None  # type: ignore[assignment]

DEEPEST = 64
"""Levels of a schema; deeper ones would exhaust the compiler's stack."""

LONGEST_REASON = 200
"""Characters of the compiler's own words."""
_WHERE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
"""The time and the place in its source that the compiler puts before them."""

ANY_OBJECT: dict[str, Any] = {"type": "object"}


class Grammars:
    """Compiles schemas for one tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary: int, end_ids: frozenset[int]) -> None:
        self._compiler: Any = None
        self._vocabulary = vocabulary
        if xgrammar is not None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                tokenizer, vocab_size=vocabulary, stop_token_ids=sorted(end_ids)
            )
            self._compiler = xgrammar.GrammarCompiler(info, max_threads=1)

    def of_schema(self, schema: dict[str, Any] | bool, field: str) -> Callable[[], JsonGrammar]:
        """What makes a fresh grammar for each sequence; `field` is named when it is refused."""
        if self._compiler is None:
            message = f"{field}: the simple engine needs the package xgrammar for this"
            raise BadRequest(message, param=field)
        if _depth_exceeds(schema, DEEPEST):
            raise BadRequest(f"{field}: nested deeper than {DEEPEST} levels", param=field)
        try:
            # White space is free in JSON, and a weak model would write nothing else for ever.
            compiled = self._compiler.compile_json_schema(json.dumps(schema), any_whitespace=False)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = " ".join(_WHERE.sub("", str(error)).split())[:LONGEST_REASON]
            raise BadRequest(f"{field}: not a valid JSON schema: {reason}") from error
        return lambda: JsonGrammar(compiled, self._vocabulary)


class JsonGrammar:
    """Where one answer stands in its schema."""

    def __init__(self, compiled: Any, vocabulary: int) -> None:
        self._matcher = xgrammar.GrammarMatcher(compiled)
        self._bits = xgrammar.allocate_token_bitmask(1, vocabulary)

    @property
    def is_over(self) -> bool:
        return bool(self._matcher.is_terminated())

    def mask(self, logits_V: Tensor) -> Tensor:
        """The logits, -inf where a token would break the schema."""
        self._matcher.fill_next_token_bitmask(self._bits)
        masked_1V = logits_V.clone().unsqueeze(0)
        xgrammar.apply_token_bitmask_inplace(masked_1V, self._bits)
        return masked_1V[0]

    def accept(self, token: int) -> None:
        self._matcher.accept_token(token)


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)
