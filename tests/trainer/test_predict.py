"""A file of questions becomes a file of answers, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from galen.errors import Conflict, GalenError, InvalidInput, StorageFull, Unavailable
from server.client import ROLE_HEADER, PolicyClient
from tests.fakes.chat_server import ChatServer, Held, Odd, Said
from tests.fakes.services import Refusal
from tests.fakes.small_disk import small_disk
from trainer.patience import PATIENCE_S, TRIES
from trainer.predict import Options, Prediction, Report

BUSY = Refusal(503, "the engine restarts")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


class Desk:
    """Runs predictions in a folder; `pauses` are the seconds waited, which take no time here."""

    def __init__(self, folder: Path, server: ChatServer) -> None:
        self.source, self.out = folder / "in.jsonl", folder / "out.jsonl"
        self.partial = folder / "out.jsonl.partial"
        self.server = server
        self.pauses: list[float] = []

    def given(self, rows: Sequence[dict[str, Any]]) -> None:
        self.source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def run(
        self,
        options: Options | None = None,
        concurrency: int = 4,
        on_row: Callable[[], None] = lambda: None,
    ) -> Report:
        with Prediction(self.source, self.out, options or Options()) as prediction:
            asyncio.run(self._ask(prediction, concurrency, on_row))
            return prediction.write()

    async def _ask(
        self, prediction: Prediction, concurrency: int, on_row: Callable[[], None]
    ) -> None:
        async with PolicyClient(self.server.url, connections=concurrency) as client:
            await prediction.ask(client, concurrency, on_row, self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]


@pytest.fixture
def desk(tmp_path: Path, server: ChatServer) -> Desk:
    return Desk(tmp_path, server)


def questions(count: int) -> list[dict[str, Any]]:
    return [{"question": f"q{n}"} for n in range(count)]


def test_answers_stand_in_the_files_order(desk: Desk, server: ChatServer) -> None:
    """Whichever came first; each row keeps its fields and names who wrote its answer."""
    slow = Held()
    server.enqueue("q0", slow)
    desk.given([{"id": n, "question": f"q{n}"} for n in range(20)])
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == 19:
            slow.release.set()

    report = desk.run(on_row=count)
    assert desk.rows() == [
        {
            "id": n,
            "question": f"q{n}",
            "reasoning": "想",
            "answer": f"re: q{n}",
            "finish_reason": "stop",
            "model": "policy@v1",
        }
        for n in range(20)
    ]
    assert report == Report(20, 0, {"policy@v1": 20})
    assert not desk.partial.exists()


def test_options_go_into_every_request(desk: Desk, server: ChatServer) -> None:
    """And nothing that was not asked for."""
    desk.given(questions(1))
    desk.run(Options(model="policy@v1", system="be brief", max_tokens=9, temperature=0.0, seed=4))
    assert server.requests[-1].headers[ROLE_HEADER] == "rollout"  # people go first
    assert server.asked("POST", "/v1/chat/completions") == [
        {
            "model": "policy@v1",
            "max_tokens": 9,
            "temperature": 0.0,
            "seed": 4,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "q0"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("said", "reasoning", "answer"),
    [
        (Said("\n\n答", "想"), "想", "答"),
        (Said(None, "想不完", "length"), "想不完", ""),
        (Said("<think>\n想\n</think>\n\n答"), "想", "答"),
        (Said("答"), "", "答"),
        (Said("The tag </think> ends a thought."), "", "The tag </think> ends a thought."),
    ],
)
def test_reasoning_stands_apart_from_the_answer(
    desk: Desk, server: ChatServer, said: Said, reasoning: str, answer: str
) -> None:
    """Also where the server did not part them, and where the thought was cut off."""
    server.enqueue("q0", said)
    desk.given(questions(1))
    desk.run()
    (row,) = desk.rows()
    assert (row["reasoning"], row["answer"]) == (reasoning, answer)
    assert row["finish_reason"] == said.finish_reason


def test_a_field_of_the_rows_own_is_not_lost(desk: Desk) -> None:
    """One that has the name of a result's moves under `given`."""
    desk.given([{"question": "q0", "answer": "gold", "model": 7}])
    desk.run()
    (row,) = desk.rows()
    assert row["answer"] == "re: q0"
    assert row["given"] == {"answer": "gold", "model": 7}


def test_a_stopped_run_goes_on_where_it_was(desk: Desk, server: ChatServer) -> None:
    """What was answered is not asked again, and the result is that of one run."""
    desk.given(questions(10))
    server.enqueue("q4", Refusal(401, "no valid key"))
    with pytest.raises(GalenError):
        desk.run(concurrency=1)
    assert server.questions == ["q0", "q1", "q2", "q3", "q4"]
    assert not desk.out.exists()
    server.requests.clear()
    desk.run(concurrency=1)
    assert server.questions == [f"q{n}" for n in range(4, 10)]
    assert [row["answer"] for row in desk.rows()] == [f"re: q{n}" for n in range(10)]


def test_a_torn_result_is_asked_again(desk: Desk, server: ChatServer) -> None:
    """A kill in the middle of a write costs that row alone."""
    desk.given(questions(3))
    server.enqueue("q2", Refusal(401, "no valid key"))
    with pytest.raises(GalenError):
        desk.run(concurrency=1)
    desk.partial.write_bytes(desk.partial.read_bytes()[:-5])
    server.requests.clear()
    desk.run(concurrency=1)
    assert server.questions == ["q1", "q2"]
    assert [row["answer"] for row in desk.rows()] == ["re: q0", "re: q1", "re: q2"]


