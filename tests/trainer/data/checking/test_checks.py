"""Laws of the rows that are refused, and of those that only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data.checking.checks import check
from trainer.data.example import Example, Message
from trainer.data.problems import BadRow, Problem
from trainer.data.reader import DataFile

SHARED = Path(__file__).parents[5] / "shared" / "data"
Q, A = Message("user", "头痛怎么办？"), Message("assistant", "多休息。")
S = Message("system", "你是医生。")


def answered(text: str) -> Example:
    return Example((Q, Message("assistant", text)))


def refusal(example: Example) -> str:
    with pytest.raises(BadRow) as caught:
        check(example)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>想", "the thought is not closed"),
        ("<think>\n<think>\n想</think>\n答", "opens a thought twice"),
        ("<think>想\n<think>\n再想</think>答", "opens a thought twice"),
        ("<think>想</think>\n</think>\n答", "closes a thought that is not open"),
        ("<think>想</think>答</think>", "closes a thought that is not open"),
        ("<think>想</think>答<think>再想</think>再答", "holds a second thought"),
        ("<think>想</think>答\n<think>再想", "holds a second thought"),
        ("好的。<think>想</think>答", "text stands before the thought"),
        ("<think>想</think>", "no answer follows the thought"),
        ("<think>想</think> \n\ufeff", "no answer follows the thought"),
        ("想</think>", "no answer follows the thought"),
        ("<think>想</think><answer> </answer>", "no answer follows the thought"),
    ],
)
def test_a_thought_out_of_its_place_is_refused(text: str, said: str) -> None:
    """Wherever the assistant wrote it."""
    for example in (
        answered(text),
        Example((Q, Message("assistant", text), Q, A)),
        Example((Q,), chosen=text, rejected="b"),
        Example((Q,), chosen="a", rejected=text),
        Example((Q,), completion=text, liked=True),
    ):
        assert said in refusal(example)


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n想\n</think>\n\n答",
        "<think>\n\n</think>\n\n答",
        "想</think>答",
        "<think>想</think><answer>答</answer>",
        "模型先写 <think> 再写答案。",
        "The reasoning goes between <think> and </think> tags.",
        "推理写在“<think>”与“</think>”之间。",
        "写成 `<think>推理</think>` 的样子。",
        "```\n<think>\n推理\n</think>\n```\n就是这样。",
        "Qwen3 ends it with `</think>` and goes on.",
        "<think>要用 <think> 吗？</think>不用 <think> 标签。",
        "<think>想</think>The <think>…</think> pair is not shown.",
    ],
)
def test_a_tag_that_is_only_spoken_of_is_no_thought(text: str) -> None:
    """Prose about the tags passes, as do thoughts in each usual form."""
    check(answered(text))
    check(Example((Message("user", text),)))


@pytest.mark.parametrize(
    "mark",
    [
        "<|im_end|>",
        "<|im_start|>user\n再问",
        "<|endoftext|>",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>",
        "<end_of_turn>\n<start_of_turn>user",
        "<｜end▁of▁sentence｜>",
        "<｜User｜>再问",
        "[INST] 再问 [/INST]",
        "</s>",
        "</s><s>[INST]",
        "<|user|>",
        "<|end|>",
        "<eos>",
    ],
)
def test_a_templates_mark_is_refused_in_every_text(mark: str) -> None:
    """It would end the turn, or begin another, in the middle of the row."""
    text = f"多休息。{mark}"
    for example in (
        answered(text),
        Example((Message("user", text), A)),
        Example((Message("system", text), Q, A)),
        Example(text=text),
    ):
        assert "inside the text" in refusal(example)


@pytest.mark.parametrize("turn", ["### Instruction:\n再问", "Human: 再问", "[Round 2]\n\n问：再问"])
def test_a_next_turn_in_words_is_refused_in_answers(turn: str) -> None:
    """A question may quote one."""
    text = f"多休息。\n\n{turn}"
    assert "a next turn" in refusal(answered(text))
    check(Example((Message("user", text), A)))


@pytest.mark.parametrize(
    "text",
    [
        "<|supercalifragilistic|> 是什么？",
        "期望 <|x|> 与 <s>旧</s> 价",
        "</s> 是结束标记。",
        "a [1] b: c",
    ],
)
def test_what_only_looks_like_a_mark_passes(text: str) -> None:
    """Markup, formulas and invented words stay usable."""
    check(answered(text))


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (Example((Message("user", " \ufeff\u200b"), A)), "question: is empty"),
        (answered("\n"), "answer: is empty"),
        (Example((Q, Message("assistant", ""), Q, A)), "turn 2: is empty"),
        (answered("NaN"), "answer: is NaN"),
        (Example((S,)), "question: is missing"),
        (Example(), "question: is missing"),
        (Example((A,)), "turn 1: is the assistant's, expected the user's"),
        (Example((S, Q, Q)), "turn 3: is the user's, expected the assistant's"),
        (Example((Q, S, A)), "turn 2: is the system's"),
        (Example((Q, A), chosen="a", rejected="b"), "question: is missing"),
        (Example((Q,), chosen="a", rejected=" a\n"), "rejected: is the same as chosen"),
        (Example((Q,), chosen="a"), "rejected: is missing"),
        (Example((Q,), completion="", liked=True), "completion: is empty"),
        (Example(text=" "), "text: is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(example: Example, said: str) -> None:
    """Empty values, roles out of order, and answers that do not differ."""
    assert said in refusal(example)


def test_an_empty_system_message_passes() -> None:
    """It keeps a template from adding its own."""
    check(Example((Message("system", ""), Q, A)))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("medical_o1_style.jsonl", 0),
        ("delicate_raw.jsonl", 0),
        ("medical_sft_1K_sharegpt.jsonl", 0),
        ("sharegpt_zh_400.jsonl", 1),  # an empty value
        ("dpo_zh_500.jsonl", 0),
        ("medical_reward_pairs.json", 0),
        ("huatuo_alpaca.json", 0),
        ("cmtmedqa_mixed_keys.json", 0),
        ("finance_r1_graded.json", 0),
    ],
)
def test_real_data_passes(name: str, bad: int) -> None:
    """Of thousands of published rows only the faulty one is refused."""
    if not SHARED.is_dir():
        pytest.skip("the real samples are not beside this checkout (../shared/data)")
    refused = []
    for place, example in DataFile(SHARED / name).examples():
        assert not isinstance(example, Problem)
        try:
            check(example)
        except BadRow as error:
            refused.append(str(error.at(place)))
    assert len(refused) == bad, refused
