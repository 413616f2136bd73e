"""Reasoning and answer, told apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.transcript import (
    ANSWER_CLOSE,
    ANSWER_OPEN,
    THINK_CLOSE,
    THINK_OPEN,
    Opening,
    Splitter,
    Transcript,
    of,
    of_message,
    opening_of,
    parse,
)

TAGS = [THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE]
pieces = st.sampled_from([*TAGS, " ", "\n", "头痛", "多喝水。", "<", "</think", "<ans", ">"])
texts = st.lists(pieces, max_size=12).map("".join) | st.text()
untagged = st.text().filter(lambda text: not any(tag in text for tag in TAGS))

TABLE = [
    (Opening.NOTHING, "多喝水。", "", "多喝水。"),
    (Opening.NOTHING, "<think>a</think>b", "a", "b"),
    (Opening.THOUGHT, "a</think>b", "a", "b"),
    (Opening.THOUGHT, "a", "a", ""),
    (Opening.CLOSED, "b", "", "b"),
    (Opening.NOTHING, "<think>a", "a", ""),
    *((opening, "<think>a</think><answer>b</answer>", "a", "b") for opening in Opening),
    (Opening.THOUGHT, "a</think>\n<answer>\nb\n</answer>\n", "a", "b"),
    (Opening.NOTHING, "<think>a</think><answer>b", "a", "b"),
    (Opening.NOTHING, "<think>a</think><answer>b</answer>c", "a", "b"),
    (Opening.NOTHING, "<think>a</think>c<answer>b</answer>", "a", "c<answer>b</answer>"),
    (Opening.NOTHING, "<answer>b</answer>", "", "<answer>b</answer>"),
    (Opening.CLOSED, "<answer>b</answer>", "", "b"),
    (Opening.NOTHING, "The tag <think> opens a thought.", "", "The tag <think> opens a thought."),
    (Opening.NOTHING, "a</think>b", "", "a</think>b"),
    (Opening.NOTHING, "<think></think>b", "", "b"),
    (Opening.THOUGHT, "<think>\na", "a", ""),
    (Opening.THOUGHT, "a<think>b</think>c", "a<think>b", "c"),
    (Opening.THOUGHT, "a</think>b</think>c<think>", "a", "b</think>c<think>"),
    (Opening.NOTHING, "<thi", "", "<thi"),
    (Opening.THOUGHT, "a</thi", "a</thi", ""),
    (Opening.NOTHING, " \n<think>\n a \n</think>\n\n b \n", "a", "b"),
    (Opening.NOTHING, "", "", ""),
]


def split(opening: Opening, *texts: str) -> tuple[str, str]:
    """All pieces of a completion fed in these parts, put together."""
    splitter = Splitter(opening)
    parts = [*(splitter.feed(text) for text in texts), splitter.finish()]
    return "".join(part.reasoning for part in parts), "".join(part.answer for part in parts)


@pytest.mark.parametrize(("opening", "text", "reasoning", "answer"), TABLE)
def test_what_the_template_opened_and_the_model_wrote_decides(
    opening: Opening, text: str, reasoning: str, answer: str
) -> None:
    """Each row of the transcript table, read whole."""
    read = parse(text, opening)
    assert (read.reasoning, read.answer) == (reasoning, answer)


@given(texts, st.sampled_from(Opening), st.lists(st.integers(0, 60), max_size=8))
def test_the_pieces_are_the_whole_wherever_the_text_is_cut(
    text: str, opening: Opening, cuts: list[int]
) -> None:
    """A stream put together is what the whole text gives, and `parse` of it but outer blanks."""
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[start:end] for start, end in pairwise(at)]
    whole = split(opening, text)
    assert split(opening, *parts) == whole
    assert split(opening, *text) == whole
    read = parse(text, opening)
    assert (read.reasoning, read.answer) == (whole[0], whole[1].strip())


@given(texts)
def test_an_answer_without_a_thought_comes_out_as_it_was_written(text: str) -> None:
    """Not one blank is lost of what a model writes that does not think."""
    if not text.lstrip().startswith(THINK_OPEN):
        assert split(Opening.NOTHING, text) == ("", text)


@given(texts)
def test_a_thought_that_the_template_closed_is_a_thought_before_the_answer(text: str) -> None:
    """`<answer>` counts after it as after a thought of the model's own, whole and in a stream."""
    if not text.lstrip().startswith(THINK_OPEN):
        _, expected = split(Opening.NOTHING, f"<think>a</think>{text}")
        assert split(Opening.CLOSED, text)[1].strip() == expected.strip()
        assert split(Opening.CLOSED, *text)[1].strip() == expected.strip()


