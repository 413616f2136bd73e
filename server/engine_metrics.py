"""The engines' own metrics, with a label that tells the engines apart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from server.policy.replica import Replica

_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? ", re.MULTILINE)
_OWN = re.compile(r'\b(?:engine|model_name)="(?:[^"\\]|\\.)*",?')
"""vLLM's number of the engine, which is the same for all, and its internal name for the weights,
which is new at each start."""


async def engine_metrics(replicas: Sequence[Replica]) -> str:
    """Prometheus' text format. An engine that does not answer is left out."""
    texts = await asyncio.gather(*(replica.api.metrics() for replica in replicas))
    first, *others = [
        labelled(text, each.label) for text, each in zip(texts, replicas, strict=True)
    ]
    # A family may be described once only.
    return "".join([first, *(re.sub(r"(?m)^#.*\n", "", text) for text in others)])


def labelled(text: str, engine: str) -> str:
    """The samples of an engine's text under its label."""

    def with_label(found: re.Match[str]) -> str:
        own = _OWN.sub("", found[2] or "").rstrip(",")
        return f'{found[1]}{{engine="{engine}"{"," if own else ""}{own}}} '

    return _SAMPLE.sub(with_label, text)
