"""From a file of requests to a file of answers, whatever happens on the way."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from galen.errors import (
    Conflict,
    GalenError,
    InvalidInput,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    Unavailable,
    UpstreamFailed,
)
from galen.keys import Caller
from server.batches import service as module
from server.batches import store
from server.batches.schemas import Batch, Status
from server.batches.service import MOST_OPEN, PLACES, TRIES
from tests.fakes.asker import Deadly, Reply, Wait
from tests.fakes.small_disk import small_disk
from tests.server.batches.bench import (
    ANN,
    BEN,
    ENDPOINT,
    Bench,
    answered,
    begin,
    ended,
    ids,
    line,
    rows,
    until,
)


def prompts(count: int) -> list[str]:
    return [f"q{n}" for n in range(count)]


def times(batch: Batch) -> list[str]:
    return [name for name in Batch.model_fields if name.endswith("_at") and getattr(batch, name)]


async def test_every_line_is_answered_once_and_in_order(bench: Bench) -> None:
    """The output has the input's order, whichever answer came first; nothing failed, so there is
    no error file."""
    slow = Wait()
    bench.asker.enqueue("q0", slow)
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(100)))
        await slow.arrived.wait()
        await until(lambda: answered(service, begun.id) == 99)
        slow.release.set()
        batch = await ended(service, begun.id)
        found = rows(service, batch.output_file_id)
    assert [row["custom_id"] for row in found] == prompts(100)
    assert [row["response"]["body"]["text"] for row in found] == [f"re: q{n}" for n in range(100)]
    assert sorted(bench.asker.asked) == sorted(prompts(100))
    assert batch.status == "completed"
    assert batch.request_counts.model_dump() == {"total": 100, "completed": 100, "failed": 0}
    assert batch.error_file_id is None
    assert times(batch) == ["created_at", "in_progress_at", "completed_at"]


async def test_a_result_has_openais_form(bench: Bench) -> None:
    """Id, custom id, and the response with its status, its request's id and its body."""
    async with bench.service() as service:
        batch = await ended(service, begin(service, [line("头痛")]).id)
        (row,) = rows(service, batch.output_file_id)
    assert row["id"].startswith("batch_req_")
    assert len(row["response"]["request_id"]) == 32
    assert (row["custom_id"], row["error"]) == ("头痛", None)
    assert row["response"]["status_code"] == 200
    assert row["response"]["body"] == {"model": "policy@v1", "text": "re: 头痛"}


async def test_lines_are_asked_as_rollouts_and_only_so_many_at_once(bench: Bench) -> None:
    """People go first, and two batches together take no more places than one."""
    async with bench.service() as service:
        both = [begin(service, [line(f"{b}{n}") for n in range(100)]) for b in "ab"]
        for batch in both:
            await ended(service, batch.id)
    assert set(bench.asker.callers) == {(Caller("ann", "rollout"), ENDPOINT)}
    assert bench.asker.most_at_once == PLACES


async def test_a_small_batch_does_not_wait_for_a_large_one(bench: Bench) -> None:
    """Both are at work together."""
    last = Wait()
    bench.asker.enqueue("q1999", last)
    async with bench.service() as service:
        large = begin(service, map(line, prompts(2000)))
        await until(lambda: answered(service, large.id) > 0)
        await ended(service, begin(service, [line("small")]).id)
        assert service.store.find(Batch, large.id, ANN).status == "in_progress"
        last.release.set()
        await ended(service, large.id)


@pytest.mark.parametrize(
    "trouble",
    [Unavailable("restarting", retry_after_s=7), Overloaded("too many"), Reply(503, b"{}")],
)
async def test_what_passes_is_waited_out(bench: Bench, trouble: GalenError | Reply) -> None:
    """However often it comes: it says nothing about the line, and is never a result."""
    bench.asker.enqueue("q", *[trouble] * 50)
    async with bench.service() as service:
        batch = await ended(service, begin(service, [line("q")]).id)
        assert ids(service, batch.output_file_id) == ["q"]


