"""Files and batches over HTTP, asked by OpenAI's own client before a fake engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from server.batches.routes import UPLOAD_LIMIT
from server.batches.schemas import ENDED
from tests.fakes.engine import Die, Hold, Refuse, write_version
from tests.fakes.small_disk import small_disk
from tests.server.batches.bench import line
from tests.server.harness import Launcher, Running

KEYS = ["ann:user:secret-of-ann", "ben:user:secret-of-ben", "root:admin:secret-of-root"]
CREATE: dict[str, Any] = {"endpoint": "/v1/completions", "completion_window": "24h"}


def client_of(server: Running, key: str = "none") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.http.base_url}/v1", api_key=key, max_retries=0)


@pytest.fixture
async def client(running: Running) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(running) as client:
        yield client


def lines_of(prompts: list[str]) -> bytes:
    return "".join(line(prompt) + "\n" for prompt in prompts).encode()


def contents(server: Running) -> list[Path]:
    """What is on disk of files."""
    return list((server.settings.state / "batches").glob("file-*"))


async def begin(client: AsyncOpenAI, content: bytes, **more: Any) -> Batch:
    file = await client.files.create(file=("头痛.jsonl", content), purpose="batch")
    return await client.batches.create(input_file_id=file.id, **{**CREATE, **more})


async def ended(client: AsyncOpenAI, batch_id: str) -> Batch:
    while True:
        batch = await client.batches.retrieve(batch_id)
        if batch.status in ENDED:
            return batch
        await asyncio.sleep(0.005)


async def read(client: AsyncOpenAI, file_id: str | None) -> list[Any]:
    assert file_id
    answer = await client.files.content(file_id)
    return [json.loads(row) for row in answer.text.splitlines()]


async def test_openais_client_takes_a_batch_from_file_to_file(client: AsyncOpenAI) -> None:
    """Upload, create, poll, read: every answer in order, by the version that its body names."""
    prompts = [f"q{n}" for n in range(50)]
    begun = await begin(client, lines_of(prompts), metadata={"run": "夜间"})
    assert (begun.object, begun.status, begun.metadata) == ("batch", "validating", {"run": "夜间"})
    batch = await ended(client, begun.id)
    rows = await read(client, batch.output_file_id)
    assert batch.status == "completed"
    assert batch.request_counts
    assert (batch.request_counts.total, batch.request_counts.completed) == (50, 50)
    assert [row["custom_id"] for row in rows] == prompts
    assert {row["response"]["body"]["model"] for row in rows} == {"policy@base"}
    assert batch.to_dict().keys() <= Batch.model_fields.keys()


async def test_the_engine_gets_lines_as_it_gets_requests(
    running: Running, client: AsyncOpenAI
) -> None:
    """At a rollout's priority, with a request id that the output names too."""
    batch = await ended(client, (await begin(client, lines_of(["q"]))).id)
    (row,) = await read(client, batch.output_file_id)
    path, body = running.engine.calls[-1]
    assert (path, body["prompt"], body["model"]) == ("/v1/completions", "q", "engine-fake")
    assert body["priority"] > 0
    assert running.engine.request_ids[-1] == row["response"]["request_id"]


