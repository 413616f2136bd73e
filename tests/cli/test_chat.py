"""Laws of `galen chat`, held against a policy server that streams what it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.chat import _stream
from cli.main import app
from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.errors import InvalidInput, Unavailable
from tests.fakes.services import FakePolicyServer, Refusal, Stream

ROOT = Path(__file__).parents[2]
DELTAS = (
    {"reasoning": "先想"},
    {"reasoning": "一想"},
    {"content": "\n\n多"},
    {"content": "休息。"},
)


def test_a_question_is_answered_and_remembered() -> None:
    """Each question goes out with the turns before it; answers without their reasoning."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(DELTAS), Stream(DELTAS))
        done = CliRunner().invoke(
            app, ["chat", "--server", server.url, "--model", "policy@sft"], input="头痛\n\n还有呢\n"
        )
        first, second = server.asked("POST", "/v1/chat/completions")
    assert done.exit_code == 0
    assert DISCLAIMER_ZH in done.stdout
    assert DISCLAIMER_EN in done.stdout
    assert first["model"] == "policy@sft"
    assert first["stream"] is True
    assert second["messages"] == [
        {"role": "user", "content": "头痛"},
        {"role": "assistant", "content": "多休息。"},
        {"role": "user", "content": "还有呢"},
    ]


def test_reasoning_stands_apart_from_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, and a blank line parts it from what is said, also where nothing is dim."""
    spoken: list[str] = []
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(DELTAS))
        asyncio.run(_stream(server.url, {"model": "policy", "messages": []}, spoken))
    assert capsys.readouterr().out == "〔思考 thinking〕先想一想\n\n多休息。"
    assert "".join(spoken).strip() == "多休息。"


def test_tags_in_the_content_are_read_as_a_server_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server without a reasoning parser looks the same, wherever its pieces are cut."""
    spoken: list[str] = []
    pieces = [
        {"content": text} for text in ("<thi", "nk>\n先想", "一想</", "think>\n\n多", "休息。")
    ]
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(pieces))
        asyncio.run(_stream(server.url, {"model": "policy", "messages": []}, spoken))
    assert capsys.readouterr().out == "〔思考 thinking〕先想一想\n\n多休息。"
    assert "".join(spoken) == "多休息。"


def test_an_answer_without_a_thought_comes_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A model that does not think shows no sign of a thought."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream([{"content": "多"}, {"content": "休息。"}]))
        asyncio.run(_stream(server.url, {"model": "policy", "messages": []}, []))
    assert capsys.readouterr().out == "多休息。"


def test_a_refusal_is_quoted_and_the_chat_goes_on() -> None:
    """A server that says no costs one turn, which later ones do not carry along."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Refusal(503, "the engine restarts"), Stream(DELTAS))
        done = CliRunner().invoke(app, ["chat", "--server", server.url], input="头痛\n还有呢\n")
        _, second = server.asked("POST", "/v1/chat/completions")
    assert "多休息。" in done.stdout
    assert done.stderr == "the engine restarts\n"
    assert second["messages"] == [{"role": "user", "content": "还有呢"}]


@pytest.mark.parametrize(
    ("answers", "lines", "code"),
    [
        ((Stream(DELTAS), Stream(DELTAS)), "头痛\n还有呢\n", 0),
        ((Refusal(503, "not now"), Stream(DELTAS)), "头痛\n还有呢\n", 1),
        ((Stream(DELTAS), Refusal(503, "not now")), "头痛\n还有呢\n/exit\n", 1),
    ],
    ids=["none", "the first", "the last"],
)
def test_a_script_is_told_that_an_answer_failed(
    answers: tuple[Refusal | Stream, ...], lines: str, code: int
) -> None:
    """With questions from a pipe the exit code is 1, whichever answer it was, after all of them."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(*answers)
        done = CliRunner().invoke(app, ["chat", "--server", server.url], input=lines)
        assert len(server.asked("POST", "/v1/chat/completions")) == 2
    assert done.exit_code == code


def test_in_a_terminal_a_failed_answer_is_no_failed_chat() -> None:
    """The person has read what went wrong, and left of their own accord."""
    ours, theirs = os.openpty()
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Refusal(503, "not now"))
        os.write(ours, "头痛\n/exit\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "chat", "--server", server.url],
            stdin=theirs,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            timeout=60,
            check=False,
        )
    os.close(ours)
    os.close(theirs)
    assert b"not now" in done.stderr
    assert done.returncode == 0


