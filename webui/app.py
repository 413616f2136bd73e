"""The web page as an ASGI application, and the process that serves it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import gradio as gr
import uvicorn
from fastapi import FastAPI

from galen.errors import Conflict, InvalidInput, Unauthorized
from galen.keys import KeyRing, refuse_open_bind
from galen.telemetry import configure_logging
from judge.client import JudgeClient
from server.client import PolicyClient
from webui.assistant import Assistant
from webui.chat import ChatPage
from webui.frame import STYLE_SHEET, TITLE, heading, theme
from webui.settings import KEY_VARIABLE, WebuiSettings

_SWITCH_LIMIT_S = 300.0
"""Seconds that one call to the policy server may take; loading a version is the longest."""
_LEAVE_LIMIT_S = 2
"""Seconds that open connections get to end when the process is told to stop."""


def create_app(
    settings: WebuiSettings, *, key: str | None = None, visitors: KeyRing | None = None
) -> FastAPI:
    """The page. `key` is shown to both services; `visitors`, if any, may open the page."""
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
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(heading(settings.rehearsal), elem_id="galen-heading")
        ChatPage(Assistant(settings, policy, judge)).wire(blocks)
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
    """Serve the page until the process is told to stop.

    Raises `Conflict` if the port is taken, `InvalidInput` for an address that this machine lacks
    or that may not be opened without keys.
    """
    visitors = KeyRing.load(settings.keys_file)
    refuse_open_bind(settings.host, visitors)
    configure_logging("webui")
    with bind(settings.host, settings.port) as listener:
        app = create_app(settings, key=os.environ.get(KEY_VARIABLE), visitors=visitors)
        web_server(app).run(sockets=[listener])


def web_server(app: FastAPI) -> uvicorn.Server:
    """A server that stops soon though pages are open; each of them holds a connection for ever."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=_LEAVE_LIMIT_S
    )
    return uvicorn.Server(config)


def bind(host: str, port: int) -> socket.socket:
    """A socket listening at this address, so that a taken port is known before anything loads."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is taken; stop what uses it or choose another port"
            ) from error
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _may_enter(visitors: KeyRing) -> Callable[[str, str], bool]:
    def check(name: str, secret: str) -> bool:
        try:
            return visitors.identify(f"Bearer {secret}").name == name
        except Unauthorized:
            return False

    return check
