"""What the engine takes, with the names and limits of OpenAI and vLLM. Unknown fields are ignored,
as vLLM does; known ones that this engine cannot honour are refused rather than ignored."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.simple.errors import BadRequest

INT64 = 2**63
MOST_LOGPROBS = 20
MOST_CHOICES = 128
MOST_PROMPTS = 1024
MOST_STOPS = 4

TokenId = Annotated[int, Field(ge=0, lt=INT64)]
NotEmpty = Annotated[str, Field(min_length=1)]
Stops = NotEmpty | Annotated[list[NotEmpty], Field(max_length=MOST_STOPS)]
M = TypeVar("M", bound="Wire")


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class StreamOptions(Wire):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class JsonSchema(Wire):
    name: str
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and (
            self.json_schema is None or self.json_schema.json_schema is None
        ):
            message = "response_format: json_schema needs json_schema.schema"
            raise BadRequest(message, param="response_format")
        return self


class StructuredOutputs(Wire):
    """Of vLLM's ways to bind an answer the two that this engine has. White space it never writes
    between JSON's parts, and what a schema says of more properties it keeps to."""

    binding: ClassVar = {"json", "json_object"}
    known: ClassVar = {*binding, "disable_any_whitespace", "disable_additional_properties"}

    json_: dict[str, Any] | None = Field(default=None, alias="json")
    json_object: Literal[True] | None = None
    disable_any_whitespace: bool | None = None
    disable_additional_properties: Literal[False] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_one_that_works(cls, data: Any) -> Any:
        """Before the fields are read, since one that is not known, or is empty, is refused too."""
        if isinstance(data, dict):
            said = {name for name, value in data.items() if value is not None}
            if said - cls.known or len(said & cls.binding) != 1:
                message = "structured_outputs: the simple engine takes json or json_object alone"
                raise BadRequest(message, param="structured_outputs")
        return data


class Generation(Wire):
    """What every request for an answer may say."""

    refused: ClassVar[tuple[str, ...]] = (
        *("use_beam_search", "thinking_token_budget", "repetition_detection", "bad_words"),
        *("truncate_prompt_tokens", "logprob_token_ids", "prompt_embeds", "suffix"),
    )

    model: str | None = None
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0)
    logit_bias: dict[str, float] | None = None
    allowed_token_ids: Annotated[list[TokenId], Field(min_length=1)] | None = None
    seed: int | None = Field(default=None, ge=-INT64, lt=INT64)
    stop: Stops | None = None
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = Field(default=0, ge=0)
    skip_special_tokens: bool = True
    prompt_logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    priority: int = Field(default=0, ge=-INT64, lt=INT64)
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_would_be_ignored(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in cls.refused:
                if data.get(name):
                    message = f"{name} is not supported by the simple engine"
                    raise BadRequest(message, param=name)
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options and not self.stream:
            raise BadRequest("stream_options needs stream", param="stream_options")
        if self.stream and self.prompt_logprobs:
            message = "prompt_logprobs are not available in a stream"
            raise BadRequest(message, param="prompt_logprobs")
        return self


class CompletionRequest(Generation):
    prompt: (
        str
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[NotEmpty], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Annotated[
            list[Annotated[list[TokenId], Field(min_length=1)]],
            Field(min_length=1, max_length=MOST_PROMPTS),
        ]
    )
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    max_tokens: int | None = None
    add_special_tokens: bool = True

    @model_validator(mode="after")
    def _writes_something(self) -> Self:
        if self.prompt == "":
            raise BadRequest("prompt must not be empty", param="prompt")
        if self.max_tokens is not None and self.max_tokens < (0 if self.echo else 1):
            message = f"max_tokens must be at least 1, got {self.max_tokens}"
            raise BadRequest(message, param="max_tokens")
        return self


class FunctionDefinition(Wire):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Wire):
    type: Literal["function"] = "function"
    function: FunctionDefinition

    def body(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class NamedFunction(Wire):
    name: NotEmpty


class NamedTool(Wire):
    type: Literal["function"] = "function"
    function: NamedFunction


class Conversation(Wire):
    """What a chat template is given."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tools: Annotated[list[Tool], Field(min_length=1)] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: None = None
    """A request may not bring a template of its own."""
    chat_template_kwargs: dict[str, Any] | None = None


class ChatRequest(Generation, Conversation):
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    include_reasoning: bool = True

    @model_validator(mode="after")
    def _asks_for_what_it_names(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise BadRequest("top_logprobs needs logprobs", param="top_logprobs")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise BadRequest("tool_choice needs tools", param="tool_choice")
        if isinstance(self.tool_choice, NamedTool):
            name = self.tool_choice.function.name
            if name not in {tool.function.name for tool in self.tools or ()}:
                raise BadRequest("tool_choice names none of the tools", param="tool_choice")
        return self


class TokenizeKind(Wire):
    """Tells a conversation that is to be tokenized from a text."""

    messages: Any = None


class TokenizeText(Wire):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = None


class TokenizeChat(Conversation):
    model: str | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(Wire):
    model: str | None = None
    tokens: list[TokenId]


def parse(kind: type[M], raw: bytes) -> M:
    """A body as a request; `BadRequest` names the field, and never shows its value."""
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        # Each member of a union has its own problem; the one that got furthest was meant.
        first = max(problems, key=lambda problem: len(problem["loc"]))
        field = str(first["loc"][0]) if first["loc"] else None
        message = f"{field}: {first['msg']}" if field else str(first["msg"])
        raise BadRequest(message, param=field) from None