async def test_lines_are_asked_at_once_when_an_engine_is_ready(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they would have waited."""
    monkeypatch.setattr(module, "WAIT_S", 3600)
    bench.asker.enqueue("q", Unavailable("starting"))
    async with bench.service() as service, asyncio.timeout(20):
        begun = begin(service, [line("q")])
        await until(lambda: bench.asker.asked == ["q"])
        for _ in range(10):
            await asyncio.sleep(0)
        service.engine_ready()
        assert (await ended(service, begun.id)).status == "completed"


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Reply(400, b'{"error":{"message":"max_tokens is too large"}}'), 400),
        (Reply(501, b'{"error":{"message":"the simple engine does not speak this"}}'), 501),
        (NotFound("no model 'policy@gone'; there are: policy", param="model"), 404),
        (InvalidInput("model must be a string", param="model"), 422),
    ],
)
async def test_a_refusal_is_the_lines_result(
    bench: Bench, refusal: GalenError | Reply, status: int
) -> None:
    """Asked once, written into the error file as the caller would have read it; the others go
    on."""
    bench.asker.enqueue("bad", refusal)
    async with bench.service() as service:
        begun = begin(service, map(line, ("good", "bad", "fine")))
        batch = await ended(service, begun.id)
        (row,) = rows(service, batch.error_file_id)
        assert ids(service, batch.output_file_id) == ["good", "fine"]
    assert bench.asker.asked.count("bad") == 1
    assert (row["custom_id"], row["response"]["status_code"], row["error"]) == ("bad", status, None)
    assert row["response"]["body"]["error"]["message"]
    assert (batch.status, batch.request_counts.failed) == ("completed", 1)


@pytest.mark.parametrize(
    "failure", [Reply(500, b"{}"), Reply(200, b"<html>"), UpstreamFailed("nonsense")]
)
async def test_a_failure_is_tried_again_before_it_is_a_result(
    bench: Bench, failure: GalenError | Reply
) -> None:
    """The engine may have had a bad moment; a line that always fails must come to an end."""
    bench.asker.enqueue("once", failure)
    bench.asker.enqueue("always", *[failure] * TRIES)
    async with bench.service() as service:
        batch = await ended(service, begin(service, map(line, ("once", "always"))).id)
        assert ids(service, batch.output_file_id) == ["once"]
        assert ids(service, batch.error_file_id) == ["always"]
    assert bench.asker.asked.count("always") == TRIES


async def test_only_the_line_that_the_engine_dies_of_is_given_up(bench: Bench) -> None:
    """After three tries. Every line that was under way beside it is answered."""
    bench.asker.enqueue("poison", *[Deadly()] * TRIES)
    lines = ["poison", *prompts(PLACES - 1)]
    async with bench.service() as service:
        batch = await ended(service, begin(service, map(line, lines)).id)
        assert ids(service, batch.output_file_id) == lines[1:]
        (row,) = rows(service, batch.error_file_id)
    assert (row["custom_id"], row["response"]["status_code"]) == ("poison", 503)
    assert bench.asker.asked.count("poison") == TRIES


async def test_a_lost_engine_is_waited_for_before_the_next_suspect_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its loss is noticed, it would seem to die of each line that it refuses."""
    monkeypatch.setattr(module, "WAIT_S", 3600)
    bench.asker.enqueue("poison", *[Deadly()] * TRIES)
    async with bench.service() as service, asyncio.timeout(20):
        begun = begin(service, map(line, ("poison", "q")))
        for asked in (["poison", "q"], ["poison", "q", "poison"]):
            await until(lambda asked=asked: bench.asker.asked == asked)
            for _ in range(10):
                await asyncio.sleep(0)
            assert bench.asker.asked == asked
            service.engine_ready()
        await until(lambda: bench.asker.asked.count("poison") == TRIES)
        for _ in range(10):
            await asyncio.sleep(0)
        service.engine_ready()
        assert ids(service, (await ended(service, begun.id)).output_file_id) == ["q"]


async def test_a_stopped_server_goes_on_where_it_was(bench: Bench) -> None:
    """What was answered is not asked again; what was under way is."""
    waits = [Wait() for _ in range(PLACES)]
    for number, wait in enumerate(waits):
        bench.asker.enqueue(f"q{50 + number}", wait)
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(200)))
        await asyncio.gather(*(wait.arrived.wait() for wait in waits))
        before = answered(service, begun.id)
    assert before == 50
    assert all(wait.cancelled for wait in waits)
    first, bench.asker.asked = bench.asker.asked, []
    async with bench.service() as service:
        batch = await ended(service, begun.id)
        assert ids(service, batch.output_file_id) == prompts(200)
    assert set(first[:50]).isdisjoint(bench.asker.asked)
    assert len(bench.asker.asked) == 150
    assert batch.request_counts.completed == 200