def test_text_is_held_back_only_as_long_as_it_may_be_a_tag() -> None:
    """A stream is as quick as its model: what can be no tag is passed on at once."""
    splitter = Splitter()
    seen = [splitter.feed(text) for text in ("<th", "ink>a", "b <", "c</think>", "\n<", "d ", " e")]
    assert [piece.reasoning for piece in seen] == ["", "a", "b", " <c", "", "", ""]
    assert [piece.answer for piece in seen] == ["", "", "", "", "", "<d ", " e"]


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<|im_start|>user\n头痛<|im_end|>\n<|im_start|>assistant\n", Opening.NOTHING),
        ("<|im_start|>assistant\n<think>\n", Opening.THOUGHT),
        ("<｜User｜>头痛<｜Assistant｜><think>\n", Opening.THOUGHT),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", Opening.CLOSED),
        ("<|im_start|>user\n<think><|im_end|>\n<|im_start|>assistant\n", Opening.NOTHING),
        ("[INST] What is <think>? [/INST]", Opening.NOTHING),
        ("USER: What is <think>? ASSISTANT:", Opening.NOTHING),
        ("USER: 头痛 ASSISTANT: <think>\n", Opening.THOUGHT),
        ("USER: 头痛 ASSISTANT: <think>\n\n</think>\n\n", Opening.CLOSED),
        ("<|im_start|>assistant\n<think>\nso far", Opening.THOUGHT),
        ("<|im_start|>assistant\n<think>\na\n</think>\n\nso far", Opening.CLOSED),
        ("", Opening.NOTHING),
    ],
)
def test_the_end_of_the_prompt_says_what_is_open(prompt: str, opening: Opening) -> None:
    """A tag counts in the turn that the model goes on with, and in no earlier one."""
    assert opening_of(prompt) is opening


@given(untagged, untagged, st.booleans())
def test_what_is_rendered_is_read_back(reasoning: str, answer: str, tagged: bool) -> None:
    """Writing reasoning and answer as training text and reading it loses only outer blanks."""
    written = f"{ANSWER_OPEN}{answer}{ANSWER_CLOSE}" if tagged else answer
    read = parse(of(reasoning, written).render())
    expected = (reasoning.strip(), answer.strip(), True, tagged)
    assert (read.reasoning, read.answer, read.closed, read.tagged) == expected


@given(texts, st.sampled_from([None, *Opening]))
def test_both_parts_stand_in_the_text_where_they_say(text: str, opening: Opening | None) -> None:
    """Spans of reasoning and answer are spans of the original text, whatever stands between."""
    read = parse(text, opening)
    assert text[read.reasoning_start :].startswith(read.reasoning)
    assert text[read.answer_start :].startswith(read.answer)
    assert read.answer or text[read.answer_start :] == ""


@pytest.mark.parametrize("text", ["<think>先想想", "  <think>\n先想想\n", "<think>先想想 "])
def test_a_cut_off_thought_has_no_answer(text: str) -> None:
    """Reasoning that was never ended is reasoning, and nothing is told to the reader."""
    assert parse(text) == Transcript("先想想", "", text.index("先"), len(text), closed=False)


@pytest.mark.parametrize(
    ("reasoning", "content", "expected"),
    [
        ("想", "答", ("想", "答", True)),
        ("想", None, ("想", "", False)),
        (None, "答", ("", "答", True)),
        (None, "<think>想</think>答", ("想", "答", True)),
        ("", "想</think>答", ("", "想</think>答", True)),
        (None, None, ("", "", True)),
    ],
)
def test_a_message_is_read_whether_or_not_its_server_split_it(
    reasoning: str | None, content: str | None, expected: tuple[str, str, bool]
) -> None:
    """The fields of an API count; where it gave no reasoning, content may begin with one."""
    read = of_message(reasoning, content)
    assert (read.reasoning, read.answer, read.closed) == expected


def test_a_file_need_not_say_what_the_template_opened() -> None:
    """A completion of unknown opening that begins inside the thought is split all the same."""
    assert parse("先想想</think>\n\n多喝水") == Transcript("先想想", "多喝水", 0, 13, closed=True)


def test_text_without_tags_is_all_answer() -> None:
    """A model that does not think aloud is not taken for one that was cut off."""
    assert parse("\n 多喝水 ") == Transcript("", "多喝水", 0, 2, closed=True)


@pytest.mark.parametrize("tag", [THINK_OPEN, THINK_CLOSE])
def test_a_tag_inside_the_answer_stays(tag: str) -> None:
    """A tag after the first `</think>` is the model's mistake, kept where rules can see it."""
    assert parse(f"<think>想</think>多{tag}喝水").answer == f"多{tag}喝水"


def test_qwen3s_form_is_written_exactly() -> None:
    """The training text has the tags on lines of their own and an empty line before the answer."""
    assert of(" 想 ", " 答 ").render() == "<think>\n想\n</think>\n\n答"


@pytest.mark.parametrize(
    "text",
    ["写在 <think> 与 </think> 之间。", "好。<think>想</think>答", "它以 `</think>` 结束。"],
)
def test_tags_that_a_file_only_speaks_of_begin_no_thought(text: str) -> None:
    """Without a known opening, a closing tag after an opening one, or set as code, is text."""
    assert parse(text).answer == text
