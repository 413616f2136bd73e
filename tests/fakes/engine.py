"""An engine that plays vLLM's HTTP surface on a Unix socket, and folders that it can read.

Its "weights" are one number a folder: the log-probability that it gives to every token. A test may
queue, for a path, what is to happen instead of the usual: `Refuse`, `Hold`, `BreakOff` or `Die`, or
a stream of its own kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import tempfile
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from galen import digest
from galen.errors import GalenError
from server.engines.plugins.worker import RELOAD
from server.engines.supervisor.address import BASE_URL, new_socket, private
from server.schemas import MANIFEST, Kind

PROBE_IDS = ((1, 2, 3), (4, 5))
TENSOR = "model.layers.0.weight"


@dataclass(frozen=True)
class Refuse:
    """Answer with an error in OpenAI's shape."""

    status: int
    message: str


@dataclass
class Hold:
    """Answer as usual, but only once `release` is set.

    `arrived` tells that the call is there, `hung_up` that the caller did not wait.
    """

    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


class Die:
    """Close the connection and end this life of the engine."""


class BreakOff:
    """Close the connection and live on."""


@dataclass
class HeldStream:
    """A stream that sends its first event, then waits for `release`.

    With `breaks_off` the connection is lost instead of a second event, with `is_silent` there is no
    first. `hung_up` tells that the client has gone.
    """

    breaks_off: bool = False
    is_silent: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class LongStream:
    """A stream of `events` large events, sent as fast as they are taken.

    The first is of each of `choices`. `written` counts the bytes so far, `held_back` tells that
    nobody took them for `PATIENCE_S`, `hung_up` that the client has gone.
    """

    events: int
    choices: tuple[int, ...] = (0,)
    written: int = 0
    held_back: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


Behaviour = Refuse | Hold | Die | BreakOff | HeldStream | LongStream
PATIENCE_S = 0.5
LARGE = 64 * 1024
"""Characters in an event of a `LongStream`."""


