"""A policy server and a judge as real HTTP servers on loopback, answering from queues.

What a test enqueues is answered in order; every request is kept in `requests` to be looked at.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, Self

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class Refusal:
    """An error answer in OpenAI's shape."""

    status: int
    message: str
    code: str = "refused"
    retry_after: float | None = None
    """Seconds."""


@dataclass
class Stream:
    """A streamed chat completion: `deltas` as they go over the wire, then the end.

    With `hold`, empty deltas follow until `release` is set or the client hangs up, which sets
    `hung_up`.
    """

    deltas: Sequence[dict[str, str]]
    version: str = "sft"
    finish_reason: str = "stop"
    hold: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def chunk(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        body = {"model": f"policy@{self.version}", "choices": [choice]}
        return f"data: {json.dumps(body)}\n\n".encode()


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128
    """Usually five; of more who connect at once the rest would be left to try again in a second."""


class FakeService:
    """Base of both: a threaded HTTP server that lives as long as the `with` block."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing on standard error."""

            def do_GET(self) -> None:
                service.take(self)

            def do_POST(self) -> None:
                service.take(self)

            def do_DELETE(self) -> None:
                service.take(self)

        self._server = _Listener(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        request = Request(handler.command, handler.path, body, dict(handler.headers))
        self.requests.append(request)
        self.answer(handler, request)

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        raise NotImplementedError

    def asked(self, method: str, path: str) -> list[Any]:
        """The bodies of all requests to this route so far."""
        return [r.body for r in self.requests if (r.method, r.path) == (method, path)]


def send_json(
    handler: BaseHTTPRequestHandler, status: int, body: Any, headers: Mapping[str, str] = NONE
) -> None:
    data = json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def refuse(handler: BaseHTTPRequestHandler, refusal: Refusal) -> None:
    error = {"message": refusal.message, "type": "error", "param": None, "code": refusal.code}
    after = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    send_json(handler, refusal.status, {"error": error}, after)


class FakePolicyServer(FakeService):
    """Knows `versions` (name → loaded) and streams what was enqueued."""

    def __init__(self, versions: dict[str, bool], current: str) -> None:
        super().__init__()
        self.start_over(versions, current)

    def start_over(self, versions: dict[str, bool], current: str) -> None:
        """Forget every request and every reply not yet given."""
        self.versions = dict(versions)
        self.current = current
        self.requests.clear()
        self._chats: queue.SimpleQueue[Stream | Refusal] = queue.SimpleQueue()
        self._activations: queue.SimpleQueue[Refusal] = queue.SimpleQueue()

    def enqueue_chat(self, *replies: Stream | Refusal) -> None:
        for reply in replies:
            self._chats.put(reply)

    def refuse_activation(self, refusal: Refusal) -> None:
        self._activations.put(refusal)

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        if request.path == "/policy":
            send_json(handler, 200, self._state())
        elif request.path == "/policy/activate":
            self._activate(handler, request.body["name"])
        elif request.path == "/v1/models":
            loaded = [f"policy@{name}" for name, is_loaded in self.versions.items() if is_loaded]
            names = ["policy", "base", *loaded]
            send_json(handler, 200, {"object": "list", "data": [{"id": name} for name in names]})
        elif request.path == "/v1/chat/completions":
            self._chat(handler)
        else:
            refuse(handler, Refusal(404, f"no route {request.path}"))

    def _activate(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        if not self._activations.empty():
            refuse(handler, self._activations.get_nowait())
            return
        self.versions = {known: known == name for known in self.versions}
        self.current = name
        send_json(handler, 200, self._state())

    def _state(self) -> dict[str, Any]:
        cards = [
            {"name": name, "kind": "merged", "sha256": "0" * 64, "loaded": loaded}
            for name, loaded in self.versions.items()
        ]
        return {"current": self.current, "versions": cards, "disclaimer": "research only"}

    def _chat(self, handler: BaseHTTPRequestHandler) -> None:
        reply = self._chats.get_nowait()
        if isinstance(reply, Refusal):
            refuse(handler, reply)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for delta in reply.deltas:
                handler.wfile.write(reply.chunk(delta, None))
            while reply.hold and not reply.release.wait(0.02):
                handler.wfile.write(reply.chunk({"content": ""}, None))
            handler.wfile.write(reply.chunk({}, reply.finish_reason) + b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            reply.hung_up.set()


class FakeJudge(FakeService):
    """Gives the enqueued verdicts, each as `/v1/score` gives one item. Keeps any vote."""

    def __init__(self) -> None:
        super().__init__()
        self.start_over()

    def start_over(self) -> None:
        """Forget every request and every verdict not yet given."""
        self.requests.clear()
        self._verdicts: queue.SimpleQueue[dict[str, Any] | Refusal] = queue.SimpleQueue()

    def enqueue(self, *verdicts: dict[str, Any] | Refusal) -> None:
        for verdict in verdicts:
            self._verdicts.put(verdict)

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        if request.path == "/v1/feedback":
            send_json(handler, 201, {"number": 1, "at": "2026-01-01T00:00:00Z"})
            return
        if request.path != "/v1/score":
            refuse(handler, Refusal(404, f"no route {request.path}"))
            return
        verdict = self._verdicts.get_nowait()
        if isinstance(verdict, Refusal):
            refuse(handler, verdict)
            return
        items = [{**verdict, "id": item["id"]} for item in request.body["items"]]
        body = {"rubric": request.body["rubric"], "rubric_sha256": "0" * 64}
        send_json(handler, 200, {**body, "items": items, "usage": {}})


def verdict_of(
    response: str, words: dict[str, tuple[str, float]], **changes: Any
) -> dict[str, Any]:
    """A mock judge's verdict whose rules saw `words` (rule → words of `response`, effect)."""
    hits = [
        {"rule": rule, "effect": effect, "span": [at, at + len(seen)]}
        for rule, (seen, effect) in words.items()
        for at in [response.index(seen)]
    ]
    scores = {"safety": 0.9, "logic": 0.75, "completeness": 0.55, "empathy": 0.35}
    return {
        "status": "ok",
        "reward": 0.62,
        "rules": {"total": sum(effect for _, effect in words.values()), "hits": hits},
        "teacher": {**scores, "overall": 0.73, "why": "提示了危险信号，也说明了何时就医。"},
        "flags": [],
        "provider": "mock",
        **changes,
    }
