"""Where a response states its final answer, and where it states none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.stated_answer import final_answer


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("<answer>800万元</answer>", "800万元"),
        ("好的。\n<answer>\n 800 \n</answer>\n", "800"),
        ("<answer>700</answer> 更正：<answer>800</answer>", "800"),
        ("<answer>营收为 \\boxed{800} 万元，比上年少 200 万元</answer>", "800万元"),
        ("<answer>计算如下：\n1000/1.25\n最终答案：800</answer>", "800"),
        ("先算 1000/1.25。\n所以 \\boxed{\\frac{3}{8}} 元。", "\\frac{3}{8}元"),
        ("\\boxed{1}，更正 \\boxed{2}", "2"),
        ("\\boxed{1} 而 \\boxed{2", "1"),
        ("解：先求和。\n答案：800万元。解析：按 25% 增长。", "800万元"),
        ("过程略\n最终答案是 **800万元**", "800万元**"),
        ("**最终答案**：800", "800"),
        (
            "Step 1: 5.\nTherefore, the answer is **$630**.  \n\nTherefore, the answer is 631.",
            "631",
        ),
        ("Sum: 5\n**Final Answer:**\n17.90%", "17.90%"),
        ("Sum: 5\n**Final Answer**\nThe answer is 17.90% here. Because 3.", "17.90% here"),
        ("so it grows\n#### 42", "42"),
        ("800万元", "800万元"),
        ("  1264-1264/(1+0.145)=160.1\n", "1264-1264/(1+0.145)=160.1"),
    ],
)
def test_the_answer_is_where_it_is_marked(text: str, stated: str) -> None:
    """Tags, then a box with its unit, then words that announce it, then a single line; the last
    one counts."""
    found = final_answer(text)
    assert found is not None
    assert found.text == stated
    assert stated.startswith(text[slice(*found.span)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n ",
        "<answer></answer>",
        "<answer>800",
        "<answer>700</answer> <answer>80",
        "先算 1000/1.25。\n得到 800。",
        "长" * 601,
        "答案是什么？\n先看题目。",
    ],
)
def test_no_answer_is_taken_from_text_that_states_none(text: str) -> None:
    """A cut-off answer is none, and the last number of a long text is not taken for one."""
    assert final_answer(text) is None


@given(
    st.lists(
        st.sampled_from(
            [
                "<answer>",
                "</answer>",
                "\\boxed{",
                "}",
                "答案：",
                "the answer is ",
                "8",
                "\n",
                "。",
                "**",
            ]
        ),
        max_size=20,
    ).map("".join)
)
def test_every_span_marks_the_answers_words(text: str) -> None:
    """Whatever the marks and their order, the span is where the words are."""
    if found := final_answer(text):
        assert text[slice(*found.span)] == found.text
        assert found.text == found.text.strip() != ""
