"""Laws of distillation: what a teacher says is kept at once, and learnt only in its form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Conflict, DataError, Forbidden, InvalidInput, NotFound, Unavailable
from galen.errors import UpstreamFailed as Upstream
from judge.rules.finance import finance_format
from judge.text.case import Case
from tests.fakes.chat_server import ChatServer, Odd, Said
from tests.fakes.services import Refusal
from trainer.data.distillation.distil import FORM, IN_A_ROW, Distillation, Options, Report, fault_of
from trainer.data.distillation.teacher import PATIENCE_S, Teacher, Usage
from trainer.data.reader import DataFile

USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_cache_hit_tokens": 40}


def good(question: str) -> Said:
    return Said(f"<think>想{question}</think><answer>{question}!</answer>", usage=USAGE)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.usual = good
        yield server


class Desk:
    """Distils files in a folder; `pauses` are the seconds waited, which take no time here."""

    def __init__(self, folder: Path, server: ChatServer) -> None:
        self.source, self.out = folder / "in.jsonl", folder / "out.jsonl"
        self.partial, self.aside = folder / "out.jsonl.partial", folder / "out.unusable.jsonl"
        self.server = server
        self.pauses: list[float] = []
        self.used: list[Usage] = []

    def given(self, *rows: dict[str, Any]) -> None:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.source.write_text("".join(lines), "utf-8")

    def run(self, concurrency: int = 4, **options: Any) -> Report:
        chosen = Options(model="deep", **options)
        with Distillation(self.source, self.out, chosen, self._price) as work:
            asyncio.run(self._ask(work, concurrency))
            return work.write()

    async def _ask(self, work: Distillation, concurrency: int) -> None:
        url = f"{self.server.url}/v1"
        async with Teacher(url, "deep", None, deadline_s=60, connections=9) as teacher:
            ask = teacher.ask
            teacher.ask = lambda messages, options: ask(messages, options, self._pause)  # type: ignore[method-assign]
            await work.ask(teacher, concurrency, lambda: None)

    def _price(self, used: Usage) -> float:
        self.used.append(used)
        return used.prompt / 1000 + used.completion

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def desk(tmp_path: Path, server: ChatServer) -> Desk:
    return Desk(tmp_path, server)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_replies_become_rows_to_learn_from(desk: Desk) -> None:
    """In the file's order, with their columns, the teacher's name, and the right answer."""
    desk.given(*({"question": f"q{n}", "gold_answer": str(n), "type": "concept"} for n in range(9)))
    report = desk.run()
    assert (report.written, report.unusable, report.failed) == (9, {}, 0)
    assert report.cost_usd == pytest.approx(9 * 50.1)
    (_, first), *_ = DataFile(desk.out).examples("conversation")
    assert first.question == "q0"
    assert first.answer == "<think>\n想q0\n</think>\n\n<answer>q0!</answer>"
    assert first.extra == {"gold_answer": "0", "type": "concept", "teacher": "policy@v1"}
    assert [row["gold_answer"] for row in rows_of(desk.out)] == [str(n) for n in range(9)]
    assert not desk.partial.exists()
    assert not desk.aside.exists()


def test_the_teacher_is_asked_for_the_form(desk: Desk, server: ChatServer) -> None:
    """Before the row's own system message, which alone the row keeps."""
    desk.given({"instruction": "be kind", "input": "q", "meta": {"source": "x"}})
    desk.run(max_tokens=7, temperature=0.1, seed=3)
    (body,) = server.asked("POST", "/v1/chat/completions")
    assert body["messages"][0] == {"role": "system", "content": f"{FORM}\n\nbe kind"}
    sent = {"model": "deep", "max_tokens": 7, "temperature": 0.1, "seed": 3}
    assert {name: body[name] for name in sent} == sent
    (row,) = rows_of(desk.out)
    assert (row["instruction"], row["input"]) == ("be kind", "q")


def test_a_rows_own_answer_is_the_right_one(desk: Desk) -> None:
    """A row that has an answer is asked as a question; the answer goes into a column."""
    desk.given({"instruction": "q", "output": "<think>\nt\n</think>\n\n42"})
    desk.run()
    assert rows_of(desk.out)[0]["gold"] == "42"


