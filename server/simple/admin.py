"""What the gateway alone asks for: pauses, other weights, adapters. vLLM's routes and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import Field

from server.simple.errors import BadRequest
from server.simple.protocol import NotEmpty, Wire, parse
from server.simple.routes import EngineOf, Raw

router = APIRouter()


class LoadAdapter(Wire):
    lora_name: NotEmpty
    lora_path: NotEmpty


class UnloadAdapter(Wire):
    lora_name: NotEmpty


class Rpc(Wire):
    method: str
    kwargs: dict[str, str] = Field(default_factory=dict)


class NewVersion(Wire):
    new_version: str


@router.post("/pause")
async def pause(engine: EngineOf, mode: str = "abort") -> dict[str, str]:
    """Answers once nothing is in hand, whatever the mode: the gateway has cut off what it began.
    There is no cache to be cleared."""
    if mode not in ("abort", "wait"):
        raise BadRequest("mode: abort or wait", param="mode")
    await engine.worker.pause()
    return {"status": "paused"}


@router.post("/resume")
async def resume(engine: EngineOf) -> dict[str, str]:
    engine.worker.resume()
    return {"status": "resumed"}


@router.post("/collective_rpc")
async def collective_rpc(engine: EngineOf, raw: Raw) -> dict[str, Any]:
    """`reload_weights` alone."""
    request = parse(Rpc, raw)
    if request.method != "reload_weights" or "weights_path" not in request.kwargs:
        raise BadRequest("method: only reload_weights with a weights_path", param="method")
    folder = Path(request.kwargs["weights_path"])
    await engine.worker.call(lambda model: model.reload(folder))
    return {"results": [None]}


@router.get("/weight_info")
async def weight_info(engine: EngineOf) -> dict[str, str]:
    """Answered between two turns of the model, so an answer says that it takes turns."""
    version = engine.weight_version
    return {"weight_version": await engine.worker.call(lambda model: version)}


@router.post("/update_weight_version")
async def update_weight_version(engine: EngineOf, raw: Raw) -> dict[str, Any]:
    engine.weight_version = parse(NewVersion, raw).new_version
    return {"success": True, "new_version": engine.weight_version}


@router.post("/v1/load_lora_adapter")
async def load_lora_adapter(engine: EngineOf, raw: Raw) -> PlainTextResponse:
    request = parse(LoadAdapter, raw)
    await engine.load_adapter(request.lora_name, Path(request.lora_path))
    return PlainTextResponse(f"Success: LoRA adapter '{request.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter")
async def unload_lora_adapter(engine: EngineOf, raw: Raw) -> PlainTextResponse:
    request = parse(UnloadAdapter, raw)
    await engine.unload_adapter(request.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{request.lora_name}' removed successfully.")
