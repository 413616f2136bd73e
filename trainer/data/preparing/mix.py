"""How many rows each source gives, and which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.recipes.data import SourceShare


def amounts(asked: Sequence[SourceShare], there: Sequence[int]) -> list[int]:
    """Rows to take of each source, of the rows that are `there`.

    By share, the source that runs out first decides about the whole: n = min(there / share).
    """
    if asked[0].share is not None:
        shares = [each.share or 0.0 for each in asked]
        whole = min(count / share for count, share in zip(there, shares, strict=True))
        return [round(whole * share) for share in shares]
    return [min(each.count or count, count) for each, count in zip(asked, there, strict=True)]


def chosen(
    source_N: np.ndarray, hash_N: np.ndarray, asked: Sequence[SourceShare], seed: int
) -> np.ndarray:
    """Which of the N rows are taken, as truth values in their order.

    A row's hash decides, mixed with the seed, so that a row stays in or out whatever its place.
    """
    there = np.bincount(source_N, minlength=len(asked)).tolist()
    order_N = mixed(hash_N, seed)
    taken_N = np.zeros(len(source_N), bool)
    for number, amount in enumerate(amounts(asked, there)):
        rows = np.flatnonzero(source_N == number)
        taken_N[rows[np.argsort(order_N[rows], kind="stable")[:amount]]] = True
    return taken_N


def mixed(hash_N: np.ndarray, seed: int) -> np.ndarray:
    """64-bit hashes mixed with a seed: the finalizer of SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        z = hash_N ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
