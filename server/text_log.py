"""Logs people's prompts and the answers: for debugging, never by default.

It costs nothing unless it is switched on.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MOST_BYTES = 1_000_000
"""Of a body or an answer; the rest is left out, since an upload may be as large as a disk."""
WARNING = "log_texts is on: prompts and answers, patients' words among them, are in this log"


class TextLog:
    """ASGI middleware: one log line a request with the texts of its body and its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        asked, answered = bytearray(), bytearray()

        async def receive_noted() -> Message:
            message = await receive()
            _note(asked, message)
            return message

        async def send_noted(message: Message) -> None:
            _note(answered, message)
            await send(message)

        try:
            await self._app(scope, receive_noted, send_noted)
        finally:
            texts = {"body": _text(asked), "answer": _text(answered)}
            log.info("texts", extra={"path": scope["path"], **texts})


def _note(text: bytearray, message: Message) -> None:
    text.extend(message.get("body", b"")[: MOST_BYTES - len(text)])


def _text(content: bytearray) -> str:
    return content.decode("utf-8", "replace")
