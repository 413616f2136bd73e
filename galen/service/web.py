"""How both services answer errors: all in one shape.

Only services import this module, since it loads FastAPI.
"""

from __future__ import annotations

import math
import re

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from galen.errors import GalenError, InvalidInput, MalformedJson, UnsupportedMedia
from galen.telemetry import REQUEST_ID_HEADER

ID_IN_SCOPE = "galen.request_id"
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NO_ROUTE = "no such route; /docs lists them"
CLIENT_CLOSED = 499
"""Status, only for the metrics, of an answer whose client has hung up."""


def error_response(error: GalenError) -> JSONResponse:
    """The answer that `error` describes, with the headers that belong to its status."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Render every error in OpenAI's shape, naming the field but never echoing its value."""

    async def on_galen_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, GalenError)
        return error_response(error)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(_shown(part) for part in first["loc"][1:])  # the first is its source
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "invalid")
            return error_response(MalformedJson(f"the body is not valid JSON: {reason}"))
        if first["loc"] == ("body",) and not _is_json(request):
            message = "send JSON, with the header 'Content-Type: application/json'"
            return error_response(UnsupportedMedia(message))
        reason = first["msg"].removeprefix("Value error, ")
        return error_response(InvalidInput(f"{where or 'body'}: {reason}", param=where or None))

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, GalenError):  # FastAPI wraps what reading the body raised
            return error_response(error.__cause__)
        if isinstance(error.__cause__, RecursionError | ValueError):
            reason = "nested too deeply, not UTF-8, or a number of thousands of digits"
            return error_response(MalformedJson(f"the body cannot be read as JSON: {reason}"))
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        body = {
            "message": _of_routing(error),
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
        return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)

    async def on_leave(_: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        answer = error_response(GalenError("internal error; the service's log has the details"))
        if this_id := request.scope.get(ID_IN_SCOPE):  # the shell does not stamp this answer
            answer.headers[REQUEST_ID_HEADER] = this_id
        return answer

    app.add_exception_handler(GalenError, on_galen_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_leave)
    app.add_exception_handler(Exception, on_bug)


def _shown(part: str | int) -> str:
    """Part of a field's place. A name that a caller made up is shown only if it looks like one."""
    text = str(part)
    return text if _FIELD.fullmatch(text) else "(unknown)"


def _of_routing(error: HTTPException) -> str:
    if error.status_code == 405 and (allowed := (error.headers or {}).get("Allow")):
        return f"this route takes {allowed} only; /docs lists the routes"
    if error.status_code == 404 and error.detail == "Not Found":
        return NO_ROUTE
    return error.detail


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
