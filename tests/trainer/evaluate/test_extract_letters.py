"""Laws of reading the chosen letters out of an exam's answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluate.extract import letters

WORDS = ("肝癌", "肝炎", "C反应蛋白升高", "维生素D缺乏", "以上都是")
OPTIONS = dict(zip("ABCDE", WORDS, strict=True))
FILE = Path(__file__).with_name("awkward_answers.txt")


def cases() -> list[tuple[str, str]]:
    lines = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("# ")]
    return [(wanted, answer) for wanted, _, answer in (line.partition("\t") for line in lines)]


def test_there_are_at_least_four_hundred_awkward_answers() -> None:
    """So many spellings are proved, a seventh of them of answers that choose nothing."""
    assert len(cases()) >= 400
    assert sum(wanted == "-" for wanted, _ in cases()) >= 60


@pytest.mark.parametrize(("wanted", "answer"), cases())
def test_letters_are_read_as_they_are_meant(wanted: str, answer: str) -> None:
    """What is chosen is found in any spelling; what is not chosen is not."""
    found = letters(answer.replace("\\n", "\n"), OPTIONS)
    assert (found or "-") == wanted


@given(st.text(alphabet="ABCDEFGab答案是选不或、，。：()\\{}*\n 肝炎or", max_size=60))
def test_whatever_is_written_gives_options_in_order_or_nothing(answer: str) -> None:
    """No answer raises, and no letter comes out that is no option."""
    found = letters(answer, OPTIONS)
    assert found is None or (set(found) <= set(OPTIONS) and "".join(sorted(set(found))) == found)
