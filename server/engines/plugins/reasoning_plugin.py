"""A plugin for vLLM: the reasoning parser `galen`, right with any chat template.

vLLM loads this file by `--reasoning-parser-plugin`; nothing else imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from galen.transcript import THINK_CLOSE, THINK_OPEN, Piece
from server.engines.plugins.reasoning import TemplateReasoning


class GalenReasoningParser(TemplateReasoning, ReasoningParser):
    engine_based_streaming = True
    """Text may be held back, and `finish_streaming` gives out the rest."""
    reasoning_start_str = THINK_OPEN
    reasoning_end_str = THINK_CLOSE

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        ReasoningParser.__init__(self, tokenizer, *args, **kwargs)
        # Only the API server tells a parser which model it serves.
        in_core = "model_config" not in kwargs
        switches = kwargs.get("chat_template_kwargs")
        TemplateReasoning.__init__(self, tokenizer, switches, in_core=in_core)

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        return _message(self.feed(delta_text))

    def finish_streaming(self) -> DeltaMessage | None:
        return _message(self.finish())


def _message(piece: Piece) -> DeltaMessage | None:
    if not piece.reasoning and not piece.answer:
        return None
    return DeltaMessage(reasoning=piece.reasoning or None, content=piece.answer or None)


ReasoningParserManager.register_module("galen", module=GalenReasoningParser)
