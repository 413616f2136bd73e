"""Rows into train, dev, test, gold and red team, and what of them a test set already holds."""

from trainer.data.split.assign import PARTS, SHARES, Part, assign
from trainer.data.split.contamination import Contamination, Hit
from trainer.data.split.gold import Gold, quality

__all__ = [
    "PARTS",
    "SHARES",
    "Contamination",
    "Gold",
    "Hit",
    "Part",
    "assign",
    "quality",
]