@pytest.mark.parametrize("status", ["validating", "in_progress", "cancelling"])
async def test_a_batch_goes_on_from_every_step(bench: Bench, status: Status) -> None:
    """Killed between two steps, it is at its end after the next start, with its files whole."""
    wait = Wait()
    bench.asker.enqueue("q1", wait)
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(2)))
        await wait.arrived.wait()
        killed = service.store.find(Batch, begun.id, ANN).model_copy(update={"status": status})
        service.store.save(ANN.name, killed)
    async with bench.service() as service:
        batch = await ended(service, begun.id)
        kept = ids(service, batch.output_file_id)
    if status == "cancelling":
        assert (batch.status, kept) == ("cancelled", ["q0"])
    else:
        assert (batch.status, kept) == ("completed", prompts(2))


async def test_a_cancelled_batch_asks_nothing_more(bench: Bench) -> None:
    """What is answered is in the output; requests under way are ended."""
    waits = [Wait() for _ in range(PLACES)]
    for number, wait in enumerate(waits):
        bench.asker.enqueue(f"q{1 + number}", wait)
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(100)))
        await asyncio.gather(*(wait.arrived.wait() for wait in waits))
        assert service.cancel(begun.id, ANN).status == "cancelling"
        batch = await ended(service, begun.id)
        assert ids(service, batch.output_file_id) == ["q0"]
        with pytest.raises(Conflict, match="cancelled"):
            service.cancel(begun.id, ANN)
    assert all(wait.cancelled for wait in waits)
    assert len(bench.asker.asked) == 1 + PLACES
    assert (batch.status, batch.error_file_id) == ("cancelled", None)
    assert times(batch)[-2:] == ["cancelling_at", "cancelled_at"]
    assert batch.request_counts.model_dump() == {"total": 100, "completed": 1, "failed": 0}


@pytest.mark.parametrize("at_work", [False, True])
async def test_a_full_disk_holds_a_batch_up_and_loses_nothing(
    bench: Bench, at_work: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No result is thrown away and no line is asked twice; it goes on once there is room, whether
    that ran out before the first line was asked or amid them."""
    wait = Wait()
    bench.asker.enqueue("q9", wait)
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(10)))
        if at_work:
            await wait.arrived.wait()
            await until(lambda: answered(service, begun.id) == 9)
        wait.release.set()
        with small_disk(500):
            await until(lambda: caplog.text.count("disk is full") >= 3)
        batch = await ended(service, begun.id)
        assert ids(service, batch.output_file_id) == prompts(10)
    assert sorted(bench.asker.asked) == sorted(prompts(10))


async def test_a_batch_that_is_cancelled_while_it_waits_for_room_is_cancelled(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had waited to write down would have undone the cancellation."""
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(3)))
        with small_disk(16):
            await until(lambda: "disk is full" in caplog.text)
        service.cancel(begun.id, ANN)
        async with asyncio.timeout(20):
            batch = await ended(service, begun.id)
    assert (batch.status, bench.asker.asked) == ("cancelled", [])


