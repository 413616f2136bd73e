"""The fields of a request, with the names and limits of OpenAI and vLLM."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from galen.errors import GalenError

INT64 = 2**63
HARMLESS = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
"""Fields that do not change the answer."""

Count = Annotated[int, Field(ge=1)]
Int64 = Annotated[int, Field(ge=-INT64, lt=INT64)]
Tokens = Annotated[list[Annotated[int, Field(ge=0, lt=INT64)]], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class BadRequest(GalenError):
    """The request cannot be carried out. 400 as in vLLM; the gateway's own refusals have 422."""

    status, code = 400, "invalid_request"


class GenerationRequest(BaseModel):
    """The fields of both kinds of completion."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    model: str = ""
    n: int = Field(default=1, ge=1, le=128)
    stream: bool = False
    stream_options: dict[str, Any] = {}
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1, lt=INT64)
    seed: Int64 = -1
    """-1 is a random seed."""
    ignore_eos: bool = False
    priority: Int64 = 0
    """Lower goes first."""
    return_token_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        """Null counts as absent. A field that this engine would ignore is refused by name."""
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if value is not None}
        for name in sorted(given.keys() - cls.model_fields.keys() - HARMLESS):
            if given[name]:
                message = f"{name[:100]}: the simple engine does not support it; leave it out"
                raise BadRequest(message, param=name[:100])
        return given


class CompletionRequest(GenerationRequest):
    prompt: Text | Tokens | Annotated[list[Text | Tokens], Field(min_length=1, max_length=1024)]
    max_tokens: Count | None = 16
    logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    """0 gives the log-probability of each token written, and of no other."""
    prompt_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    """The same for the prompt's tokens."""


class ChatRequest(GenerationRequest):
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    chat_template_kwargs: dict[str, Any] = {}
