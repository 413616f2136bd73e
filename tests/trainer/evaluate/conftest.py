"""A policy server of two versions and a real judge, for evaluations and comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from judge.settings import JudgeSettings
from tests.fakes.rendering_server import RenderingServer
from tests.fakes.served_judge import served
from trainer.evaluate.evaluate import Plan
from trainer.evaluate.serving import Access
from trainer.evaluate.suite import Suite

SuiteMaker = Callable[..., Suite]
PlanMaker = Callable[..., Plan]


@pytest.fixture
def server() -> Iterator[RenderingServer]:
    """It knows `base`, which serves, and `new`."""
    with RenderingServer() as server:
        server.know("new")
        yield server


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a judge with the shipped rubrics and the mock teacher."""
    database = tmp_path_factory.mktemp("judge") / "judge.sqlite3"
    with served(JudgeSettings(database_url=f"sqlite:///{database}", readers=0)) as url:
        yield url


@pytest.fixture
def make_suite(tmp_path: Path) -> SuiteMaker:
    """A suite on rows of its own."""

    def make(rows: Sequence[Mapping[str, Any]], **changes: Any) -> Suite:
        path = tmp_path / f"{changes.get('name', 'own')}-rows.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
        fields = {"name": "own", "description": "for a test", "data": (path,), **changes}
        return Suite.model_validate(fields)

    return make


@pytest.fixture
def make_plan(tmp_path: Path, server: RenderingServer, judge: str) -> PlanMaker:
    def make(models: Sequence[str], *suites: Suite, **changes: Any) -> Plan:
        access = Access(server=server.url, concurrency=2, runs=tmp_path / "runs")
        fields = {"out": tmp_path / "out", "access": access, "judge": judge, **changes}
        return Plan(models=tuple(models), suites=suites, **fields)

    return make
