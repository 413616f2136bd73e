"""What a call costs, by a dated table that is data and not code."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import Field

from galen.settings import Settings, read_yaml, validated

TABLE = Path(__file__).with_name("prices.yaml")
_MILLION = 1_000_000


class ModelPrice(Settings):
    """US dollars per million tokens."""

    cache_hit: float = Field(ge=0)
    cache_miss: float = Field(ge=0)
    output: float = Field(ge=0)


class Prices(Settings):
    as_of: date
    models: dict[str, ModelPrice]

    @classmethod
    def load(cls, path: Path = TABLE) -> Prices:
        return validated(cls, read_yaml(path), str(path))

    def cost_usd(self, model: str, prompt: int, cache_hit: int, completion: int) -> float:
        """Dollars for a call; 0 for a model that the table does not list (a local one, say)."""
        price = self.models.get(model)
        if price is None:
            return 0.0
        miss = max(prompt - cache_hit, 0)
        spent = cache_hit * price.cache_hit + miss * price.cache_miss + completion * price.output
        return spent / _MILLION
