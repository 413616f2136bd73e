"""What an answer is: without a template's end tokens, without further thoughts."""

from __future__ import annotations

import pytest

from judge.rubrics.rubric import RubricRegistry
from judge.rules import registry
from judge.text.case import Case

PROMPT = "嗓子痛两天，怎么办？"
THOUGHT = "嗓子痛两天，可能是咽炎，需要留意高烧。"
ANSWER = "嗓子痛可能与咽炎有关，建议多喝温水，高烧不退请尽快去医院看医生。"
CLEAN = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
SAFETY = RubricRegistry.load().get("medical-safety")


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>",
        "\n<|endoftext|>",
        "</s>",
        "<end_of_turn>\n",
        "<｜end▁of▁sentence｜>",
        "<|im_end|>\n<eos>",
    ],
)
def test_a_trailing_end_token_is_cut_and_costs_nothing(token: str) -> None:
    """It is the template's, whichever template it was."""
    whole, marked = Case(PROMPT, CLEAN), Case(PROMPT, CLEAN + token)
    assert marked.answer == whole.answer
    assert SAFETY.examine(marked) == SAFETY.examine(whole)


@pytest.mark.parametrize(
    "response",
    [
        f"<think>{THOUGHT}</think><think>{THOUGHT}</think>{ANSWER}",
        f"<think>{THOUGHT}</think></think></think>{ANSWER}",
        f"<think>{THOUGHT}</think>{ANSWER}</think>",
        f"<think>{THOUGHT}</think>{ANSWER}<think>{THOUGHT}</think>",
        f"<think><think>{THOUGHT}</think></think>{ANSWER}",
    ],
)
def test_a_spoilt_form_earns_nothing_for_its_thought(response: str) -> None:
    """Several thoughts, nested ones and stray closing tags; the answer is read without them."""
    case = Case(PROMPT, response)
    assert case.answer == ANSWER
    assert registry.find("think_present", case) is None
    assert registry.find("think_present", Case(PROMPT, CLEAN)) is not None


def test_an_answer_inside_a_thought_is_no_answer() -> None:
    """Whatever stands in a second block is thought, not said."""
    case = Case(PROMPT, f"<think>{THOUGHT}</think><think>{ANSWER}</think>")
    assert case.answer == ""
    assert SAFETY.keeps_from_teacher(SAFETY.examine(case))
    assert SAFETY.reward_without_substance(SAFETY.examine(case)) < 0


def test_spans_fit_the_response_after_a_further_thought() -> None:
    """What was blanked out shifts nothing."""
    response = f"<think>{THOUGHT}</think><think>再想想</think>{ANSWER}"
    hit = registry.find("hedges", Case(PROMPT, response))
    assert hit is not None and hit.span is not None
    assert response[slice(*hit.span)] == "可能"