def test_a_hidden_thought_counts_where_the_content_has_none(desk: Desk, server: ChatServer) -> None:
    """Reasoning models give it apart; one in the content is the one that was asked for."""
    server.enqueue("q0", Said("<answer>a</answer>", "hidden"))
    server.enqueue("q1", Said("<think>open</think>\n<answer>a</answer>", "hidden"))
    desk.given({"question": "q0"}, {"question": "q1"})
    assert desk.run().written == 2
    assert ["hidden" in row["output"] for row in rows_of(desk.out)] == [True, False]


def test_a_reply_without_the_form_is_kept_and_never_learnt(desk: Desk, server: ChatServer) -> None:
    """With its reason; it was paid, so the same command does not ask again."""
    server.enqueue("q0", Said("just text", usage=USAGE))
    server.enqueue("q1", Said("<think>t</think><answer>a</answer>", finish_reason="length"))
    desk.given(*({"question": f"q{n}"} for n in range(3)))
    report = desk.run()
    assert (report.written, report.failed) == (1, 0)
    assert report.unusable == {"<think> is missing": 1, "cut off": 1}
    assert rows_of(desk.aside)[0]["reply"] == "just text"


TWICE = "<answer> stands there more than once"
FAULTS = [
    ("<think>t</think><answer>a</answer>", None),
    ("<think>\nt\n</think>\n\n<answer>\na\n</answer>", None),
    ("t</think><answer>a</answer>", "<think> is missing"),
    ("<think>t<answer>a</answer>", "</think> is missing"),
    ("<think>t</think>a", "<answer> is missing"),
    ("<think>t</think><answer>a", "</answer> is missing"),
    ("<think>t</think><answer>a</answer><answer>b</answer>", TWICE),
    ("<answer>a</answer><think>t</think>", "the tags are out of order or apart"),
    ("<think>t</think>so <answer>a</answer>", "the tags are out of order or apart"),
    ("<think>t</think><answer>a</answer> bye", "text stands outside the tags"),
    ("<think> </think><answer>a</answer>", "the thought or the answer is empty"),
    ("<think>t</think><answer> </answer>", "the thought or the answer is empty"),
]


@pytest.mark.parametrize(("reply", "fault"), FAULTS)
def test_the_form_is_the_judges(reply: str, fault: str | None) -> None:
    """What is learnt is what the judge's rule for the form rewards."""
    assert fault_of(reply) == fault
    assert (finance_format(Case("q", reply), None) is not None) == (fault is None)


WHOLE = ["<think>", "a", "</think>", "<answer>", "b", "</answer>"]
CHANGES = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([*WHOLE, " ", "\n", ""])), max_size=3
)


@given(CHANGES)
def test_any_text_has_the_form_for_both_or_for_neither(changes: list[tuple[int, str]]) -> None:
    """Tags doubled, missing or out of order, with text and white space between them."""
    parts = list(WHOLE)
    for at, piece in changes:
        parts[at : at + (not piece)] = [piece]
    reply = "".join(parts)
    assert (fault_of(reply) is None) == (finance_format(Case("q", reply), None) is not None)


def test_a_busy_endpoint_is_waited_for(desk: Desk, server: ChatServer) -> None:
    """As long as it says, else longer each time."""
    server.enqueue("q", Refusal(429, "slow down", retry_after=7), Refusal(503, "away"))
    desk.given({"question": "q"})
    assert desk.run().written == 1
    assert desk.pauses == [7.0, 2.0]


def test_an_endpoint_that_stays_away_ends_the_command(desk: Desk, server: ChatServer) -> None:
    """After its time; what was paid until then is kept."""
    desk.given({"question": "q0"}, {"question": "q1"})
    server.enqueue("q1", *[Refusal(503, "away")] * 99)
    with pytest.raises(Unavailable, match="run the same command again"):
        desk.run(concurrency=1)
    assert sum(desk.pauses) >= PATIENCE_S
    server.requests.clear()
    server._queued.clear()
    assert desk.run().written == 2
    assert server.questions == ["q1"]


