"""What the engine answers to everybody: completions, chat, tokens, models, health, metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from galen.errors import Unavailable
from galen.telemetry import REQUEST_ID_HEADER, accept_request_id, request_id
from server.simple import conversation, plans
from server.simple.chat import Chat
from server.simple.completions import Completion
from server.simple.engine import SimpleEngine
from server.simple.errors import BadRequest
from server.simple.messages import CountRequest, Messages, as_chat
from server.simple.protocol import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeChat,
    TokenizeKind,
    TokenizeText,
    parse,
)
from server.simple.responses import Responses
from server.simple.watched import stream, whole

router = APIRouter()


async def engine_of(request: Request) -> SimpleEngine:
    engine: SimpleEngine = request.app.state.engine
    return engine


async def raw_body(request: Request) -> bytes:
    """The body; on the way the gateway's id of the request is taken on."""
    request_id.set(accept_request_id(request.headers.get(REQUEST_ID_HEADER)))
    return await request.body()


EngineOf = Annotated[SimpleEngine, Depends(engine_of)]
Raw = Annotated[bytes, Depends(raw_body)]


@router.post("/v1/completions")
async def completions(engine: EngineOf, raw: Raw) -> Response:
    request = parse(CompletionRequest, raw)
    answer = Completion(engine, request, plans.of_completion(engine, request))
    return stream(answer.stream) if request.stream else whole(answer.whole)


@router.post("/v1/chat/completions")
async def chat(engine: EngineOf, raw: Raw) -> Response:
    request = parse(ChatRequest, raw)
    answer = Chat(engine, request, plans.of_chat(engine, request))
    return stream(answer.stream) if request.stream else whole(answer.whole)


@router.post("/v1/messages")
async def messages(engine: EngineOf, raw: Raw) -> Response:
    answer = Messages(engine, raw)
    return stream(answer.stream) if answer.request.stream else whole(answer.whole)


@router.post("/v1/messages/count_tokens")
async def count_tokens(engine: EngineOf, raw: Raw) -> dict[str, int]:
    request = parse(CountRequest, raw)
    engine.adapter_of(request.model)
    return {"input_tokens": len(conversation.prompt_ids(engine, as_chat(request)))}


@router.post("/v1/responses")
async def responses(engine: EngineOf, raw: Raw) -> Response:
    answer = Responses(engine, raw)
    return stream(answer.stream) if answer.request.stream else whole(answer.whole)


@router.post("/tokenize")
async def tokenize(engine: EngineOf, raw: Raw) -> dict[str, Any]:
    request: TokenizeChat | TokenizeText
    if parse(TokenizeKind, raw).messages is not None:
        request = parse(TokenizeChat, raw)
        engine.adapter_of(request.model)
        ids = conversation.prompt_ids(engine, request)
    else:
        request = parse(TokenizeText, raw)
        engine.adapter_of(request.model)
        ids = engine.tokenizer.encode(request.prompt, special=request.add_special_tokens)
    names = engine.tokenizer.token_names(ids) if request.return_token_strs else None
    most = engine.options.max_model_len
    return {"count": len(ids), "max_model_len": most, "tokens": ids, "token_strs": names}


@router.post("/detokenize")
async def detokenize(engine: EngineOf, raw: Raw) -> dict[str, str]:
    request = parse(DetokenizeRequest, raw)
    engine.adapter_of(request.model)
    if strangers := [token for token in request.tokens if token >= engine.vocabulary]:
        message = f"tokens: token id {strangers[0]} is out of the vocabulary"
        raise BadRequest(message, param="tokens")
    return {"prompt": engine.tokenizer.decoder(skip_special=False)(request.tokens)}


@router.get("/v1/models")
async def models(engine: EngineOf) -> dict[str, Any]:
    most = engine.options.max_model_len
    cards = [
        {"id": name, "object": "model", "created": 0, "owned_by": "galen", "max_model_len": most}
        for name in engine.names()
    ]
    return {"object": "list", "data": cards}


@router.get("/health")
async def health(engine: EngineOf) -> Response:
    if not engine.worker.is_alive:
        raise Unavailable("the model's thread has ended")
    return Response()


@router.get("/metrics")
async def metrics(engine: EngineOf) -> PlainTextResponse:
    return PlainTextResponse(engine.metrics.text())
