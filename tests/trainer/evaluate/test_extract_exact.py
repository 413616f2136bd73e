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
        ("答案：\n12", "12", True),
        ("答案：12\n检查结果无误", "12", True),
        ("答案：12\n验算结果：无误", "12", True),
        ("答案：12\n验算：9+3=12，答案是正确的。", "12", True),
        ("答案：12\n这个答案无误。", "12", True),
        ("最后一行只写“答案：”和结果。\n\n答案：12", "12", True),
        ("计算过程略。\n结果：12", "12", True),
        ("计算结果为 12。\n完毕。", "12", True),
        ("答案：12 (即 3×4)", "12", True),
        ("答案：12 = 3×4", "12", True),
        ("答案：12，因为有3组。", "12", True),
        ("答案：12, 13", "12", False),
        ("【答案】：12", "12", True),
        ("\\boxed{答案：12}", "12", True),
        ("<answer>12</answer>", "12", True),
        ("The answer to 3+9 is 12.", "12", True),
        ("I checked the result.\nAnswer:\n12", "12", True),
        ("答案：星期三（周三）", "星期三", True),
        ("答案：f(x)", "f(x)", True),
        ("答案：\n", "12", None),
        ("最后一行只写“答案：”和结果。\n\n我不知道。", "12", None),
    ],
)
def test_a_result_is_read_as_it_is_stated(answer: str, reference: str, found: bool | None) -> None:
    """Numbers are compared as numbers, texts as texts; what states nothing is unanswered."""
    assert same(answer, reference) is found
