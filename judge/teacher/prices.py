"""What a call costs, by the dated table `prices.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from galen.settings import Settings, read_yaml, validated

TABLE = Path(__file__).with_name("prices.yaml")
_MILLION = 1_000_000
CHARACTERS_A_TOKEN = 1.6
"""For Chinese text and Qwen3's tokenizer."""
_OVERHEAD_TOKENS = 32
"""For the messages' roles and separators."""

Hour = Annotated[int, Field(ge=0, le=24)]


def _in_order(hours: tuple[int, int]) -> tuple[int, int]:
    if hours[0] >= hours[1]:
        raise ValueError("must be [from, to] with from < to; write two for a span over midnight")
    return hours


class Peak(Settings):
    """Hours at which a call costs more."""

    factor: float = Field(ge=1)
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...]
    """0 is Monday."""
    hours: tuple[Annotated[tuple[Hour, Hour], AfterValidator(_in_order)], ...]
    """Spans [from, to) in UTC."""

    def holds(self, at: datetime) -> bool:
        at = at.astimezone(UTC)
        return at.weekday() in self.days and any(low <= at.hour < high for low, high in self.hours)


class ModelPrice(Settings):
    """US dollars per million tokens, off-peak."""

    cache_hit: float = Field(ge=0)
    cache_miss: float = Field(ge=0)
    output: float = Field(ge=0)
    peak: Peak | None = None

    def factor(self, *moments: datetime) -> float:
        """The highest factor at any of `moments`."""
        held = self.peak is not None and any(self.peak.holds(at) for at in moments)
        return self.peak.factor if self.peak and held else 1.0


class Prices(Settings):
    """A model that is not in the table costs 0."""

    as_of: date
    models: dict[str, ModelPrice]

    @classmethod
    def load(cls, path: Path = TABLE) -> Prices:
        return validated(cls, read_yaml(path), str(path))

    def priced(self, model: str, price: ModelPrice | None) -> Prices:
        """The table with an operator's own price for a model."""
        if price is None:
            return self
        return self.model_copy(update={"models": {**self.models, model: price}})

    def cost_usd(
        self, model: str, prompt: int, cache_hit: int, completion: int, *moments: datetime
    ) -> float:
        """US dollars for a call that was in flight at `moments`. If any of them is in peak hours
        the whole call is; without any it is off-peak."""
        price = self.models.get(model)
        if price is None:
            return 0.0
        miss = max(prompt - cache_hit, 0)
        spent = cache_hit * price.cache_hit + miss * price.cache_miss + completion * price.output
        return spent * price.factor(*moments) / _MILLION

    def most_usd(
        self, model: str, texts: Iterable[str], max_tokens: int, *moments: datetime
    ) -> float:
        """The most that a call with these texts can cost, in US dollars.

        It assumes no cache hits and one token a byte, which is the most that a byte-level
        tokenizer produces.
        """
        tokens = _OVERHEAD_TOKENS + sum(len(text.encode("utf-8")) for text in texts)
        return self.cost_usd(model, tokens, 0, max_tokens, *moments)
