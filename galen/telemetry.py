"""A request's id and trace, passed on and logged as JSON lines; never a key, prompt or answer."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from uuid import uuid4

REQUEST_ID_HEADER = "X-Request-Id"
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
trace_headers: ContextVar[Mapping[str, str]] = ContextVar(
    "trace_headers", default=MappingProxyType({})
)
"""`traceparent` and `tracestate` of the current request, where it has them."""

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACESTATE = re.compile(r"[ -~]{1,512}")
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENCODE = json.JSONEncoder(ensure_ascii=False, default=str).encode
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_FOR_TERMINALS = {"color_message"}
"""uvicorn's own extra: the message again, in colours."""
_NO_FIELDS = _STANDARD | _FOR_TERMINALS


def accept_request_id(given: str | None) -> str:
    """The caller's request id if it is harmless, else a new one."""
    return given if given and _SAFE_ID.fullmatch(given) else uuid4().hex


def accept_trace(parent: str, state: str) -> dict[str, str]:
    """The headers of W3C's trace context to pass on; none where `parent` is not well formed."""
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    return {"traceparent": parent} | ({"tracestate": state} if _TRACESTATE.fullmatch(state) else {})


def outgoing_headers() -> dict[str, str]:
    """What a call to another service takes along from the request that is being served."""
    this_id = request_id.get()
    return {**({REQUEST_ID_HEADER: this_id} if this_id else {}), **trace_headers.get()}


class JsonLines(logging.Formatter):
    """One JSON object a line; whatever a call passes as `extra` becomes a field."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = {k: v for k, v in vars(record).items() if k not in _NO_FIELDS}
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "service": self._service,
            "request_id": request_id.get(),
            "event": record.getMessage(),
            **fields,
        }
        if trace := trace_headers.get().get("traceparent"):
            entry["traceparent"] = trace
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _ENCODE(entry)


def configure_logging(service: str, level: int = logging.INFO) -> None:
    """Send this process's logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Saves a third of a line's cost: `logging` would look these up, though no line shows them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for chatty in ("httpx", "httpcore", "httpx2", "httpcore2", "openai", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
