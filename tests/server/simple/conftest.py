"""A tiny real Qwen3, and the simple engine that serves it over HTTP in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from server.simple.app import create_app
from server.simple.engine import SimpleEngine, load
from server.simple.options import Options
from trainer import demo_model
from trainer.recipes import DemoModel

TEXTS = ["患者咳嗽发热三天，建议尽快就医检查。", "头痛的原因很多，需要医生面诊。"] * 20
NAME = "engine-1"
MAX_MODEL_LEN = 1024


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh model of two layers."""
    folder = tmp_path_factory.mktemp("base")
    demo_model.build(DemoModel(vocabulary=400, layers=2), TEXTS, folder, seed=0)
    return folder


@contextlib.asynccontextmanager
async def serving(engine: SimpleEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The engine over a real socket, so that a client can hang up."""
    app = create_app(engine, lambda: None)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
                yield http
        finally:
            server.should_exit = True
            await running


@pytest.fixture
def engine(base: Path) -> SimpleEngine:
    """An engine for adapters that is not running yet."""
    return load(Options(base, NAME, "float32", MAX_MODEL_LEN, max_lora_rank=8, max_loras=2))


@pytest.fixture
async def http(engine: SimpleEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine) as client:
        yield client
