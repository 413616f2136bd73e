"""The engines' metrics: one text, every sample with its engine's label."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from server.engine_metrics import labelled


def samples_of(text: str) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(text)
    return [(s.name, s.labels, s.value) for family in families for s in family.samples]


def test_a_sample_bears_its_engines_label_and_none_of_its_own_names() -> None:
    """Its number is the same for all engines; its name for the weights is new at each start."""
    text = (
        "# HELP vllm:waits_total Waits {of} all.\n# TYPE vllm:waits_total counter\n"
        'vllm:waits_total{engine="0",model_name="engine-4f2a",reason="full, {1}"} 3.0\n'
        'vllm:waits_total{reason="none",model_name="engine-4f2a"} 4.0\nup 1.0\n'
    )
    assert samples_of(labelled(text, "http://a:8000")) == [
        ("vllm:waits_total", {"engine": "http://a:8000", "reason": "full, {1}"}, 3.0),
        ("vllm:waits_total", {"engine": "http://a:8000", "reason": "none"}, 4.0),
        ("up", {"engine": "http://a:8000"}, 1.0),
    ]
