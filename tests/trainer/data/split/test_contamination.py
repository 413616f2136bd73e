"""Laws of decontamination: a shared run is found wherever it lies, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.example import Example, Message
from trainer.data.reader import DataFile
from trainer.data.split import Contamination, Hit
from trainer.data.split.groups import normalised

SHARED = Path(__file__).parents[5] / "shared" / "data"
EXAM = "孕妇39周，于8时临产，12时检查宫口开4厘米，最可能的诊断是什么？"


def says(text: str) -> Example:
    return Example((Message("user", "请看"), Message("assistant", text)))


@given(
    st.text("甲乙丙，", min_size=1, max_size=40),
    st.text("甲乙丙！", min_size=1, max_size=40),
    st.integers(2, 9),
)
def test_a_run_is_found_exactly_where_one_is_shared(row: str, test: str, n: int) -> None:
    """A row is hit if and only if it shares a run of n characters, marks left out."""
    one, other = normalised(row), normalised(test)
    runs = {other[at : at + n] for at in range(len(other) - n + 1)}
    shared = {one[at : at + n] for at in range(len(one) - n + 1)} & runs
    hits = Contamination({"t": [test]}, n).hits(says(row))
    assert bool(hits) is bool(shared)
    assert all(hit.run in shared for hit in hits)


def test_a_hit_names_the_test_set_the_text_and_the_run() -> None:
    """Marks and width hide nothing, and one hit for each text of a test set is reported."""
    found = Contamination({"other": ["无关的一句很长很长的话在这里"], "exam": ["短", EXAM]})
    (hit,) = found.hits(says("见过：孕妇３９周 于８时临产，１２时检查宫口 开４厘米。" * 2))
    assert hit == Hit("exam", 2, "孕妇39周于8时临产12时")
    assert found.too_short == 1


def test_every_part_of_a_row_is_searched() -> None:
    """An answer, a rejected answer and a document give a test text away as well as a question."""
    found = Contamination({"exam": [EXAM]})
    rows = [
        Example((Message("user", EXAM),)),
        Example((Message("user", "问"),), chosen="好", rejected=EXAM),
        Example((Message("user", "问"),), completion=EXAM, liked=True),
        Example(text=EXAM),
    ]
    assert all(found.hits(row) for row in rows)
    half = len(EXAM) // 2
    split = Example((Message("user", EXAM[:7]), Message("assistant", EXAM[7:half])))
    assert not Contamination({"exam": [EXAM[:half]]}).hits(split)


def test_a_few_english_words_in_common_are_no_hit() -> None:
    """13 letters are two words of English, so texts in Latin letters must share far more."""
    test = "The patient presents with acute chest pain radiating to the left arm for two hours."
    found = Contamination({"usmle": [test]})
    assert not found.hits(says("The patient presents with a cough."))
    assert found.hits(says(f"As the book says: {test.upper()}"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data, which is not here")
def test_real_rows_that_quote_an_exam_are_found() -> None:
    """Of 600 real medical rows, those that share a run with 730 exam questions are the same as a
    plain search finds."""
    exam = [
        each.question
        for _, each in DataFile(SHARED / "medical_exam_zh.json").examples()
        if isinstance(each, Example)
    ]
    found = Contamination({"exam": exam})
    runs = {t[at : at + 13] for t in map(normalised, exam) for at in range(len(t) - 12)}
    rows = [row for _, row in DataFile(SHARED / "medical_o1_style.jsonl").examples("conversation")]
    hit = [bool(found.hits(row)) for row in rows if isinstance(row, Example)]
    plain = [
        any(text[at : at + 13] in runs for at in range(len(text) - 12))
        for row in rows
        if isinstance(row, Example)
        for text in ["\0".join(normalised(each.content) for each in row.messages)]
    ]
    assert hit == plain
    assert sum(hit) == 4
