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
    """A blank line parts what was thought from what is said."""
    spoken: list[str] = []
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Stream(DELTAS))
        asyncio.run(_stream(server.url, {"model": "policy", "messages": []}, spoken))
    assert capsys.readouterr().out == "先想一想\n\n多休息。"
    assert "".join(spoken).strip() == "多休息。"


def test_a_refusal_is_quoted_and_the_chat_goes_on() -> None:
    """A server that says no costs one turn, which later ones do not carry along."""
    with FakePolicyServer({"sft": True}, "sft") as server:
        server.enqueue_chat(Refusal(503, "the engine restarts"), Stream(DELTAS))
        done = CliRunner().invoke(app, ["chat", "--server", server.url], input="头痛\n还有呢\n")
        _, second = server.asked("POST", "/v1/chat/completions")
    assert done.exit_code == 0
    assert "the engine restarts" in done.stderr
    assert second["messages"] == [{"role": "user", "content": "还有呢"}]


def test_ctrl_c_stops_the_answer_and_not_the_chat() -> None:
    """The generation is cancelled at the server, and the next question is asked."""
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
            rest = chat.communicate("还有呢\n".encode(), timeout=60)[0].decode()
    assert chat.returncode == 0
    assert "停止" in rest
    assert "多休息。" in rest