class FakeEngine:
    """Follows `server.engines.engine.Engine`. `calls` holds every request, path and body."""

    served_name = "engine-fake"
    reload_method = RELOAD

    def __init__(self, base: Path) -> None:
        self.problem: str | None = "the engine is starting"
        self.restarts = 0
        self.is_fresh = True
        self.steps_under_way = 0
        self.retry_after_s = 5.0
        self.calls: list[tuple[str, Any]] = []
        self.request_ids: list[str | None] = []
        self.received: list[tuple[str, str, dict[str, str]]] = []
        """Method, path with query, and headers of all that came, also where there is no route."""
        self.returns_tokens = True
        self.ready = asyncio.Event()
        self._base = base
        self.socket: Path | None = new_socket(tempfile.gettempdir())
        self._behaviours: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._died = asyncio.Event()
        self._failure: GalenError | None = None
        self._start_over()

    @property
    def base_url(self) -> str:
        return BASE_URL

    def enqueue(self, path: str, *behaviours: Behaviour) -> None:
        self._behaviours[path].extend(behaviours)

    def paths(self) -> list[str]:
        return [path for path, _ in self.calls]

    def restart(self, reason: str) -> None:
        self.problem = f"the engine is being restarted: {reason}"
        self.ready.clear()
        self._died.set()

    def fail(self, error: GalenError) -> None:
        """Let `run` end as it does when an engine cannot be started."""
        self._failure = error
        self.restart("it failed")

    async def run(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)
        assert self.socket
        with private(self.socket.parent):
            await runner.setup()
            await web.UnixSite(runner, str(self.socket)).start()
            try:
                await self._live(on_ready)
            finally:
                await runner.cleanup()

    async def _live(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        while True:
            self._start_over()
            self._died.clear()
            with contextlib.suppress(GalenError):
                await on_ready()
                self.problem = None
                self.ready.set()
                await self._died.wait()
            if self._failure:
                raise self._failure
            self.restarts += 1

    def _start_over(self) -> None:
        self.weights = logprob_in(self._base)
        self.paused = False
        self.cache_cleared = False
        self.adapters: dict[str, float] = {}

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._note])
        app.add_routes(
            [
                web.post("/pause", self._handler(self._pause)),
                web.post("/resume", self._handler(self._resume)),
                web.post("/collective_rpc", self._handler(self._reload)),
                web.post("/v1/load_lora_adapter", self._handler(self._load_adapter)),
                web.post("/v1/unload_lora_adapter", self._handler(self._unload_adapter)),
                web.post("/v1/completions", self._handler(self._complete)),
                web.post("/v1/chat/completions", self._handler(self._complete)),
                web.post("/v1/responses", self._handler(self._complete)),
                web.post("/v1/messages", self._handler(self._complete)),
                web.post("/tokenize", self._handler(self._tokenize)),
                web.get("/health", self._handler(self._health)),
                web.get("/metrics", self._handler(self._metrics)),
            ]
        )
        return app

    @web.middleware
    async def _note(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        self.received.append((request.method, request.raw_path, dict(request.headers)))
        return await handler(request)

    def _handler(
        self, usual: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.json() if request.can_read_body else None
            self.calls.append((request.path, body))
            self.request_ids.append(request.headers.get("X-Request-Id"))
            queue = self._behaviours[request.path]
            match queue.popleft() if queue else None:
                case Refuse(status, message):
                    error = {"message": message, "type": "BadRequestError", "code": status}
                    return web.json_response({"error": error}, status=status)
                case Die():
                    self.restart("it died")
                    assert request.transport
                    request.transport.close()
                case BreakOff():
                    assert request.transport
                    request.transport.close()
                case Hold() as hold:
                    hold.arrived.set()
                    try:
                        await hold.release.wait()
                    except asyncio.CancelledError:
                        hold.hung_up.set()
                        raise
                case HeldStream() as stream:
                    return await self._stream(request, body, stream)
                case LongStream() as long:
                    return await self._long_stream(request, body, long)
                case None:
                    pass
            try:
                return await usual(request, body)
            except (AttributeError, IndexError, KeyError, TypeError):  # as vLLM refuses such a body
                error = {"message": "a field is missing or of another type", "code": 400}
                return web.json_response({"error": error}, status=400)

        return handle

    async def _pause(self, request: web.Request, body: Any) -> web.Response:
        assert request.query["mode"] == "abort"
        self.cache_cleared = request.query["clear_cache"] == "true"
        self.paused = True
        return web.json_response({"status": "paused"})

    async def _resume(self, request: web.Request, body: Any) -> web.Response:
        self.paused = False
        return web.json_response({"status": "resumed"})

    async def _reload(self, request: web.Request, body: Any) -> web.Response:
        assert self.paused and body["method"] == self.reload_method
        self.weights = logprob_in(Path(body["kwargs"]["weights_path"]))
        return web.json_response({"results": [None]})

    async def _load_adapter(self, request: web.Request, body: Any) -> web.Response:
        self.adapters[body["lora_name"]] = logprob_in(Path(body["lora_path"]))
        return web.Response(text="Success")

    async def _unload_adapter(self, request: web.Request, body: Any) -> web.Response:
        del self.adapters[body["lora_name"]]
        return web.Response(text="Success")

    async def _complete(self, request: web.Request, body: Any) -> web.StreamResponse:
        if self.paused:
            return web.json_response({"error": {"message": "paused"}}, status=503)
        if body.get("stream"):
            return await self._stream(request, body, None)
        logprob = self._logprob(body["model"])
        prompts = body.get("prompt", "")
        rows = prompts if isinstance(prompts, list) and isinstance(prompts[0], list) else [prompts]
        choices = [self._choice(index, row, logprob) for index, row in enumerate(rows)]
        if body.get("return_token_ids") and self.returns_tokens:
            tokens = body["max_tokens"]
            choices[0]["token_ids"] = [7] * tokens
            choices[0]["logprobs"] = {"token_logprobs": [logprob] * tokens}
        return compact({"id": "cmpl-1", "model": body["model"], "choices": choices})

    def _logprob(self, model: str) -> float:
        return self.weights if model == self.served_name else self.adapters[model]

    @staticmethod
    def _choice(index: int, row: Any, logprob: float) -> dict[str, Any]:
        ids = row[1:] if isinstance(row, list) else []
        prompt_logprobs = [None, *({str(token): {"logprob": logprob}} for token in ids)]
        return {
            "index": index,
            "text": f"{logprob}",
            "finish_reason": "length",
            "prompt_logprobs": prompt_logprobs,
        }

    async def _stream(
        self, request: web.Request, body: Any, held: HeldStream | None
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        event = self._event(body["model"])
        try:
            if not (held and held.is_silent):
                await answer.write(event)
            if held:
                held.arrived.set()
                await held.release.wait()
            if held and held.breaks_off:
                assert request.transport
                request.transport.abort()
            await answer.write(event)
            await answer.write(b"data: [DONE]\n\n")
        except asyncio.CancelledError:
            if held:
                held.hung_up.set()
            raise
        return answer

    def _event(self, model: str) -> bytes:
        chunk = {"model": model, "text": f"{self._logprob(model)}"}
        return b"data: " + compact(chunk).text.encode() + b"\n\n"  # type: ignore[union-attr]

    async def _long_stream(
        self, request: web.Request, body: Any, long: LongStream
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        choices = [{"index": index, "text": "a"} for index in long.choices]
        events = [compact({"model": body["model"], "choices": choices}).text]
        large = {"model": body["model"], "choices": [{"index": 0, "text": "a" * LARGE}]}
        events += [compact(large).text] * long.events
        for event in [*events, "[DONE]"]:
            data = f"data: {event}\n\n".encode()
            writing = asyncio.ensure_future(answer.write(data))
            try:
                if not (await asyncio.wait({writing}, timeout=PATIENCE_S))[0]:
                    long.held_back.set()
                await writing
            except (asyncio.CancelledError, ConnectionError):
                long.hung_up.set()
                raise
            long.written += len(data)
        return answer

    async def _tokenize(self, request: web.Request, body: Any) -> web.Response:
        return compact({"count": 1, "tokens": [7]})

    async def _health(self, request: web.Request, body: Any) -> web.Response:
        return web.Response()

    async def _metrics(self, request: web.Request, body: Any) -> web.Response:
        return web.Response(text="vllm:num_requests_running 0.0\n")


def compact(body: Any) -> web.Response:
    """JSON without spaces, as vLLM writes it."""
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, content_type="application/json")


def write_weights(folder: Path, logprob: float) -> None:
    """A safetensors file with one tensor of one number, `logprob`."""
    header = json.dumps({TENSOR: {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    folder.mkdir(parents=True, exist_ok=True)
    data = len(header).to_bytes(8, "little") + header + struct.pack("<d", logprob)
    (folder / "model.safetensors").write_bytes(data)


def logprob_in(folder: Path) -> float:
    data = (folder / "model.safetensors").read_bytes()
    (logprob,) = struct.unpack("<d", data[-8:])
    return float(logprob)


def write_base(folder: Path, logprob: float = -1.0) -> Path:
    write_weights(folder, logprob)
    (folder / "config.json").write_text("{}", "utf-8")
    return folder


def write_version(
    root: Path,
    name: str,
    logprob: float,
    *,
    kind: Kind = "merged",
    published: float | None = None,
    **manifest: Any,
) -> Path:
    """A version folder; `published` is what its probe claims, by default the truth."""
    folder = root / name
    write_weights(folder, logprob)
    if kind == "adapter":
        config = {"r": 8, "bias": "none", "modules_to_save": None}
        (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    claimed = logprob if published is None else published
    probe = {
        "token_ids": PROBE_IDS,
        "token_logprobs": [[claimed] * (len(ids) - 1) for ids in PROBE_IDS],
    }
    described = {"name": name, "kind": kind, "probe": probe, "sha256": digest.of_folder(folder)}
    (folder / MANIFEST).write_text(json.dumps({**described, **manifest}), "utf-8")
    return folder
