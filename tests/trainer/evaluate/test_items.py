"""Laws of reading an exam's rows."""

from __future__ import annotations

from typing import Any

import pytest

from galen.errors import DataError
from tests.trainer.evaluate.conftest import SuiteMaker
from trainer.evaluate import items

OPTIONS = ["aspirin", "vitamin C", "C反应蛋白", "5"]
EXAM = {"scorer": "exam", "measures": {"right": {}}}


def row(answer: Any, options: Any = OPTIONS) -> dict[str, Any]:
    return {"question": "哪个？", "options": options, "answer": answer}


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("B", "B"),
        ("b", "B"),
        ("（Ｂ）", "B"),
        ("CA", "AC"),
        ("A、C", "AC"),
        (["C", "A"], "AC"),
        ({"answer": "A"}, "A"),
        (1, "B"),
        ("Aspirin", "A"),
        ("B. vitamin C", "B"),
        ("A. aspirin; C. C反应蛋白", "AC"),
        ("C反应蛋白", "C"),
        ("5", "D"),
    ],
)
def test_a_reference_is_letters_or_an_option(
    make_suite: SuiteMaker, answer: Any, letters: str
) -> None:
    """Letters alone or with their own options, one option's text, or the place of one."""
    (item,) = items.load(make_suite([row(answer)], **EXAM))
    assert item.reference == letters


@pytest.mark.parametrize(
    "bad",
    [
        *map(row, ["A或B", "A/B", "Because", "B. aspirin", "vitamin", "E", "", "7", 4, None, True]),
        row("AB", ["O", "A", "AB", "B"]),
        row("A", [f"option {n}" for n in range(11)]),
        row("A", [{"A": "aspirin"}, "vitamin C"]),
        row("A", [None, "vitamin C"]),
        row("A", "\n".join(f"{letter}. x" for letter in "ABCDEFGHIJK")),
    ],
)
def test_what_fits_nothing_is_refused_with_its_place(
    make_suite: SuiteMaker, bad: dict[str, Any]
) -> None:
    """No reference is guessed and no option left out: the file and the line are named."""
    with pytest.raises(DataError, match=r"own-rows\.jsonl[\s\S]*line 2"):
        items.load(make_suite([row("A"), bad], **EXAM))
