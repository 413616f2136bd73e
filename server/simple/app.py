"""The simple engine's routes, with vLLM's paths and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response

from galen.errors import NotFound
from galen.service.web import error_response, install_error_handlers
from galen.telemetry import accept_request_id
from galen.transcript import opening_of
from server.simple.answers import Answer
from server.simple.engine import Engine
from server.simple.protocol import BadRequest, ChatRequest, CompletionRequest, GenerationRequest
from server.simple.sequence import Sequence
from server.simple.tokenizer import Tokenizer

RequestId = Annotated[str | None, Header(alias="X-Request-Id")]


def create_app(engine: Engine, tokenizer: Tokenizer, name: str) -> FastAPI:
    """`name` is what requests call the model."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        working = asyncio.create_task(engine.run())
        yield
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    app = FastAPI(title="Galen simple engine", lifespan=lifespan, strict_content_type=False)
    install_error_handlers(app)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        # Each member of a union reports its own problem. The deepest belongs to the one meant.
        first = max(error.errors(), key=lambda problem: len(problem["loc"]))
        field = str(first["loc"][1]) if len(first["loc"]) > 1 else "body"
        return error_response(BadRequest(f"{field}: {first['msg']}", param=field))

    app.include_router(_generation(engine, tokenizer, name))
    app.include_router(_control(engine))
    return app


def _generation(engine: Engine, tokenizer: Tokenizer, name: str) -> APIRouter:
    """The model, completions and chats."""
    router = APIRouter()

    def sequences(request: GenerationRequest, prompts: list[list[int]]) -> list[Sequence]:
        if request.model not in ("", name):
            raise NotFound(f"The model {request.model[:100]!r} does not exist.", param="model")
        every = enumerate(ids for ids in prompts for _ in range(request.n))
        return [Sequence(request, ids, tokenizer, index) for index, ids in every]

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        card = {"id": name, "object": "model", "owned_by": "galen"}
        return {"object": "list", "data": [{**card, "max_model_len": tokenizer.most}]}

    @router.post("/v1/completions")
    async def completions(request: CompletionRequest, id: RequestId = None) -> Response:
        is_one = isinstance(request.prompt, str) or isinstance(request.prompt[0], int)
        prompts: list[Any] = [request.prompt] if is_one else list(request.prompt)
        asked = sequences(request, [tokenizer.prompt_ids(prompt) for prompt in prompts])
        return Answer(engine, name, asked, accept_request_id(id))

    @router.post("/v1/chat/completions")
    async def chat_completions(request: ChatRequest, id: RequestId = None) -> Response:
        text = tokenizer.render(request)
        asked = sequences(request, [tokenizer.prompt_ids(text, special=False)])
        return Answer(engine, name, asked, accept_request_id(id), opening_of(text))

    @router.post("/v1/{route:path}")
    @router.post("/{route:path}kenize")
    async def not_supported(route: str) -> None:
        raise HTTPException(501, "the simple engine does not support this route; use vLLM")

    return router


def _control(engine: Engine) -> APIRouter:
    """What the gateway asks of an engine: whether it lives, what it counts, other weights."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:
        return Response()

    @router.get("/weight_info")
    async def weight_info() -> dict[str, str]:
        """The model's thread answers, so an answer shows that it works."""
        return await engine.call(lambda: {"weight_version": "default"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        return "".join(f"{name} {value}\n" for name, value in engine.metrics().items())

    @router.post("/pause")
    async def pause(mode: Literal["abort"] = "abort") -> dict[str, str]:
        """Ends all sequences, waiting ones too. There is no prefix cache to clear."""
        await engine.pause()
        return {"status": "paused"}

    @router.post("/resume")
    async def resume() -> dict[str, str]:
        engine.resume()
        return {"status": "resumed"}

    @router.post("/collective_rpc")
    async def collective_rpc(
        method: Annotated[Literal["reload_weights"], Body()],
        kwargs: Annotated[dict[Literal["weights_path"], Path], Body(min_length=1)],
    ) -> dict[str, Any]:
        await engine.call(engine.model.reload, kwargs["weights_path"])
        return {"results": [None]}

    return router
