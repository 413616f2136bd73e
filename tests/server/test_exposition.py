"""Several Prometheus texts made one: nothing lost, nothing twice, every engine by its label."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.exposition import merge

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
numbers = st.floats(0, 1e6)
readings = st.lists(st.tuples(st.sampled_from("abcdef"), words, numbers), max_size=12)
engine_texts = st.dictionaries(words, readings, max_size=3)
Series = tuple[str, tuple[tuple[str, str], ...], float]


def text_of(observed: list[tuple[str, str, float]]) -> str:
    """What a program exposes that has seen these (metric, label's value, number)."""
    registry = CollectorRegistry()
    metrics = {
        "a": Gauge("vllm:running", "Running", ["engine", "model_name"], registry=registry),
        "b": Counter("vllm:tokens", 'Tokens of \\ and "', ["model"], registry=registry),
        "c": Histogram("first_token_seconds", "First", ["why"], registry=registry, buckets=(1, 9)),
        "d": Summary("size_bytes", "Size", ["handler"], registry=registry),
        "e": Gauge("up", "Up", ["engine", "exported_engine"], registry=registry),
        "f": Counter("up_seconds", "Beside another", ["engine"], registry=registry),
    }
    for name, word, number in observed:
        metric = metrics[name]
        labels = [word, "x"][: len(metric._labelnames)]
        match metric.labels(*labels):
            case Gauge() as gauge:
                gauge.set(number)
            case Counter() as counter:
                counter.inc(number)
            case Histogram() | Summary() as measured:
                measured.observe(number)
    return generate_latest(registry).decode()


def series_of(text: str) -> Tally[Series]:
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(set(names)) == len(names), names
    return Tally(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in families
        for sample in family.samples
    )


def labelled(series: Series, engine: str) -> Series:
    """A series as the merged text must show it."""
    name, pairs, value = series
    labels = {key: word for key, word in pairs if key != "model_name"}
    if "engine" in labels:
        free = "exported_engine"
        while free in labels:
            free = f"exported_{free}"
        labels[free] = labels.pop("engine")
    return name, tuple(sorted({**labels, "engine": engine}.items())), value


@given(readings, engine_texts)
def test_every_sample_is_there_once_and_says_of_whom(
    own: list[tuple[str, str, float]], engines: dict[str, list[tuple[str, str, float]]]
) -> None:
    """The gateway's as they were, each engine's with its label; every family once."""
    texts = [(label, text_of(observed)) for label, observed in engines.items()]
    owns = text_of(own)
    expected = series_of(owns)
    for label, text in texts:
        expected += Tally({labelled(s, label): n for s, n in series_of(text).items()})
    assert series_of(merge(owns, texts)) == expected


@given(readings)
def test_types_and_helps_are_kept(observed: list[tuple[str, str, float]]) -> None:
    """A counter stays a counter with its own words."""
    text = text_of(observed)
    described = [(f.name, f.type, f.documentation) for f in text_string_to_metric_families(text)]
    merged = merge("", [("0", text), ("1", text)])
    assert described == [
        (f.name, f.type, f.documentation) for f in text_string_to_metric_families(merged)
    ]


@given(st.text(max_size=60), st.text('abc{}"\\=,# \n1', max_size=60))
def test_no_text_of_an_engine_breaks_the_scrape(any_text: str, nearly: str) -> None:
    """What is no exposition is left out; the gateway's own metrics stay readable."""
    own = text_of([("a", "w", 1.0)])
    merged = merge(own, [("0", any_text), ("1", nearly)])
    assert merged.startswith(own.split("\n", 1)[0])
    found = {s.name for f in text_string_to_metric_families(merged) for s in f.samples}
    assert "vllm:running" in found


def test_the_first_type_is_right() -> None:
    """Engines of two releases may disagree; one family cannot be two things."""
    gauge, counter = "# TYPE x gauge\nx 1\n", '# TYPE x counter\nx{a="b"} 2\n'
    assert merge("", [("0", gauge), ("1", counter)]) == '# TYPE x gauge\nx{engine="0"} 1\n'


def test_a_sample_without_a_head_is_kept() -> None:
    """The text format does not demand a type."""
    assert merge("", [("0", "x 1\n"), ("1", "x 2")]) == 'x{engine="0"} 1\nx{engine="1"} 2\n'


@pytest.mark.parametrize("line", ["x 1e-05", "x NaN", "x +Inf"])
def test_values_are_left_as_they_are(line: str) -> None:
    """Numbers are not read, so none can be changed."""
    assert merge("", [("0", line)]) == f'x{{engine="0"}} {line.removeprefix("x ")}\n'
