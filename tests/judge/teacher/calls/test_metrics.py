"""How a teacher's calls stand, as `/metrics` tells it."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry

from galen.keys import KeyRing
from judge.app import build
from judge.settings import KEY_VARIABLE, JudgeSettings
from judge.teacher.calls.metrics import watch_teacher
from judge.teacher.verdict import Circuit, TeacherState
from tests.fakes.scripted_teacher import ScriptedTeacher


@pytest.mark.parametrize(("circuit", "told"), [("closed", 0.0), ("half_open", 0.5), ("open", 1.0)])
def test_the_gauges_read_the_teacher_as_it_is_now(circuit: Circuit, told: float) -> None:
    """Limit, calls under way, those that wait, circuit and latch, each under its own name."""
    teacher, registry = ScriptedTeacher(), CollectorRegistry()
    watch_teacher(teacher, registry)

    def read(name: str) -> float | None:
        return registry.get_sample_value(f"galen_judge_teacher_{name}")

    assert read("limit") == 0
    teacher.state = TeacherState(limit=4, in_flight=3, waiting=2, circuit=circuit)
    assert [read(name) for name in ("limit", "in_flight", "waiting")] == [4, 3, 2]
    assert (read("circuit"), read("latched")) == (told, 0.0)
    teacher.latched = "no credit"
    assert read("latched") == 1.0


async def test_a_judge_that_is_built_tells_of_its_teacher(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gauges are on the page that is scraped."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    app = build(JudgeSettings(database_url=sqlite_url), KeyRing({}))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        assert "galen_judge_teacher_circuit 0.0" in (await client.get("/metrics")).text
