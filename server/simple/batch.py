"""Continuous batching: sequences join and leave between steps and share one forward pass.

Shapes: B sequences, T tokens, V the vocabulary.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from galen.errors import GalenError
from server.simple.model import Model
from server.simple.sequence import Piece, Sequence

PROMPT_TOKENS = 256
"""Prompt tokens read in one step, so that a long prompt does not delay the others."""

Output = tuple[Sequence, Piece | GalenError]


class Batch:
    """The sequences share one cache, padded on the left."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows: list[Sequence] = []
        self._cache = DynamicCache()

    def step(self, running: list[Sequence]) -> list[Output]:
        """Write a token of each sequence whose prompt is read, then read more of the prompts.

        Sequences that are not in `running` any more leave the batch.
        """
        self._keep([row for row in self._rows if row in running])
        outputs = self._write() if self._rows else []
        left, begun = PROMPT_TOKENS, []
        for sequence in running:
            if left > 0 and sequence.unread:
                left -= len(sequence.unread)
                if (output := self._read(sequence)) is not None:
                    outputs.append((sequence, output))
                    begun.append(sequence)
        self._join([sequence for sequence in begun if not sequence.is_over])
        return outputs

    def _read(self, sequence: Sequence) -> Piece | GalenError | None:
        """Read some of a prompt, and write the first token once all is read."""
        ids, sequence.unread = sequence.unread[:PROMPT_TOKENS], sequence.unread[PROMPT_TOKENS:]
        keep = 1 if sequence.prompt_logprobs is None else 0
        logits_TV = self._model.logits([ids], sequence.cache, (), keep=keep)[0]
        if sequence.prompt_logprobs is not None:
            following = torch.tensor([*ids[1:], *sequence.unread[:1]])
            logprobs_TV = logits_TV[: len(following)].log_softmax(-1)
            sequence.prompt_logprobs += logprobs_TV.gather(-1, following[:, None])[:, 0].tolist()
        return None if sequence.unread else sequence.write(logits_TV[-1])

    def _write(self) -> list[Output]:
        width = self._cache.get_seq_length()
        padding = [width + 1 - row.length for row in self._rows]
        ids_B1 = [row.token_ids[-1:] for row in self._rows]
        logits_BV = self._model.logits(ids_B1, self._cache, padding)[:, -1]
        rows = zip(self._rows, logits_BV, strict=True)
        return [(row, row.write(logits_V)) for row, logits_V in rows]

    def _join(self, begun: list[Sequence]) -> None:
        """Add sequences whose prompts are read."""
        caches = [self._cache] * bool(self._rows) + [sequence.cache for sequence in begun]
        width = max((cache.get_seq_length() for cache in caches), default=0)
        for layer, *others in zip(*(cache.layers for cache in caches), strict=True):
            for name in ("keys", "values"):
                parts = [getattr(one, name) for one in (layer, *others)]
                padded = [pad(part, (0, 0, width - part.shape[-2], 0)) for part in parts]
                setattr(layer, name, torch.cat(padded))
        self._rows, self._cache = self._rows + begun, (caches or [self._cache])[0]

    def _keep(self, kept: list[Sequence]) -> None:
        """Drop the other sequences, and the padding that only they needed."""
        if len(kept) < len(self._rows):
            places = [place for place, row in enumerate(self._rows) if row in kept]
            longest = max((row.length - 1 for row in kept), default=0)
            unused = self._cache.get_seq_length() - longest
            for layer in self._cache.layers:
                layer.keys = layer.keys[places, :, unused:]
                layer.values = layer.values[places, :, unused:]
            self._rows = kept
