"""Laws of reading one exact result out of an answer."""

from __future__ import annotations

import pytest

from trainer.evaluate.extract import same


@pytest.mark.parametrize(
    ("answer", "reference", "found"),
    [
        ("12", "12", True),
        ("答案：12", "12", True),
        ("先算 3+4=7，再加 5。\n答案：７＋５＝１２。", "12", True),
        ("答案：12个月", "12", True),
        ("答案：12.0", "12", True),
        ("The answer is **1,200**.", "1200", True),
        ("\\boxed{-3}", "-3", True),
        ("答案：12或13", "12", False),
        ("答案：11", "12", False),
        ("答案：3", "-3", False),
        ("答案：星期三。", "星期三", True),
        ("答案：Ｈ２Ｏ", "h2o", True),
        ("答案：星期四", "星期三", False),
        ("我想了很久。\n还是不知道。", "12", None),
        ("", "12", None),
    ],
)
def test_a_result_is_read_as_it_is_stated(answer: str, reference: str, found: bool | None) -> None:
    """Numbers are compared as numbers, texts as texts; what states nothing is unanswered."""
    assert same(answer, reference) is found
