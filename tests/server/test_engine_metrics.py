"""The engines' metrics: one valid text, every sample with its engine's label."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from server.engine_metrics import merged
from tests.server.harness import Running

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
COUNTER = "# HELP vllm:tokens_total Tokens.\n# TYPE vllm:tokens_total counter\n"


def samples_of(text: bytes) -> list[tuple[str, dict[str, str], float]]:
    families = list(text_string_to_metric_families(text.decode()))
    names = [family.name for family in families]
    assert len(set(names)) == len(names), names
    return [(s.name, s.labels, s.value) for family in families for s in family.samples]


def test_every_engine_is_told_apart_and_every_family_is_there_once() -> None:
    """The engine's own name for its weights is hidden: it is new at each start."""
    line = 'vllm:tokens_total{engine="0",model_name="engine-4f2a"} '
    text = merged([("a", f"{COUNTER}{line}3\n"), ("b", f"{COUNTER}{line}4\n")])
    assert samples_of(text) == [
        ("vllm:tokens_total", {"exported_engine": "0", "engine": "a"}, 3.0),
        ("vllm:tokens_total", {"exported_engine": "0", "engine": "b"}, 4.0),
    ]
    assert text.startswith(COUNTER.encode())


@given(words)
def test_any_label_stays_readable(word: str) -> None:
    """Engines are named by their addresses."""
    assert samples_of(merged([(word, "x 1\n")])) == [("x", {"engine": word}, 1.0)]


@pytest.mark.parametrize("broken", ["x{", "<html>", 'x{a="b"} many', "# TYPE x gauge\nx"])
def test_a_text_that_cannot_be_read_is_left_out(broken: str) -> None:
    """The other engines' metrics stay."""
    assert samples_of(merged([("a", broken), ("b", "x 2\n")])) == [("x", {"engine": "b"}, 2.0)]


def test_the_first_type_is_right() -> None:
    """Engines of two releases may disagree; one family cannot be two things."""
    gauge, counter = "# TYPE x gauge\nx 1\n", "# TYPE x histogram\nx_sum 2\n"
    assert samples_of(merged([("a", gauge), ("b", counter)])) == [("x", {"engine": "a"}, 1.0)]


async def test_scrapes_that_come_together_ask_an_engine_once(running: Running) -> None:
    """Reading an engine's metrics costs it and the gateway some tens of milliseconds."""
    running.engine.calls.clear()
    answers = await asyncio.gather(*(running.http.get("/metrics") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert all("vllm:num_requests_running" in answer.text for answer in answers)
    assert running.engine.paths().count("/metrics") == 1
