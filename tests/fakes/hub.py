"""A hub of models and datasets on loopback: what the real clients ask of Hugging Face and of
ModelScope, for the files that it is given."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" * 6 + "beef"


@dataclass
class FakeHub:
    """`files` by repository and path. `gated` repositories are refused; `cut` paths end early;
    `damaged` ones come as so many zeros."""

    files: dict[str, dict[str, bytes]]
    gated: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

        def _answer(self, *, with_body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, body = answer(hub, self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            is_cut = any(unquote(self.path).endswith(path) for path in hub.cut)
            if with_body:
                self.wfile.write(body[: len(body) // 2] if is_cut else body)
            if is_cut:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(hub: FakeHub, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    url = urlsplit(unquote(path))
    parts = url.path.strip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        return _modelscope(hub, parts[3:], parse_qs(url.query))
    return _huggingface(hub, parts)


def _huggingface(hub: FakeHub, parts: list[str]) -> tuple[int, dict[str, str], bytes]:
    if parts[0] == "api":
        name, rest = "/".join(parts[2:4]), parts[4:]
    else:
        name, rest = "/".join(_named(parts)), parts
    if name not in hub.files:
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
    if name in hub.gated:
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
    files = hub.files[name]
    if parts[0] == "api" and rest[0] == "revision":
        siblings = [{"rfilename": file} for file in files]
        return _json({"id": name, "sha": COMMIT, "siblings": siblings})
    if parts[0] == "api" and rest[0] == "tree":
        return _json(
            [{"type": "file", "oid": _hash(b), "size": len(b), "path": f} for f, b in files.items()]
        )
    file = "/".join(parts[parts.index("resolve") + 2 :])
    if file not in files:
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    headers = {"ETag": f'"{_hash(files[file])}"', "X-Repo-Commit": COMMIT}
    return 200, headers, bytes(len(files[file])) if file in hub.damaged else files[file]


def _named(parts: list[str]) -> list[str]:
    """The owner and name before `resolve`."""
    at = parts.index("resolve") if "resolve" in parts else len(parts)
    return parts[at - 2 : at]


def _modelscope(
    hub: FakeHub, parts: list[str], query: dict[str, list[str]]
) -> tuple[int, dict[str, str], bytes]:
    name = "/".join(parts[:2])
    if name not in hub.files:
        return 404, {}, json.dumps({"Code": 10010205001, "Message": "not found"}).encode()
    if name in hub.gated:
        return 403, {}, json.dumps({"Code": 10010205002, "Message": "forbidden"}).encode()
    files = hub.files[name]
    if "FilePath" in query:
        file = query["FilePath"][0]
        return (200, {}, files[file]) if file in files else (404, {}, b"{}")
    listed = [
        {"Path": f, "Name": f, "Size": len(b), "Type": "blob", "Sha256": _hash(b)}
        for f, b in files.items()
    ]
    return _json({"Code": 200, "Data": {"Files": listed, "TotalCount": len(listed)}})


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