@pytest.mark.parametrize(
    ("status", "error"), [(401, Forbidden), (403, Forbidden), (402, Upstream), (404, NotFound)]
)
def test_what_no_row_can_help_ends_the_command(
    desk: Desk, server: ChatServer, status: int, error: type[Exception]
) -> None:
    """A refused key, no credit, an unknown model: at once, and without the endpoint's words."""
    server.refusal = Refusal(status, "sk-secret")
    desk.given({"question": "q"})
    with pytest.raises(error) as raised:
        desk.run()
    assert "secret" not in str(raised.value)
    assert not desk.partial.exists()


def test_a_refused_row_fails_alone(desk: Desk, server: ChatServer) -> None:
    """It is named, and the same command asks it once more."""
    server.enqueue("q1", Refusal(400, "Content Exists Risk"))
    desk.given(*({"question": f"q{n}", "id": n} for n in range(3)))
    report = desk.run()
    assert (report.written, report.failed) == (2, 1)
    assert rows_of(desk.aside)[0]["reason"] == "status 400: Content Exists Risk"
    server.requests.clear()
    assert desk.run() == Report(3, {}, 0, pytest.approx(3 * 50.1))
    assert server.questions == ["q1"]
    assert not desk.aside.exists()


def test_many_refused_rows_end_the_command(desk: Desk, server: ChatServer) -> None:
    """Then the request is at fault, as with a max_tokens that the endpoint does not allow."""
    server.refusal = Refusal(400, "max_tokens too large")
    desk.given(*({"question": f"q{n}"} for n in range(2 * IN_A_ROW)))
    with pytest.raises(InvalidInput, match="max_tokens too large"):
        desk.run(concurrency=1)
    assert len(server.questions) == IN_A_ROW


def test_refused_rows_between_others_end_nothing(desk: Desk, server: ChatServer) -> None:
    """However many they are: the request itself is sound."""
    desk.given(*({"question": f"q{n}"} for n in range(3 * IN_A_ROW)))
    for n in range(0, 3 * IN_A_ROW, 2):
        server.enqueue(f"q{n}", Refusal(400, "no"))
    report = desk.run(concurrency=1)
    assert report.written == report.failed == 1.5 * IN_A_ROW


def test_an_answer_of_another_shape_ends_the_command(desk: Desk, server: ChatServer) -> None:
    """The address is some other service's."""
    server.enqueue("q", Odd({"hello": 1}))
    desk.given({"question": "q"})
    with pytest.raises(Upstream, match="unknown shape"):
        desk.run()


def test_other_options_never_mix_with_kept_replies(desk: Desk, server: ChatServer) -> None:
    """Nor another input; a finished file is not written over."""
    server.enqueue("q", Refusal(400, "no"))
    desk.given({"question": "q"})
    desk.run()
    with pytest.raises(Conflict, match="other options"):
        desk.run(temperature=0.9)
    desk.run()
    with pytest.raises(Conflict, match="there already"):
        desk.run()


def test_bad_rows_are_refused_before_anything_is_paid(desk: Desk, server: ChatServer) -> None:
    """By line, all in one message."""
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    desk.given({"question": "q"}, {"question": ""}, {"messages": turns})
    with pytest.raises(DataError) as raised:
        desk.run()
    assert [p.split(":")[0] for p in raised.value.problems] == ["line 2", "line 3"]
    assert not server.requests


@pytest.mark.parametrize("url", ["localhost:8000", "https://key@host/v1", "ftp://host"])
def test_a_wrong_address_is_refused(url: str) -> None:
    """Before anything is read; a key in it is not repeated."""
    with pytest.raises(InvalidInput) as raised:
        Teacher(url, "deep", None, deadline_s=1, connections=1)
    assert "key@" not in str(raised.value)


@pytest.mark.parametrize(
    "cached", [{"prompt_cache_hit_tokens": 40}, {"prompt_tokens_details": {"cached_tokens": 40}}]
)
def test_cached_tokens_are_counted_apart(
    desk: Desk, server: ChatServer, cached: dict[str, Any]
) -> None:
    """In DeepSeek's form and in OpenAI's: they cost less."""
    message = {"message": {"content": "<think>t</think><answer>a</answer>"}}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, **cached}
    server.enqueue("q", Odd({"choices": [message], "usage": usage}))
    desk.given({"question": "q"})
    desk.run()
    assert desk.used == [Usage(100, 40, 50)]