def test_commands_change_the_conversation_and_are_not_said() -> None:
    """A system prompt goes before every question; what is cleared is not sent again."""
    lines = [
        "/system 你是医生",
        "头痛",
        "/clear",
        "发热",
        "/system",
        "咳嗽",
        "/what",
        "/exit",
        "走",
    ]
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(*(Stream(DELTAS) for _ in range(4)))
        done = CliRunner().invoke(app, ["chat", "--server", server.url], input="\n".join(lines))
        sent = [body["messages"] for body in server.asked("POST", "/v1/chat/completions")]
    system = {"role": "system", "content": "你是医生"}
    assert sent == [
        [system, {"role": "user", "content": "头痛"}],
        [system, {"role": "user", "content": "发热"}],
        [{"role": "user", "content": "咳嗽"}],
    ]
    assert done.exit_code == 0
    assert "/clear" in done.stdout  # the help that a wrong command brings


def test_options_and_commands_say_how_it_answers() -> None:
    """A system prompt from the start, and no thought where none is wanted."""
    options = ["--system", "你是医生", "--no-think", "--max-tokens", "9"]
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(DELTAS), Stream(DELTAS))
        lines = "头痛\n/think on\n发热\n"
        done = CliRunner().invoke(app, ["chat", "--server", server.url, *options], input=lines)
        first, second = server.asked("POST", "/v1/chat/completions")
    assert done.exit_code == 0
    assert "policy@sft" in done.stdout
    assert first["messages"][0] == {"role": "system", "content": "你是医生"}
    assert first["max_tokens"] == 9
    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    assert second["chat_template_kwargs"] == {"enable_thinking": True}


def test_without_a_server_it_says_so_before_anything_is_typed() -> None:
    """The address, and what to look at; no prompt."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        gone = server.url
    done = CliRunner().invoke(app, ["chat", "--server", gone], input="头痛\n")
    assert isinstance(done.exception, Unavailable)
    assert gone in done.exception.message
    assert "You>" not in done.stdout


def test_an_unknown_model_is_said_before_anything_is_typed() -> None:
    """With the names that there are; no prompt."""
    with FakePolicyServer({"sft": True, "old": False}, "sft") as server:
        options = ["--server", server.url, "--model", "policy@old"]
        done = CliRunner().invoke(app, ["chat", *options], input="头痛\n")
    assert isinstance(done.exception, InvalidInput)
    assert "policy@sft" in done.exception.message
    assert "You>" not in done.stdout


def test_the_first_lines_name_who_answers() -> None:
    """The model that was asked for, not the current version."""
    with FakePolicyServer({"sft": True, "new": True}, "sft") as server:
        options = ["--server", server.url, "--model", "policy@new"]
        done = CliRunner().invoke(app, ["chat", *options], input="")
    assert "policy@new" in done.stdout
    assert "policy@sft" not in done.stdout


def test_an_answer_that_was_cut_off_says_so() -> None:
    """Else a thought that never ended looks like an answer that never came."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(DELTAS[:1], finish_reason="length"))
        done = CliRunner().invoke(app, ["chat", "--server", server.url], input="头痛\n")
    assert "--max-tokens" in done.stdout


def test_ctrl_c_stops_the_answer_and_not_the_chat() -> None:
    """The generation is cancelled at the server; at the prompt it discards a line and no more."""
    held = Stream(({"content": "很长"},), hold=True)
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(held, Stream(DELTAS))
        with subprocess.Popen(
            [sys.executable, "-u", "-m", "cli.main", "chat", "--server", server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        ) as chat:
            assert chat.stdin is not None
            assert chat.stdout is not None
            chat.stdin.write("头痛\n".encode())
            chat.stdin.flush()
            seen = b""
            while "很长".encode() not in seen:
                seen += chat.stdout.read1()
            chat.send_signal(signal.SIGINT)
            assert held.hung_up.wait(20)
            seen = b""
            while b"You>" not in seen:
                seen += chat.stdout.read1()
            chat.send_signal(signal.SIGINT)
            while b"Ctrl-D" not in seen:
                seen += chat.stdout.read1()
            rest = chat.communicate("还有呢\n".encode(), timeout=60)[0].decode()
    assert chat.returncode == 0
    assert "停止" in seen.decode()
    assert "多休息。" in rest