async def test_files_are_listed_read_and_deleted(client: AsyncOpenAI) -> None:
    """As OpenAI's client does it, page by page and by purpose."""
    content = lines_of(["q"])
    made = [await client.files.create(file=("a", content), purpose="batch") for _ in range(3)]
    batch = await client.batches.create(input_file_id=made[0].id, **CREATE)
    output = (await ended(client, batch.id)).output_file_id
    listed = [file async for file in client.files.list(limit=2, purpose="batch")]
    assert listed == made[::-1]
    assert [file.id async for file in client.files.list(purpose="batch_output")] == [output]
    assert (await client.files.retrieve(made[1].id)).bytes == len(content)
    assert (await client.files.content(made[1].id)).content == content
    assert (await client.files.delete(made[1].id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made[1].id)
    assert [file.id async for file in client.files.list(limit=1)] == [
        output,
        made[2].id,
        made[0].id,
    ]


async def test_batches_are_listed_the_newest_first(client: AsyncOpenAI) -> None:
    """Page by page."""
    made = [(await begin(client, lines_of(["q"]))).id for _ in range(3)]
    assert [batch.id async for batch in client.batches.list(limit=2)] == made[::-1]


async def test_a_file_of_bad_lines_fails_with_their_numbers(client: AsyncOpenAI) -> None:
    """All of them, and nothing is asked."""
    content = lines_of(["a", "b"]) + b"{\n" + lines_of(["a"])
    batch = await ended(client, (await begin(client, content)).id)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    named = [(error.line, error.code) for error in batch.errors.data]
    assert named == [(3, "malformed_json"), (4, "invalid_request")]


async def test_a_batch_is_cancelled(running: Running, client: AsyncOpenAI) -> None:
    """The engine stops at once, and a second cancellation is named that there is nothing left."""
    hold = Hold()
    running.engine.enqueue("/v1/completions", hold)
    begun = await begin(client, lines_of(["q"]))
    await hold.arrived.wait()
    assert (await client.batches.cancel(begun.id)).status == "cancelling"
    await hold.hung_up.wait()
    batch = await ended(client, begun.id)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(begun.id)


async def test_versions_may_be_compared_in_one_batch(running: Running, client: AsyncOpenAI) -> None:
    """Each line names its model; one that is gone is an error line, and the others are answered."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    models = ["policy", "policy@v1", "policy@gone"]
    content = "\n".join(line(m, body={"model": m, "prompt": "q"}) for m in models).encode()
    batch = await ended(client, (await begin(client, content)).id)
    rows = await read(client, batch.output_file_id)
    (failed,) = await read(client, batch.error_file_id)
    assert [row["response"]["body"]["model"] for row in rows] == ["policy@v1"] * 2
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("policy@gone", 404)


async def test_a_restart_of_the_engine_costs_no_line(running: Running, client: AsyncOpenAI) -> None:
    """The lines under way are asked again; what the engine refuses is a result."""
    running.engine.enqueue("/v1/completions", Refuse(400, "too long"), Die())
    batch = await ended(client, (await begin(client, lines_of([f"q{n}" for n in range(5)]))).id)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 1)
    (failed,) = await read(client, batch.error_file_id)
    assert failed["response"]["body"]["error"]["message"] == "too long"


async def test_a_file_that_is_being_read_stays(running: Running, client: AsyncOpenAI) -> None:
    """It can be deleted once the batch is at its end."""
    hold = Hold()
    running.engine.enqueue("/v1/completions", hold)
    begun = await begin(client, lines_of(["q"]))
    with pytest.raises(openai.ConflictError):
        await client.files.delete(begun.input_file_id)
    hold.release.set()
    await ended(client, begun.id)
    await client.files.delete(begun.input_file_id)


async def test_what_is_anothers_is_not_there(launcher: Launcher) -> None:
    """Files and batches of one key: 404 for the next, all there for an admin."""
    async with launcher.having(keys=KEYS).start() as server:
        ann, ben, root = (client_of(server, key.rpartition(":")[2]) for key in KEYS)
        async with ann, ben, root:
            begun = await begin(ann, lines_of(["q"]))
            batch = await ended(ann, begun.id)
            assert [file async for file in ben.files.list()] == []
            assert [found async for found in ben.batches.list()] == []
            for call in (
                ben.files.retrieve(begun.input_file_id),
                ben.files.content(str(batch.output_file_id)),
                ben.files.delete(begun.input_file_id),
                ben.batches.retrieve(begun.id),
                ben.batches.cancel(begun.id),
                ben.batches.create(input_file_id=begun.input_file_id, **CREATE),
            ):
                with pytest.raises(openai.NotFoundError):
                    await call
            assert (await root.batches.retrieve(begun.id)).id == begun.id
            assert await read(root, batch.output_file_id)


async def test_without_a_key_nothing_is_taken(launcher: Launcher) -> None:
    """Refused before a byte of the upload is read."""
    async with launcher.having(keys=KEYS).start() as server:
        files = {"file": ("a", b"x")}
        answer = await server.http.post("/v1/files", files=files, data={"purpose": "batch"})
        assert answer.status_code == 401


async def test_an_upload_may_be_larger_than_other_bodies(
    launcher: Launcher, running: Running
) -> None:
    """The limit of every other route stays; beyond its own an upload is refused by its length."""
    content = lines_of(["x" * 5000] * 4)
    async with launcher.having(body_limit=4096).start() as server, client_of(server) as client:
        file = await client.files.create(file=("a", content), purpose="batch")
        assert (file.bytes, file.filename) == (len(content), "a")
        assert (await server.http.post("/v1/completions", content=content)).status_code == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD_LIMIT + 1}\r\n\r\n"
        writer.write(head.encode())
        assert b" 413 " in await reader.readline()
        writer.close()


async def test_a_full_disk_is_said_and_leaves_nothing(running: Running) -> None:
    """507 in OpenAI's shape, and no half file."""
    files = {"file": ("a", b"x" * 50_000)}
    with small_disk(20_000):
        answer = await running.http.post("/v1/files", files=files, data={"purpose": "batch"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
    assert contents(running) == []


async def test_a_broken_off_upload_leaves_nothing(running: Running) -> None:
    """The client hangs up in the middle; the server goes on without a trace of it."""
    go_on = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            yield b"x" * 65536
            go_on.set()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with httpx.AsyncClient(base_url=running.http.base_url) as other:
        sending = asyncio.create_task(other.post("/v1/files", content=endless(), headers=headers))
        await go_on.wait()
        sending.cancel()
        await asyncio.wait({sending})
    assert contents(running) == []
    assert (await running.http.get("/v1/files")).json()["data"] == []


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "7d"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ],
)
async def test_a_wrong_batch_is_refused(
    client: AsyncOpenAI, changes: dict[str, Any], param: str
) -> None:
    """With the field at fault."""
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await begin(client, lines_of(["q"]), **changes)
    assert caught.value.param == param


async def test_only_an_uploaded_file_is_an_input(client: AsyncOpenAI) -> None:
    """Not a batch's output, and not a file of another purpose."""
    batch = await ended(client, (await begin(client, lines_of(["q"]))).id)
    with pytest.raises(openai.UnprocessableEntityError, match="purpose"):
        await client.batches.create(input_file_id=str(batch.output_file_id), **CREATE)
    with pytest.raises(openai.UnprocessableEntityError, match="purpose"):
        await client.files.create(file=("a", b"x"), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError):
        await client.batches.create(input_file_id="file-../../versions", **CREATE)


async def test_files_and_batches_count_as_requests_and_their_lines_do_not(
    launcher: Launcher,
) -> None:
    """An upload and a batch are each one of what a key may begin in a minute, and a refused one
    leaves nothing; however many lines a batch has, they are not counted, nor is looking on."""
    keys = [*KEYS, "slow:admin:secret-of-slow:1", "late:user:secret-of-late:1"]
    async with (
        launcher.having(keys=keys).start() as server,
        client_of(server, "secret-of-root") as root,
        client_of(server, "secret-of-slow") as slow,
        client_of(server, "secret-of-late") as late,
    ):
        content = lines_of([f"q{n}" for n in range(50)])
        file = await root.files.create(file=("a", content), purpose="batch")
        made = await slow.batches.with_raw_response.create(input_file_id=file.id, **CREATE)
        assert made.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            await slow.batches.create(input_file_id=file.id, **CREATE)
        assert int(caught.value.response.headers["Retry-After"]) >= 1
        batch = await ended(slow, made.parse().id)
        assert batch.request_counts
        assert batch.request_counts.completed == 50
        await late.files.create(file=("a", content), purpose="batch")
        with pytest.raises(openai.RateLimitError):
            await late.files.create(file=("a", content), purpose="batch")
        assert len((await late.files.list()).data) == 1
        assert len((await root.batches.list()).data) == 1


@pytest.mark.parametrize(
    "malformed",
    [
        ("/v1/batches", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("/v1/files", {"content": b"{}"}, 415),
        ("/v1/files", {"files": {"file": ("a", b"x")}}, 422),
        ("/v1/files", {"files": {"file": ("a", b"")}, "data": {"purpose": "batch"}}, 422),
        ("/v1/files", {"files": {"file": (None, b"x")}, "data": {"purpose": "batch"}}, 400),
        ("/v1/files", {"files": [("file", ("a", b"x")), ("file", ("b", b"x"))]}, 400),
        ("/v1/files", {"files": {"file": ("a", b"x")}, "data": {"purpose": "x" * 5000}}, 400),
        (
            "/v1/files",
            {"files": {"file": ("a", b"x")}, "data": {"purpose": "batch", "days": "3"}},
            400,
        ),
    ],
)
async def test_what_is_malformed_counts_by_its_keys_limit(
    launcher: Launcher, malformed: tuple[str, dict[str, Any], int]
) -> None:
    """It is refused in OpenAI's shape, keeps nothing, and costs what a good request does."""
    path, sent, status = malformed
    key = {"Authorization": "Bearer secret-of-slow"}
    async with launcher.having(keys=["slow:user:secret-of-slow:1"]).start() as server:
        sent["headers"] = {**sent.get("headers", {}), **key}
        first = await server.http.post(path, **sent)
        second = await server.http.post(path, **sent)
        listed = await server.http.get("/v1/files", headers=key)
    assert (first.status_code, second.status_code) == (status, 429)
    assert first.json()["error"]["message"]
    assert listed.json()["data"] == []


# Starlette leaves the temporary file of a part that was cut off to Python's collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*SpooledTemporaryFile")
async def test_a_form_that_ends_early_keeps_nothing(running: Running) -> None:
    """Wherever it is cut: half a file is never taken for a file."""
    parts = {"purpose": (None, b"batch"), "file": ("in.jsonl", b"content")}
    request = httpx.Request("POST", "http://x", files=parts)
    body = request.read()
    for cut in (*range(0, len(body) - 60, 17), *range(len(body) - 60, body.rindex(b"\r\n--"))):
        answer = await running.http.post(
            "/v1/files",
            content=body[:cut],
            headers={"Content-Type": request.headers["Content-Type"]},
        )
        assert answer.status_code == 422, body[:cut]
    assert contents(running) == []


@pytest.mark.parametrize("name", ["../../out.jsonl", "/etc/x", "a\x00b", "", "头痛" * 200])
async def test_a_files_name_is_never_a_path(
    client: AsyncOpenAI, running: Running, name: str
) -> None:
    """Whatever the uploader calls it, it lies under an id of ours, in the one folder."""
    file = await client.files.create(file=(name or " ", b"x"), purpose="batch")
    assert [path.name for path in contents(running)] == [f"{file.id}.jsonl"]
    assert 1 <= len(file.filename) <= 255
    assert "\x00" not in file.filename
