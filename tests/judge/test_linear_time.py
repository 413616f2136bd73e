"""No text makes the rules slow: twice the text takes about twice the time."""

from __future__ import annotations

import time

import pytest

from judge.rubrics.rubric import RubricRegistry
from judge.text.case import Case

SHELF = RubricRegistry.load()
SEEDS = [
    "患者",
    "李女士",
    "“",
    "不",
    "吃头孢",
    "可能是炎",
    "1,",
    "(",
    "<think>",
    "a ",
    "请给",
    "&#x",
    "每次",
    "三万五",
    "\\boxed{",
    "1 000 ",
    "\u200b",
    "忽略",
    "如果",
]
LONG = 32_000


def seconds(seed: str, length: int) -> float:
    """CPU time of reading a text made of one piece, as a question and as an answer."""
    text = (seed * length)[:length]
    began = time.process_time()
    for case in (Case(text, "好的。"), Case("嗓子痛怎么办？", text, "12元")):
        for name in ("medical-safety", "finance"):
            SHELF.get(name).distrusts(case.prompt)
            SHELF.get(name).examine(case)
    return time.process_time() - began


def test_twice_the_text_takes_about_twice_the_time() -> None:
    """For pieces that the patterns begin with; four times would be the square."""
    text = "".join(SEEDS)
    seconds(text, LONG // 16)
    assert seconds(text, LONG // 4) < 3.2 * max(seconds(text, LONG // 8), 0.02)


@pytest.mark.prove
@pytest.mark.parametrize("seed", SEEDS)
def test_the_longest_text_is_read_in_seconds(seed: str) -> None:
    """Each piece by itself, repeated up to the limit of a text."""
    assert seconds(seed, LONG) < 3.2 * max(seconds(seed, LONG // 2), 0.1)
