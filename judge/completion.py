"""The fields that are read of an endpoint's answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator, model_validator

from galen.records import CleanText

Name = Annotated[CleanText, Field(max_length=200)]
Tokens = Annotated[int, Field(ge=0, le=10_000_000)]
"""Bounded: a larger count is a fault that would use up the day's budget or overflow its column."""


class Message(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    finish_reason: str | None = None
    message: Message


class Cached(BaseModel):
    cached_tokens: Tokens | None = None


class Usage(BaseModel):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_cache_hit_tokens: Tokens = 0
    """DeepSeek's field; OpenAI's `prompt_tokens_details` is read in its place."""

    @model_validator(mode="before")
    @classmethod
    def _read_other_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = {name: value for name, value in given.items() if value is not None}
        details = Cached.model_validate(fields.get("prompt_tokens_details") or {})
        if details.cached_tokens is not None:
            fields.setdefault("prompt_cache_hit_tokens", details.cached_tokens)
        return fields


class Completion(BaseModel):
    """A chat completion in OpenAI's shape."""

    choices: tuple[Choice, ...]
    model: Name = ""
    system_fingerprint: Name | None = None
    usage: Usage | None = None

    @field_validator("usage", mode="before")
    @classmethod
    def _unknown_if_null(cls, given: Any) -> Any:
        """A usage without counts is unknown, not 0: the call's reservation then stays."""
        counts = ("prompt_tokens", "completion_tokens")
        known = isinstance(given, dict) and all(given.get(name) is not None for name in counts)
        return given if known or not isinstance(given, dict) else None

    @property
    def text(self) -> str:
        return (self.choices[0].message.content or "") if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        """None if there is no choice or it has no finish reason."""
        return self.choices[0].finish_reason if self.choices else None