@pytest.mark.parametrize("change", ["input", "option"])
def test_other_work_is_not_mixed_in(desk: Desk, server: ChatServer, change: str) -> None:
    """Other rows or other options under the same name are refused, and what is kept stays."""
    desk.given(questions(3))
    server.enqueue("q2", Refusal(401, "no valid key"))
    with pytest.raises(GalenError):
        desk.run(concurrency=1)
    kept = desk.partial.read_bytes()
    if change == "input":
        desk.given(questions(4))
    options = Options(temperature=0.1) if change == "option" else Options()
    with pytest.raises(Conflict, match="another input or under other options"):
        desk.run(options)
    assert desk.partial.read_bytes() == kept


def test_a_result_is_never_overwritten(desk: Desk, server: ChatServer) -> None:
    """A file that is complete is somebody's work."""
    desk.given(questions(1))
    desk.run()
    server.requests.clear()
    with pytest.raises(Conflict, match="is there already"):
        desk.run()
    assert server.requests == []


def test_a_refused_row_keeps_its_place(desk: Desk, server: ChatServer) -> None:
    """With the reason; the others are answered, and a later run asks that row alone."""
    server.enqueue("q1", Refusal(400, "the prompt is too long"))
    desk.given(questions(3))
    assert desk.run() == Report(2, 1, {"policy@v1": 2})
    assert desk.rows()[1] == {"question": "q1", "error": "the prompt is too long"}
    server.requests.clear()
    assert desk.run() == Report(3, 0, {"policy@v1": 3})
    assert server.questions == ["q1"]
    assert desk.rows()[1]["answer"] == "re: q1"
    assert not desk.partial.exists()


@pytest.mark.parametrize("failure", [Refusal(500, "engine error"), Odd({}), Odd([]), Odd(7)])
def test_a_failure_is_tried_again_before_it_counts(
    desk: Desk, server: ChatServer, failure: Refusal | Odd
) -> None:
    """A row that always fails must come to an end."""
    server.enqueue("q0", failure)
    server.enqueue("q1", *[failure] * TRIES)
    desk.given(questions(2))
    assert desk.run() == Report(1, 1, {"policy@v1": 1})
    assert server.questions.count("q1") == TRIES


def test_a_busy_server_is_waited_for(desk: Desk, server: ChatServer) -> None:
    """Longer each time; a restart of the engine costs no row."""
    server.enqueue("q0", *[BUSY] * 7)
    desk.given(questions(1))
    assert desk.run().answered == 1
    assert desk.pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_server_that_stays_away_ends_the_run(desk: Desk, server: ChatServer) -> None:
    """The rows that are answered are kept, no row is blamed, and the next run goes on."""
    desk.given(questions(3))
    server.enqueue("q0", Said("re: q0"))
    server.refusal, server.ready = BUSY, False
    with pytest.raises(Unavailable, match="restarts"):
        desk.run(concurrency=1)
    assert sum(desk.pauses) >= PATIENCE_S
    server.requests.clear()
    server.refusal, server.ready = None, True
    assert desk.run() == Report(3, 0, {"policy@v1": 3})
    assert sorted(server.questions) == ["q1", "q2"]


def test_a_row_that_only_it_is_refused_for_long_fails(desk: Desk, server: ChatServer) -> None:
    """The server answers others, so it is the row."""
    server.enqueue("q0", *[BUSY] * 50)
    desk.given(questions(2))
    assert desk.run() == Report(1, 1, {"policy@v1": 1})


def test_an_unknown_model_is_found_out_before_the_first_row(desk: Desk, server: ChatServer) -> None:
    """With the names that there are, and nothing is left behind."""
    desk.given(questions(3))
    with pytest.raises(InvalidInput, match="there are: policy, policy@v1"):
        desk.run(Options(model="gpt-4"))
    assert server.questions == []
    assert not desk.partial.exists()


def test_a_server_that_is_not_there_is_told_at_once(desk: Desk, tmp_path: Path) -> None:
    """Without a wait, and nothing is left behind."""
    with ChatServer() as gone:
        desk.server = gone
    desk.given(questions(3))
    with pytest.raises(Unavailable, match="cannot reach"):
        desk.run()
    assert (desk.pauses, desk.partial.exists()) == ([], False)


def test_a_full_disk_ends_the_run_and_loses_nothing(desk: Desk, server: ChatServer) -> None:
    """Every answer that was kept is kept; with room again the run goes on."""
    desk.given(questions(50))
    with small_disk(3000), pytest.raises(StorageFull):
        desk.run()
    asked = len(server.questions)
    assert desk.run().answered == 50
    assert len(server.questions) <= 50 + 4
    assert asked < 50


def test_an_output_that_cannot_be_written_costs_no_answer(desk: Desk, server: ChatServer) -> None:
    """The answers fit and the file does not: with room again nothing is asked."""
    desk.given([{"question": f"q{n}", "note": "x" * 1000} for n in range(10)])
    with small_disk(5000), pytest.raises(StorageFull):
        desk.run()
    assert not desk.out.exists()
    server.requests.clear()
    assert desk.run().answered == 10
    assert server.questions == []
