"""The parity probe: does the engine compute what the publisher computed?

The publisher writes the log-probabilities of fixed token ids into the version's manifest. After a
load the engine computes them too. If they differ too much, the engine serves other weights than
were published. Differences are mean absolute ones, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from galen.errors import UpstreamFailed, VersionRefused
from server.engines.api import EngineApi
from server.schemas import Probe

NO_CHANGE = 1e-6
"""Nats. An adapter nearer than this to the base changes no module of the model."""

MOST_SEQUENCES = 64
"""Most sequences of a probe; no request is answered while it is computed."""

Logprobs = Sequence[Sequence[float]]


def check_shape(probe: Probe, name: str) -> None:
    """Refuse a probe whose numbers do not fit its tokens, or that would take for ever."""
    if len(probe.token_ids) > MOST_SEQUENCES:
        raise VersionRefused(f"{name}: its probe has more than {MOST_SEQUENCES} sequences")
    lengths = [len(ids) - 1 for ids in probe.token_ids]
    if lengths != [len(row) for row in probe.token_logprobs] or min(lengths) < 1:
        raise VersionRefused(
            f"{name}: each probe sequence needs two tokens or more, and one log-probability for "
            "each token after the first"
        )


def mean_difference(one: Logprobs, other: Logprobs) -> float:
    """Mean over all tokens of |one - other|; NaN if either holds a NaN."""
    gaps = [
        abs(a - b)
        for row, other_row in zip(one, other, strict=True)
        for a, b in zip(row, other_row, strict=True)
    ]
    return sum(gaps) / len(gaps)


async def measure(api: EngineApi, model: str, probe: Probe, name: str) -> Logprobs:
    """The engine's own log-probabilities; a probe that it cannot compute is a refusal."""
    try:
        return await api.token_logprobs(model, probe.token_ids)
    except UpstreamFailed as error:
        raise VersionRefused(f"{name}: the parity probe failed: {error.message}") from error


def judge(name: str, engine: Logprobs, publisher: Logprobs, limit: float) -> float:
    """The difference if it is within `limit`, else `VersionRefused` with the number."""
    difference = mean_difference(engine, publisher)
    # This form refuses NaN too.
    if not difference <= limit:
        shown = "not a number" if math.isnan(difference) else f"{difference:.4f} nat"
        raise VersionRefused(
            f"{name}: engine and publisher differ by {shown} on average (limit {limit} nat); "
            "the engine would serve other weights than were published"
        )
    return difference


def refuse_no_change(name: str, adapter: Logprobs, base: Logprobs) -> None:
    """Refuse an adapter whose log-probabilities are the base's."""
    if mean_difference(adapter, base) < NO_CHANGE:
        raise VersionRefused(
            f"{name}: the adapter changes nothing; its tensors reach no module of the base model, "
            "or it was never trained"
        )
