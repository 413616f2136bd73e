"""What is read of an endpoint's answer; the rest of it is none of our business."""

from __future__ import annotations

from pydantic import BaseModel


class Message(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    finish_reason: str | None = None
    message: Message


class Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_cache_hit_tokens: int = 0


class Completion(BaseModel):
    """A chat completion in OpenAI's shape."""

    choices: tuple[Choice, ...]
    model: str = ""
    system_fingerprint: str | None = None
    usage: Usage | None = None
