"""What those are told who are still being answered when the server is stopped."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tests.fakes.engine import HeldStream, Hold
from tests.server.harness import Launcher

BODY = {"prompt": "hi", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


async def test_an_answer_that_has_not_begun_is_refused(
    launcher: Launcher, caplog: pytest.LogCaptureFixture
) -> None:
    """With 503 and the seconds after which to come back, and without a trace in the log."""
    held = Hold()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        async with launcher.start() as running:
            running.engine.enqueue("/v1/completions", held)
            url = f"{running.http.base_url}/v1/completions"
            asking = asyncio.create_task(http.post(url, json=BODY))
            await held.arrived.wait()
        answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/completions", ["error", "code"]),
        ("/v1/chat/completions", ["error", "code"]),
        ("/v1/responses", ["code"]),
    ],
)
async def test_a_stream_ends_in_words(
    launcher: Launcher, caplog: pytest.LogCaptureFixture, path: str, code: list[str]
) -> None:
    """Its last event, in the shape of its API, says that the server goes."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        async with launcher.start() as running:
            running.engine.enqueue(path, HeldStream())
            url, body = f"{running.http.base_url}{path}", {**BODY, "stream": True}
            asking = http.stream("POST", url, json=body)
            answer = await asking.__aenter__()
            pieces = answer.aiter_raw()
            begun = await anext(pieces)
        rest = b"".join([piece async for piece in pieces])
        await asking.__aexit__(None, None, None)
    assert begun.endswith(b"\n\n")
    told = json.loads(rest.partition(b"data: ")[2])
    for name in code:
        told = told[name]
    assert told == "unavailable"
    assert [record for record in caplog.records if record.exc_info] == []
