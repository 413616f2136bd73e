"""From a request to what its sequences are to do, or the reason why they cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from server.simple.conversation import prompt_ids as chat_prompt_ids
from server.simple.conversation import thinks
from server.simple.engine import SimpleEngine
from server.simple.errors import BadRequest
from server.simple.generate import Grammar, Plan
from server.simple.protocol import ChatRequest, CompletionRequest, Generation, NamedTool, Tool
from server.simple.sampling import Sampling
from server.simple.structured import ANY_OBJECT

DEFAULT_MAX_TOKENS = 16
"""Of a completion, as OpenAI has it."""
STRONGEST_BIAS = 100.0


def of_completion(engine: SimpleEngine, request: CompletionRequest) -> list[Plan]:
    """`n` plans for each prompt, in the order of the answer's choices."""
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    prompt_logprobs = request.prompt_logprobs
    if request.echo and prompt_logprobs is None:
        prompt_logprobs = request.logprobs
    plans = []
    for ids in _prompts(engine, request):
        room = _room(engine, len(ids), max_tokens)
        plans += _plans(
            engine, request, ids, room, request.logprobs, prompt_logprobs, thinking=False
        )
    return plans


def of_chat(engine: SimpleEngine, request: ChatRequest) -> list[Plan]:
    """`n` plans for one conversation."""
    ids = chat_prompt_ids(engine, request)
    asked = request.max_completion_tokens or request.max_tokens or engine.options.max_model_len
    max_tokens = _room(engine, len(ids), asked)
    logprobs = (request.top_logprobs or 0) if request.logprobs else None
    prompt_logprobs = request.prompt_logprobs
    thinking = thinks(request)
    return _plans(engine, request, ids, max_tokens, logprobs, prompt_logprobs, thinking=thinking)


def _prompts(engine: SimpleEngine, request: CompletionRequest) -> list[list[int]]:
    asked = request.prompt
    is_one = isinstance(asked, str) or isinstance(asked[0], int)
    several: list[Any] = [asked] if is_one else list(asked)
    special, most = request.add_special_tokens, engine.options.max_model_len
    return [
        engine.tokenizer.encode(prompt, special=special, most=most)
        if isinstance(prompt, str)
        else prompt
        for prompt in several
    ]


def _plans(
    engine: SimpleEngine,
    request: Generation,
    ids: Sequence[int],
    max_tokens: int,
    logprobs: int | None,
    prompt_logprobs: int | None,
    *,
    thinking: bool,
) -> list[Plan]:
    """One plan for each of the `n` answers to a prompt; they differ in their seeds alone."""
    _refuse_unknown(engine, ids, "prompt")
    stop_ids = frozenset(request.stop_token_ids or ())
    _refuse_unknown(engine, stop_ids, "stop_token_ids")
    if request.min_tokens > max_tokens:
        raise BadRequest(f"min_tokens is above max_tokens ({max_tokens})", param="min_tokens")
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    plan = Plan(
        prompt_ids=tuple(ids),
        max_tokens=max_tokens,
        decode=engine.tokenizer.decoder(skip_special=request.skip_special_tokens),
        sampling=_sampling(engine, request),
        adapter=engine.adapter_of(request.model),
        priority=request.priority,
        min_tokens=request.min_tokens,
        end_ids=frozenset() if request.ignore_eos else engine.end_ids,
        stop_ids=stop_ids,
        stops=tuple(stops),
        include_stop=request.include_stop_str_in_output,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        grammar=_grammar(engine, request),
        thinking=thinking,
    )
    return [replace(plan, seed=_seed(request, choice)) for choice in range(request.n or 1)]


def _seed(request: Generation, choice: int) -> int | None:
    """Another for each choice, or the n answers to a prompt would be one answer n times. Within 64
    bits, as the generator takes it; -1 and none stand for chance."""
    if request.seed in (None, -1):
        return None
    return (request.seed + choice + 2**63) % 2**64 - 2**63


def _sampling(engine: SimpleEngine, request: Generation) -> Sampling:
    names = (
        *("temperature", "top_p", "top_k", "min_p"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty"),
    )
    said = {name: value for name in names if (value := getattr(request, name)) is not None}
    allowed = request.allowed_token_ids
    _refuse_unknown(engine, allowed or (), "allowed_token_ids")
    try:
        logit_bias = {int(token): bias for token, bias in (request.logit_bias or {}).items()}
    except ValueError:
        message = "logit_bias: its keys must be token ids"
        raise BadRequest(message, param="logit_bias") from None
    _refuse_unknown(engine, logit_bias, "logit_bias")
    clamped = {
        token: min(STRONGEST_BIAS, max(-STRONGEST_BIAS, bias)) for token, bias in logit_bias.items()
    }
    return Sampling(**said, logit_bias=clamped, allowed=tuple(allowed) if allowed else None)


def _grammar(engine: SimpleEngine, request: Generation) -> Callable[[], Grammar] | None:
    """What binds the answer: the tool that must be called, a format, or nothing."""
    asked = _tool_schema(request) or _format_schema(request)
    if asked is None:
        return None
    schema, field = asked
    return engine.grammars.of_schema(schema, field)


def _tool_schema(request: Generation) -> tuple[dict[str, Any], str] | None:
    if not isinstance(request, ChatRequest) or not request.tools:
        return None
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        tool = next(t for t in request.tools if t.function.name == choice.function.name)
        return _parameters(tool), "tools"
    if choice == "required":
        calls = [_call_schema(tool) for tool in request.tools]
        most = {"maxItems": 1} if request.parallel_tool_calls is False else {}
        return {"type": "array", "minItems": 1, **most, "items": {"anyOf": calls}}, "tools"
    return None


def _parameters(tool: Tool) -> dict[str, Any]:
    return tool.function.parameters or {"type": "object", "properties": {}}


def _call_schema(tool: Tool) -> dict[str, Any]:
    """One call as an object, which is how an answer that must hold calls writes them."""
    return {
        "type": "object",
        "properties": {"name": {"enum": [tool.function.name]}, "parameters": _parameters(tool)},
        "required": ["name", "parameters"],
    }


def _format_schema(request: Generation) -> tuple[dict[str, Any], str] | None:
    asked, outputs = request.response_format, request.structured_outputs
    if asked and asked.type == "json_object":
        return ANY_OBJECT, "response_format"
    if asked and asked.json_schema:
        return asked.json_schema.json_schema or {}, "response_format"
    if outputs and outputs.json_ is not None:
        return outputs.json_, "structured_outputs"
    if outputs and outputs.json_object:
        return ANY_OBJECT, "structured_outputs"
    return None


def _refuse_unknown(engine: SimpleEngine, ids: Any, field: str) -> None:
    for token in ids:
        if not 0 <= token < engine.vocabulary:
            message = f"{field}: token id {token} is out of the vocabulary of {engine.vocabulary}"
            raise BadRequest(message, param=field)


def _room(engine: SimpleEngine, prompt: int, max_tokens: int) -> int:
    """How many of `max_tokens` fit behind the prompt; as in vLLM, too many are cut down, unless
    they could never fit."""
    most = engine.options.max_model_len
    if max_tokens > most:
        message = f"max_tokens={max_tokens} cannot be greater than max_model_len={most}"
        raise BadRequest(message, param="max_tokens")
    if prompt == 0:
        raise BadRequest("prompt: it has no token", param="prompt")
    if prompt + min(max_tokens, 1) > most:
        raise BadRequest(
            f"This model's maximum context length is {most} tokens. However, the prompt has "
            f"{prompt} tokens; shorten it.",
            param="input_tokens",
        )
    return min(max_tokens, most - prompt)
