"""What the page asks of the two services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from judge.client import JudgeClient
from server.client import PolicyClient
from tests.fakes.services import FakeJudge, FakePolicyServer, Refusal, Stream, verdict_of
from webui.assistant import Assistant
from webui.settings import WebuiSettings
from webui.text import Reply, Turn


@pytest.fixture
def server() -> Iterator[FakePolicyServer]:
    with FakePolicyServer({"sft": True}, current="sft") as fake:
        yield fake


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with FakeJudge() as fake:
        yield fake


@pytest.fixture
async def assistant(server: FakePolicyServer, judge: FakeJudge) -> AsyncIterator[Assistant]:
    settings = WebuiSettings(max_tokens=64, temperature=0.5, earlier_turns=1)
    async with PolicyClient(server.url) as policy_client, JudgeClient(judge.url) as judge_client:
        yield Assistant(settings, policy_client, judge_client)


async def last_of(assistant: Assistant, question: str = "问", *earlier: Turn) -> Turn:
    return [turn async for turn in assistant.answer(earlier, question, "policy")][-1]


async def test_answer_grows_and_finishes(assistant: Assistant, server: FakePolicyServer) -> None:
    """Every delta is shown as it comes, and only the last turn is finished."""
    server.enqueue_chat(Stream([{"content": "甲"}, {"content": "乙"}]))
    turns = [turn async for turn in assistant.answer((), "问", "policy")]
    assert [turn.reply.content for turn in turns] == ["", "甲", "甲乙", "甲乙", "甲乙"]
    assert [turn.finished for turn in turns] == [False, False, False, False, True]


async def test_request_carries_model_sampling_and_history(
    assistant: Assistant, server: FakePolicyServer
) -> None:
    """What the operator set and the reader picked is what the server is asked."""
    server.enqueue_chat(Stream([{"content": "答"}]))
    await last_of(assistant, "二", Turn("一", Reply(content="甲"), finished=True))
    said = [("user", "一"), ("assistant", "甲"), ("user", "二")]
    assert server.asked("POST", "/v1/chat/completions") == [
        {
            "model": "policy",
            "messages": [{"role": role, "content": content} for role, content in said],
            "max_tokens": 64,
            "temperature": 0.5,
            "stream": True,
        }
    ]


async def test_refusal_becomes_a_problem_of_the_turn(
    assistant: Assistant, server: FakePolicyServer
) -> None:
    """An error is told in words; nothing is raised at the reader."""
    server.enqueue_chat(Refusal(400, "the prompt is too long"))
    turn = await last_of(assistant)
    assert not turn.finished
    assert turn.problem is not None
    assert "the prompt is too long" in turn.problem.en


async def test_stream_without_an_end_is_no_answer(
    assistant: Assistant, server: FakePolicyServer
) -> None:
    """A stream that just stops keeps its words but is not taken for finished."""
    server.enqueue_chat(Stream([{"content": "一半"}], finish_reason=""))
    turn = await last_of(assistant)
    assert (turn.reply.content, turn.finished) == ("一半", False)
    assert turn.problem is not None


async def test_closing_the_answer_hangs_up(assistant: Assistant, server: FakePolicyServer) -> None:
    """The server sees the hang-up, and so can stop generating."""
    stream = Stream([{"content": "一半"}], hold=True)
    server.enqueue_chat(stream)
    async with aclosing(assistant.answer((), "问", "policy")) as growing:
        async for turn in growing:
            if turn.reply.content:
                break
    assert stream.hung_up.wait(timeout=60)


async def test_question_that_no_json_can_hold_is_cleaned(
    assistant: Assistant, server: FakePolicyServer, judge: FakeJudge
) -> None:
    """NUL and lone surrogates reach neither service."""
    server.enqueue_chat(Stream([{"content": "答\x00"}]))
    judge.enqueue(verdict_of("", {}))
    turn = await last_of(assistant, "问\ud800\x00")
    await assistant.judge(turn)
    item = judge.asked("POST", "/v1/score")[0]["items"][0]
    assert (item["prompt"], item["response"]) == ("问\ufffd\ufffd", "答\ufffd")


async def test_an_answer_and_its_verdict_share_a_request_id(
    assistant: Assistant, server: FakePolicyServer, judge: FakeJudge
) -> None:
    """Another question has another, so that the logs tell each one's story."""
    for _ in range(2):
        server.enqueue_chat(Stream([{"content": "答"}]))
        judge.enqueue(verdict_of("", {}, reward=1.0))
        await assistant.judge(await last_of(assistant))
    asked = [request.headers["X-Request-Id"] for request in server.requests]
    assert asked == [request.headers["X-Request-Id"] for request in judge.requests]
    assert len(set(asked)) == 2


async def test_judge_is_asked_by_the_settings_rubric(
    assistant: Assistant, judge: FakeJudge
) -> None:
    """The whole completion goes to the judge, thinking included; its verdict comes back."""
    judge.enqueue(verdict_of("", {}, reward=-1.0))
    result = await assistant.judge(Turn("问", Reply("想", "答"), finished=True))
    body = judge.asked("POST", "/v1/score")[0]
    assert (body["rubric"], body["teacher"]) == ("medical-safety", "optional")
    assert body["items"][0]["response"] == "<think>\n想\n</think>\n\n答"
    assert result.reward == -1.0


async def test_two_models_answer_beside_each_other(
    assistant: Assistant, server: FakePolicyServer
) -> None:
    """Each on its side, although the other one is still writing; one that fails says so there."""
    slow = Stream([{"content": "甲"}], hold=True)
    server.enqueue_chat(slow, Refusal(503, "no engine"))
    async with aclosing(assistant.answers("问", ("policy", "base"))) as growing:
        async for pair in growing:
            if any(turn.problem for turn in pair) and any(turn.reply.content for turn in pair):
                slow.release.set()
    assert sorted((turn.reply.content, turn.finished) for turn in pair) == [
        ("", False),
        ("甲", True),
    ]
    asked = server.asked("POST", "/v1/chat/completions")
    assert {body["model"] for body in asked} == {"policy", "base"}


async def test_a_closed_comparison_ends_both_answers(
    assistant: Assistant, server: FakePolicyServer
) -> None:
    """A reader who leaves stops both generations."""
    streams = [Stream([{"content": "甲"}], hold=True) for _ in range(2)]
    server.enqueue_chat(*streams)
    async with aclosing(assistant.answers("问", ("policy", "policy"))) as growing:
        async for left, right in growing:
            if left.reply.content and right.reply.content:
                break
    for stream in streams:
        assert stream.hung_up.wait(10)
