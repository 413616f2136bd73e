"""`galen data tag`: meta by rules, and by a teacher that may be wrong or stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.data import app
from tests.fakes.chat_server import ChatServer, Said

ANSWER = {"risk_level": "high", "specialty": "产科", "complexity": 2, "lang_style": "口语"}
ROWS: list[dict[str, Any]] = [
    {"instruction": "你是医生", "input": "鼻子堵怎么办？", "output": "多喝水。"},
    {
        **{"instruction": "你是医生", "input": "头痛怎么办？", "output": "多休息。"},
        "meta": {"risk_level": "medium"},
    },
]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.usual = lambda question: Said(json.dumps(ANSWER))
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    return path


def run(source: Path, server: ChatServer | None) -> tuple[Result, list[dict[str, Any]]]:
    out = source.with_name("out.jsonl")
    teacher = ["--teacher", f"{server.url}/v1", "--model", "m"] if server else []
    done = CliRunner().invoke(app, ["tag", str(source), str(out), *teacher])
    return done, [json.loads(line)["meta"] for line in out.read_text("utf-8").splitlines()]


def test_every_row_gets_meta_by_rules(source: Path) -> None:
    """What a row brings stays, and the row keeps its words."""
    done, metas = run(source, None)
    assert done.exit_code == 0
    assert [meta["risk_level"] for meta in metas] == ["low", "medium"]
    assert [meta["source"] for meta in metas] == ["in", "in"]


def test_a_teacher_decides_what_a_row_does_not_bring(source: Path, server: ChatServer) -> None:
    """Four fields; none is written that the row has already."""
    done, metas = run(source, server)
    assert done.exit_code == 0
    assert [meta["risk_level"] for meta in metas] == ["high", "medium"]
    assert [meta["specialty"] for meta in metas] == ["产科", "产科"]
    assert "2 rows, 2 by the teacher" in done.stdout
    assert not source.with_name("out.jsonl.partial").exists()


def test_the_rules_decide_where_the_teacher_fails(source: Path, server: ChatServer) -> None:
    """No guess is made of an answer in another form, and what was paid for is kept."""
    server.usual = lambda question: Said("不知道" if "鼻子" in question else json.dumps(ANSWER))
    done, metas = run(source, server)
    assert [meta["specialty"] for meta in metas] == ["耳鼻喉科", "产科"]
    assert "Failed:  1 rows" in done.stdout
    asked = len(server.requests)
    server.usual = lambda question: Said(json.dumps(ANSWER))
    done, metas = run(source, server)
    assert [meta["specialty"] for meta in metas] == ["产科", "产科"]
    assert len(server.requests) == asked + 1
