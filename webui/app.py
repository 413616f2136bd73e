"""The web page as an ASGI application, and the process that serves it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from galen.errors import Unauthorized
from galen.keys import KeyRing, refuse_open_bind
from galen.service.serving import listen, uvicorn_config
from galen.telemetry import configure_logging
from judge.client import JudgeClient
from server.client import PolicyClient
from webui.assistant import Assistant
from webui.chat import ChatPage
from webui.door import Door
from webui.duel import DuelPage
from webui.frame import STYLE_SHEET, TITLE, heading, theme
from webui.settings import KEY_VARIABLE, WebuiSettings

_SWITCH_LIMIT_S = 300.0
"""Seconds that one call to the policy server may take; loading a version is the longest."""
_BODY_LIMIT = 1024 * 1024
"""Bytes of one request; a conversation is sent whole with each question."""
_LOOK_S = 0.02
"""Seconds between two looks for a visitor's request. Gradio's own 1 ms costs an idle page 6 % of a
core, which the training beside it needs."""
_LEAVE_LIMIT_S = 2
"""Seconds that open connections get to end when the process stops."""


def create_app(
    settings: WebuiSettings, *, key: str | None = None, visitors: KeyRing | None = None
) -> FastAPI:
    """The page. `key` is sent to both services; `visitors`, if any, may open the page."""
    policy = PolicyClient(settings.server_url, key=key, deadline_s=_SWITCH_LIMIT_S)
    judge = JudgeClient(settings.judge_url, key=key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with policy, judge:
            yield

    app = FastAPI(title=TITLE, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.add_api_route("/healthz", healthz)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=_BODY_LIMIT)
    app.add_middleware(Door, has_keys=bool(visitors), origins=settings.origins)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(heading(settings.rehearsal), elem_id="galen-heading")
        assistant = Assistant(settings, policy, judge)
        with gr.Tab("对话 Chat"):
            ChatPage(assistant, _may_switch(visitors)).wire(blocks)
        with gr.Tab("对比 Side by side", elem_id="galen-duel-tab") as tab:
            DuelPage(assistant).wire(tab)
    blocks._queue.sleep_when_free = _LOOK_S
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        auth=_may_enter(visitors) if visitors else None,
        auth_message="请输入名字和密钥 Enter your name and key",
        theme=theme(),
        css_paths=[STYLE_SHEET],
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
    )
    return app


def serve(settings: WebuiSettings) -> None:
    """Serve the page until a signal stops it.

    Raises `Conflict` if the port is taken, `InvalidInput` for an address that this machine lacks
    or that may not be opened without keys.
    """
    visitors = KeyRing.load(settings.keys_file)
    refuse_open_bind(settings.host, visitors)
    configure_logging("webui")
    with listen(settings.host, settings.port) as listener:
        app = create_app(settings, key=os.environ.get(KEY_VARIABLE), visitors=visitors)
        web_server(app).run(sockets=[listener])


def web_server(app: FastAPI) -> uvicorn.Server:
    """A server that stops soon although each open page keeps a connection for ever."""
    return uvicorn.Server(uvicorn_config(app, shutdown_s=_LEAVE_LIMIT_S))


def _may_switch(visitors: KeyRing | None) -> Callable[[str | None], bool]:
    """The page acts with its own key, so it must look at its visitor's."""
    return lambda name: not visitors or visitors.role_of(name) == "admin"


def _may_enter(visitors: KeyRing) -> Callable[[str, str], bool]:
    def check(name: str, secret: str) -> bool:
        try:
            return visitors.identify(f"Bearer {secret}").name == name
        except Unauthorized:
            return False

    return check
