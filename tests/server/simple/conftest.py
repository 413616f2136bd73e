"""A tiny real Qwen3, and the simple engine that serves it over HTTP in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from server.simple.app import create_app
from server.simple.engine import Engine
from server.simple.model import Model
from server.simple.tokenizer import Tokenizer
from trainer import demo_model
from trainer.recipes import DemoModel

TEXTS = ["患者咳嗽发热三天，建议尽快就医检查。", "头痛的原因很多，需要医生面诊。"] * 20
NAME = "engine-1"
MAX_MODEL_LEN = 1024
IDS = [1, 20, 33, 54, 76]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh model of two layers."""
    folder = tmp_path_factory.mktemp("base")
    demo_model.build(DemoModel(vocabulary=400, layers=2), TEXTS, folder, seed=0)
    return folder


@pytest.fixture
def model(base: Path) -> Model:
    return Model(base, "float32", MAX_MODEL_LEN)


@pytest.fixture
def tokenizer(base: Path, model: Model) -> Tokenizer:
    return Tokenizer(base, model)


@pytest.fixture
async def http(model: Model, tokenizer: Tokenizer) -> AsyncIterator[httpx.AsyncClient]:
    """Over a real socket, so that a client can hang up."""
    app = create_app(Engine(model, 8), tokenizer, NAME)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield client
        server.should_exit = True
        await running