@pytest.mark.parametrize("steps", range(4))
async def test_a_batch_that_is_cancelled_before_its_lines_is_cancelled(
    bench: Bench, steps: int
) -> None:
    """At whichever point of its validation: nothing is asked, and there are no files of it."""
    async with bench.service() as service:
        begun = begin(service, map(line, prompts(3)))
        for _ in range(steps):
            await asyncio.sleep(0)
        service.cancel(begun.id, ANN)
        batch = await ended(service, begun.id)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert bench.asker.asked == []


async def test_no_more_lines_are_in_memory_than_are_asked(bench: Bench) -> None:
    """However many batches there are: the lines of those that wait for a place are not read."""
    pad = "x" * 50_000
    bodies = [{"prompt": f"q{n}", "pad": pad} for n in range(PLACES)]
    content = [line(f"q{n}", body=body) for n, body in enumerate(bodies)]
    waits = [Wait() for _ in range(PLACES)]
    for number, wait in enumerate(waits):
        bench.asker.enqueue(f"q{number}", wait)
    async with bench.service() as service:
        for _ in range(4):
            begin(service, content)
        tracemalloc.start()
        await asyncio.gather(*(wait.arrived.wait() for wait in waits))
        await until(lambda: {b.status for _, b in service.store.open_batches()} == {"in_progress"})
        for _ in range(10):
            await asyncio.sleep(0)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert held < 2 * PLACES * len(pad)


async def test_a_key_beyond_its_share_begins_no_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the same file is asked for, what it writes takes room."""
    monkeypatch.setattr(store, "SHARE_LIMIT", 1)
    async with bench.service() as service:
        with pytest.raises(PayloadTooLarge, match="delete some"):
            begin(service, [line("q")])
    assert bench.asker.asked == []


async def test_a_key_has_only_so_many_open_batches(bench: Bench) -> None:
    """Another key's do not count."""
    async with bench.service() as service:
        for _ in range(MOST_OPEN):
            begin(service, [line("q")])
        with pytest.raises(Overloaded, match="wait for one"):
            begin(service, [line("q")])
        begin(service, [line("q")], BEN)


async def test_a_bug_ends_its_batch_and_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody polls for ever for a batch that nothing works at; the others go on."""
    async with bench.service() as service:
        broken = begin(service, [line("no prompt", body={})])
        fine = begin(service, [line("q")])
        batch = await ended(service, broken.id)
        assert (await ended(service, fine.id)).status == "completed"
    assert (batch.status, batch.errors and batch.errors.data[0].code) == (
        "failed",
        "internal_error",
    )
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"]


async def test_a_line_that_cannot_be_read_gives_its_place_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next batch would wait for ever."""
    monkeypatch.setattr(module, "PLACES", 1)

    def damaged(*_: object) -> None:
        raise InvalidInput("damaged")

    async with bench.service() as service, asyncio.timeout(20):
        with monkeypatch.context() as patch:
            patch.setattr(module, "parsed", damaged)
            assert (await ended(service, begin(service, [line("q")]).id)).status == "failed"
        assert (await ended(service, begin(service, [line("q")]).id)).status == "completed"


async def test_a_batchs_line_counts_once_by_how_it_ended(bench: Bench) -> None:
    """However often it was asked; and both outcomes are there from the start."""

    def counted() -> list[float | None]:
        name = "galen_server_batch_lines_total"
        return [bench.registry.get_sample_value(name, {"outcome": how}) for how in ("ok", "failed")]

    bench.asker.enqueue("b", Reply(503), Reply(200))
    bench.asker.enqueue("c", Reply(400))
    async with bench.service() as service:
        assert counted() == [0, 0]
        await ended(service, begin(service, map(line, "abc")).id)
        assert counted() == [2, 1]
