"""How strong models are by people's votes: Bradley and Terry's model.

Shapes: V votes, M models, R resamples.

Source: Bradley and Terry, Rank Analysis of Incomplete Block Designs (1952). With strengths s, the
chance that i is preferred to j is 1 / (1 + exp(s_j − s_i)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import choix
import numpy as np

from galen.errors import InvalidInput
from judge.audit_schemas import Vote

RESAMPLES = 400
PRIOR = 0.01
"""Of choix's regularisation: keeps the strength of a model finite that never lost."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model's strength, a natural logarithm; the mean over all models is 0.

    `low` and `high` bound the 95 % interval of a bootstrap over votes.
    """

    model: str
    strength: float
    low: float
    high: float
    won: int
    tied: int
    lost: int


def standings(votes: Sequence[Vote], seed: int = 17) -> list[Standing]:
    """All models, strongest first. A tie is half a win for either, "both bad" too.

    Raises `InvalidInput` where votes do not connect all models, so that nothing compares them.
    """
    cast = [vote for vote in votes if vote.model_a != vote.model_b]
    models = sorted({name for vote in cast for name in (vote.model_a, vote.model_b)})
    if not models:
        raise InvalidInput("no vote is between two models; vote on the web page first")
    _refuse_unconnected(cast, models)
    place = {name: index for index, name in enumerate(models)}
    outcomes_VMM = np.stack([_outcome(vote, place) for vote in cast])
    rng = np.random.default_rng(seed)
    picks_RV = rng.integers(0, len(cast), (RESAMPLES, len(cast)))
    drawn_RM = np.array([_strengths(outcomes_VMM[picks].sum(axis=0)) for picks in picks_RV])
    low, high = np.percentile(drawn_RM, [2.5, 97.5], axis=0)
    strengths = _strengths(outcomes_VMM.sum(axis=0))
    tally = _tally(cast)
    found = [
        Standing(
            name,
            float(strengths[i]),
            float(low[i]),
            float(high[i]),
            *(tally[name, k] for k in "wtl"),
        )
        for name, i in place.items()
    ]
    return sorted(found, key=lambda each: -each.strength)


def _outcome(vote: Vote, place: dict[str, int]) -> np.ndarray:
    """One vote as wins of the row's model over the column's."""
    wins_MM = np.zeros((len(place), len(place)))
    a, b = place[vote.model_a], place[vote.model_b]
    share = {"a": 1.0, "b": 0.0}.get(vote.vote, 0.5)
    wins_MM[a, b], wins_MM[b, a] = share, 1.0 - share
    return wins_MM


def _strengths(wins_MM: np.ndarray) -> np.ndarray:
    found: np.ndarray = choix.ilsr_pairwise_dense(wins_MM, alpha=PRIOR)
    centred: np.ndarray = found - found.mean()
    return centred


def _tally(votes: Sequence[Vote]) -> Counter[tuple[str, str]]:
    """Votes won, tied and lost by each model."""
    tally: Counter[tuple[str, str]] = Counter()
    for vote in votes:
        first, second = {"a": ("w", "l"), "b": ("l", "w")}.get(vote.vote, ("t", "t"))
        tally[vote.model_a, first] += 1
        tally[vote.model_b, second] += 1
    return tally


def _refuse_unconnected(votes: Sequence[Vote], models: Sequence[str]) -> None:
    group = {models[0]}
    while True:
        pairs = [{vote.model_a, vote.model_b} for vote in votes]
        grown = group.union(*(pair for pair in pairs if pair & group))
        if grown == group:
            break
        group = grown
    if apart := sorted(set(models) - group):
        raise InvalidInput(
            f"no vote compares {', '.join(sorted(group))} with {', '.join(apart)}; vote on answers "
            "of models from both groups"
        )
