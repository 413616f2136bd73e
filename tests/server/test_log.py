"""No log line holds what people ask or are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from galen.telemetry import configure_logging
from tests.fakes.engine import Die, HeldStream, Refuse
from tests.server.harness import Launcher, Running

MARK = "我左边乳房有个硬块"
WORD = "mylefthandislame"
"""A mark that may also stand where only letters may."""
ASKED = {
    "model": "policy",
    "prompt": MARK,
    "messages": [{"role": "user", "content": f"{MARK} {WORD}"}],
    "input": MARK,
    "max_tokens": 4,
}
WRONG: list[dict[str, Any]] = [
    {"model": WORD},
    {"model": MARK},
    {"model": [MARK]},
    {"messages": MARK},
    {"messages": [{"role": MARK, "content": MARK}]},
    {"prompt": {MARK: MARK}},
    {"prompt": f"{MARK}\x00"},
    {"prompt": f"{MARK}\ud800"},
    {"max_tokens": MARK},
    {"stream": WORD},
    {"n": WORD},
    {WORD: MARK},
    {f"{WORD}\x00": 1},
    {"response_format": {"type": "json_schema", "json_schema": {WORD: MARK}}},
]


class Log(StringIO):
    """Complete once the server has stopped: a request is logged after its answer is sent."""

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def logs() -> Iterator[Log]:
    """What the server's process would write, down to the least line of anybody's."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out = Log()
    configure_logging("server", logging.DEBUG)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out)
    yield out
    root.handlers[:] = before
    root.setLevel(level)


async def routes_that_take_texts(running: Running) -> list[str]:
    """Every route with a body that is not the operator's."""
    document = (await running.http.get("/openapi.json")).json()
    takes = [path for path, how in document["paths"].items() if "post" in how]
    return [path for path in takes if not path.startswith("/policy")]


async def ask_everything(running: Running, path: str) -> None:
    """A good request, and every way to get one wrong that there is a name for."""
    bodies = [ASKED, ASKED | {"stream": True}, *(ASKED | wrong for wrong in WRONG)]
    texts = [json.dumps(body) for body in bodies]
    texts += [json.dumps(ASKED, ensure_ascii=False)[:-3], f'"{MARK}"', f"[{WORD}", MARK]
    for text in texts:
        await running.http.post(path, content=text.encode(), params={"q": WORD})
    form = {"file": (f"{WORD}.jsonl", MARK.encode())}
    await running.http.post(path, files=form, data={"purpose": MARK})
    await running.http.post(f"{path}/{WORD}", content=MARK.encode())
    await running.http.post(path, content=MARK.encode("utf-16"))


async def let_the_engine_fail(running: Running, path: str) -> None:
    """Every way in which an engine may let the gateway down, its words those of the prompt."""
    running.engine.enqueue(path, Refuse(400, MARK), Refuse(500, f"{MARK} {WORD}"))
    stream = HeldStream(breaks_off=True)
    stream.release.set()
    running.engine.enqueue(path, stream)
    for more in ({}, {}, {"stream": True}):
        await running.http.post(path, json=ASKED | more)
    running.engine.enqueue(path, Die(), Die())
    running.engine.enqueue("/health", Refuse(503, MARK))
    await running.http.post(path, json=ASKED)
    await running.engine.ready.wait()


def found(logs: Log) -> list[dict[str, Any]]:
    told = ((entry, json.dumps(entry, ensure_ascii=False)) for entry in logs.entries())
    return [entry for entry, text in told if MARK in text or WORD in text.lower()]


async def test_no_line_holds_what_a_person_said(launcher: Launcher, logs: Log) -> None:
    """Whatever route, whatever is wrong with the request, whatever the engine does."""
    async with launcher.start() as running:
        paths = await routes_that_take_texts(running)
        assert len(paths) >= 4
        for path in paths:
            await ask_everything(running, path)
        for path in ("/v1/completions", "/v1/chat/completions"):
            await let_the_engine_fail(running, path)
    answered = [entry for entry in logs.entries() if entry["event"] == "request"]
    assert len(answered) > 20 * len(paths)
    assert {entry["status"] for entry in answered} >= {200, 400, 404, 422, 503}
    assert found(logs) == []


async def test_every_line_of_a_request_bears_its_id(launcher: Launcher, logs: Log) -> None:
    """The client's own if it is harmless; the answer has it and the engine, too."""
    async with launcher.start() as running:
        answer = await running.http.post(
            "/v1/completions", json={"prompt": "hi"}, headers={"X-Request-Id": "run-7-0001"}
        )
    assert answer.headers["X-Request-Id"] == "run-7-0001"
    assert running.engine.request_ids[-1] == "run-7-0001"
    (entry,) = [entry for entry in logs.entries() if entry["event"] == "request"]
    assert entry["request_id"] == "run-7-0001"


async def test_a_request_without_an_id_gets_one(running: Running) -> None:
    """And the engine gets the same, so that its log can be joined, too."""
    answer = await running.ask()
    assert len(answer.headers["X-Request-Id"]) == 32
    assert running.engine.request_ids[-1] == answer.headers["X-Request-Id"]
