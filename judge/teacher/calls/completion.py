"""The fields that are read of an endpoint's answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from galen.records import CleanText

Name = Annotated[CleanText, Field(max_length=200)]
Tokens = Annotated[int, Field(ge=0, le=10_000_000)]
"""Bounded: a larger count is a fault that would use up the day's budget or overflow its column."""


class Message(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    finish_reason: str | None = None
    message: Message


class Usage(BaseModel):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_cache_hit_tokens: Tokens = 0


def _if_counted(usage: Any) -> Any:
    return None if isinstance(usage, dict) and None in usage.values() else usage


class Completion(BaseModel):
    """A chat completion in OpenAI's shape."""

    choices: tuple[Choice, ...]
    model: Name = ""
    system_fingerprint: Name | None = None
    usage: Annotated[Usage | None, BeforeValidator(_if_counted)] = None
    """None if the endpoint does not say, or only in part."""

    @property
    def text(self) -> str:
        return (self.choices[0].message.content or "") if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        """None if there is no choice or it has no finish reason."""
        return self.choices[0].finish_reason if self.choices else None
