"""The simple engine's routes, with vLLM's paths and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response

from galen.errors import Unavailable
from galen.telemetry import accept_request_id
from galen.transcript import opening_of
from galen.web import error_response, install_error_handlers
from server.simple.answers import Answer
from server.simple.engine import Engine
from server.simple.protocol import BadRequest, ChatRequest, CompletionRequest, NotSupported
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

    @app.post("/v1/completions")
    async def completions(request: CompletionRequest, id: RequestId = None) -> Response:
        is_one = isinstance(request.prompt, str) or isinstance(request.prompt[0], int)
        prompts: list[Any] = [request.prompt] if is_one else list(request.prompt)
        ids = [tokenizer.prompt_ids(prompt) for prompt in prompts for _ in range(request.n)]
        top = request.logprobs
        sequences = [Sequence(request, each, tokenizer, top, i) for i, each in enumerate(ids)]
        return Answer(engine, tokenizer, name, sequences, accept_request_id(id))

    @app.post("/v1/chat/completions")
    async def chat_completions(request: ChatRequest, id: RequestId = None) -> Response:
        text = tokenizer.render(request)
        ids = tokenizer.prompt_ids(text, special=False)
        top = request.top_logprobs if request.logprobs else None
        sequences = [Sequence(request, ids, tokenizer, top, i) for i in range(request.n)]
        id, opening = accept_request_id(id), opening_of(text)
        return Answer(engine, tokenizer, name, sequences, id, opening)

    @app.post("/v1/{route:path}")
    @app.post("/{route:path}kenize")
    async def not_supported(route: str) -> None:
        raise NotSupported("the simple engine does not support this route; use vLLM")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        card = {"id": name, "object": "model", "owned_by": "galen"}
        return {"object": "list", "data": [{**card, "max_model_len": tokenizer.most}]}

    @app.get("/health")
    async def health() -> Response:
        if engine.is_over:
            raise Unavailable("the engine has ended")
        return Response()

    @app.get("/weight_info")
    async def weight_info() -> dict[str, str]:
        """The model's thread answers, so an answer shows that it works."""
        return await engine.call(lambda: {"weight_version": "default"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        return "".join(f"{name} {value}\n" for name, value in engine.metrics().items())

    @app.post("/pause")
    async def pause(mode: str = "abort") -> dict[str, str]:
        """Ends all sequences, waiting ones too. There is no prefix cache to clear."""
        if mode != "abort":
            raise BadRequest("mode: the simple engine can only abort", param="mode")
        await engine.pause()
        return {"status": "paused"}

    @app.post("/resume")
    async def resume() -> dict[str, str]:
        engine.resume()
        return {"status": "resumed"}

    @app.post("/collective_rpc")
    async def collective_rpc(
        method: Annotated[str, Body()], kwargs: Annotated[dict[str, str], Body()]
    ) -> dict[str, Any]:
        """Only `reload_weights`."""
        if method != "reload_weights" or "weights_path" not in kwargs:
            raise BadRequest("method: only reload_weights with a weights_path", param="method")
        await engine.call(engine.model.reload, Path(kwargs["weights_path"]))
        return {"results": [None]}

    return app
