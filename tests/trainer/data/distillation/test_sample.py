"""Laws of the stratified sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import DataError
from trainer.data.distillation.sample import quotas, write_sample

COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 50), min_size=1)


@given(COUNTS, st.integers(0, 250), st.booleans())
def test_quotas_add_up_and_no_type_gives_more_than_it_has(
    found: dict[str, int], total: int, even: bool
) -> None:
    """By share or evenly; a total above all rows takes them all."""
    quota = quotas(found, total, even=even)
    assert sum(quota.values()) == min(total, sum(found.values()))
    assert all(0 <= quota[name] <= found[name] for name in found)


@given(COUNTS, st.integers(0, 250))
def test_shares_are_kept_to_less_than_a_row(found: dict[str, int], total: int) -> None:
    """Each type's quota is its share, rounded."""
    whole = sum(found.values())
    total = min(total, whole)
    for name, quota in quotas(found, total).items():
        assert abs(quota - total * found[name] / whole) < 1


@given(COUNTS, st.integers(0, 250))
def test_even_quotas_differ_only_where_a_type_runs_out(found: dict[str, int], total: int) -> None:
    """Types with rows left have the same number but for one row."""
    quota = quotas(found, total, even=True)
    left = [quota[name] for name in found if quota[name] < found[name]]
    assert not left or max(quota.values()) - min(left) <= 1


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    asked = [f"利率{n}%，本金100元，利息多少？" for n in range(30)]
    asked += [f"什么是第{n}类债券？" for n in range(10)]
    path.write_text("".join(json.dumps({"question": q, "id": q}) + "\n" for q in asked), "utf-8")
    return path


def test_a_sample_keeps_the_types_shares(source: Path, tmp_path: Path) -> None:
    """Each row keeps its columns and gets its type and the reason."""
    out = tmp_path / "out.jsonl"
    found = write_sample(source, out, 8)
    assert (found.found, found.taken) == (
        {"calculation": 30, "concept": 10},
        {"calculation": 6, "concept": 2},
    )
    rows = rows_of(out)
    assert [row["type"] for row in rows] == ["calculation"] * 6 + ["concept"] * 2
    assert all(row["id"] == row["question"] and row["type_reason"] for row in rows)


def test_the_same_rows_are_taken_in_any_order(source: Path, tmp_path: Path) -> None:
    """The choice hangs on text and seed, not on a row's place."""
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(source.read_text("utf-8").splitlines())), "utf-8")
    for path, out in ((source, "a.jsonl"), (turned, "b.jsonl")):
        write_sample(path, tmp_path / out, 8)
    write_sample(source, tmp_path / "c.jsonl", 8, seed=1)
    one, two, other = (
        sorted(r["id"] for r in rows_of(tmp_path / f"{name}.jsonl")) for name in "abc"
    )
    assert one == two != other


def test_a_rows_own_type_stays(tmp_path: Path) -> None:
    """A label that somebody gave is worth more than the rules."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"question": "什么是股票？", "type": "quiz"}\n', "utf-8")
    assert write_sample(source, out, None).taken == {"quiz": 1}
    assert rows_of(out)[0]["type"] == "quiz"


def test_a_row_without_a_question_refuses_the_file(tmp_path: Path) -> None:
    """By its line; nothing is written."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"question": "q"}\n{"question": " "}\n', "utf-8")
    with pytest.raises(DataError, match="line 2: question"):
        write_sample(source, out, None)
    assert not out.exists()
