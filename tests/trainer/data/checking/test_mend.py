"""Laws of what may be mended in a bad row."""

from __future__ import annotations

import pytest

from trainer.data.checking.checks import check
from trainer.data.checking.mend import mend
from trainer.data.example import Example, Message

Q, A = Message("user", "头痛？"), Message("assistant", "多休息。")


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("多休息。<|im_end|>", "多休息。"),
        ("多休息。</s>", "多休息。"),
        ("多休息。\n<|im_end|>\n<|im_start|>user\n再问", "多休息。"),
        ("<|im_start|>assistant\n多休息。<|im_end|>\n", "多休息。"),
        ("多休息。\n\nHuman: 再问", "多休息。"),
        ("<think><think>\n想</think>答", "<think>\n想</think>答"),
        ("<think>想</think>\n</think>\n\n答", "<think>想</think>\n\n答"),
    ],
)
def test_an_answer_is_cut_to_what_was_meant(text: str, mended: str) -> None:
    """It passes the checks then, in every place where an answer can stand."""
    for before, after in [
        (Example((Q, Message("assistant", text))), Example((Q, Message("assistant", mended)))),
        (Example((Q,), chosen=text, rejected="b"), Example((Q,), chosen=mended, rejected="b")),
        (Example((Q,), completion=text, liked=True), Example((Q,), completion=mended, liked=True)),
    ]:
        found, changes = mend(before, before.kind)
        assert (found, len(changes)) == (after, 1)
        check(found)


def test_a_conversation_that_ends_with_a_question_loses_it() -> None:
    """If an answer is left; where prompts are wanted it stays."""
    example = Example((Q, A, Q))
    assert mend(example, "conversation") == (
        Example((Q, A)),
        ["the last question is left out: it has no answer"],
    )
    assert mend(example, "prompt") == (example, [])
    assert mend(Example((Q,)), "conversation") == (Example((Q,)), [])


@pytest.mark.parametrize("text", ["<think>想", "<think>想</think>", "", "答<think>想</think>再答"])
def test_what_is_missing_is_not_made_up(text: str) -> None:
    """Such rows are left as they are, to be dropped."""
    example = Example((Q, Message("assistant", text)))
    assert mend(example, "conversation") == (example, [])
