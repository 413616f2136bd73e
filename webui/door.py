"""Which requests the page accepts.

Gradio itself answers any host, lets pages of other origins read with a visitor's cookie, and takes
uploads. This page has no upload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from galen.errors import Forbidden
from galen.service.local import refuse_elsewhere
from galen.service.web import error_response

_READ = frozenset({"/", "/healthz", "/config", "/theme.css", "/favicon.ico", "/manifest.json"})
_READ |= {"/logout", *(f"/gradio_api/{to}" for to in ("queue/data", "app_id", "info"))}
_READ_BELOW = ("/assets/", "/static/", "/gradio_api/heartbeat/")
_POSTED = frozenset({"/login", *(f"/gradio_api/{to}" for to in ("queue/join", "cancel", "reset"))})


class Door:
    """ASGI middleware: 403 for foreign hosts and origins, and for routes that the page lacks.

    With `has_keys` visitors need a key; then any host name is accepted, and only the page's own
    origin. `origins` are further ones under which the page is opened, as by a tunnel.
    """

    def __init__(self, app: ASGIApp, *, has_keys: bool, origins: Sequence[str] = ()) -> None:
        self._app = app
        self._has_keys = has_keys
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                if self._has_keys:
                    _refuse_other_origins(dict(scope["headers"]), self._origins)
                else:
                    refuse_elsewhere(scope["headers"], self._origins)
                _refuse_unused(scope["method"], scope["path"])
            except Forbidden as refusal:
                await error_response(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refuse_other_origins(headers: Mapping[bytes, bytes], origins: Sequence[str]) -> None:
    origin = headers.get(b"origin", b"")
    own = (headers.get(b"host"), headers.get(b"x-forwarded-host"))
    if (
        origin
        and origin.partition(b"://")[2] not in own
        and origin.decode("latin-1") not in origins
    ):
        raise Forbidden("this page answers no page of another origin; see the setting `origins`")


def _refuse_unused(method: str, path: str) -> None:
    if method in {"GET", "HEAD"}:
        known = path in _READ or (path.startswith(_READ_BELOW) and ".." not in path.split("/"))
    else:
        known = path in _POSTED
    if not known:
        raise Forbidden("this page takes no uploads and has no such route")
