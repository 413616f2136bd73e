"""Laws of the formats: what each row means, and that writing it again keeps the meaning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import formats
from trainer.data.example import Example, Message
from trainer.data.problems import BadRow

Q, A = Message("user", "q"), Message("assistant", "a")
S, Q2, A2 = Message("system", "s"), Message("user", "q2"), Message("assistant", "a2")
HUMAN, GPT = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}
USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
PAIR = Example((Q,), chosen="a", rejected="b")


def read(row: dict[str, Any]) -> tuple[str, Example]:
    found = formats.recognise(row)
    return found.name, found.read(row)


@pytest.mark.parametrize(
    ("row", "name", "example"),
    [
        ({"instruction": "q", "input": "", "output": "a"}, "alpaca", Example((Q, A))),
        ({"instruction": "q", "output": "a"}, "alpaca", Example((Q, A))),
        ({"input": "q", "output": "a"}, "alpaca", Example((Q, A))),
        (
            {"instruction": "do", "input": "q", "output": "a"},
            "alpaca",
            Example((Message("user", "do\nq"), A)),
        ),
        (
            {"instruction": "q2", "output": "a2", "history": [["q", "a"]], "system": "s"},
            "alpaca",
            Example((S, Q, A, Q2, A2)),
        ),
        (
            {"instruction": "s", "input": "q", "output": "a", "meta": {"source": "x"}},
            "rows",
            Example((S, Q, A), meta={"source": "x"}),
        ),
        ({"conversations": [HUMAN, GPT], "system": "s"}, "sharegpt", Example((S, Q, A))),
        ({"conversations": [USER, ASSISTANT]}, "sharegpt", Example((Q, A))),
        ({"conversations": [HUMAN]}, "sharegpt", Example((Q,))),
        ({"messages": [USER, ASSISTANT], "id": 7}, "messages", Example((Q, A), id="7")),
        ({"prompt": [USER], "completion": [ASSISTANT]}, "messages", Example((Q, A))),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, ASSISTANT]},
            "messages",
            Example((Q, A)),
        ),
        ({"prompt": "q", "completion": "a"}, "pairs", Example((Q, A))),
        ({"question": "q", "x": 1}, "pairs", Example((Q,), extra={"x": 1})),
        (
            {"instruction": "old", "question": "q", "think": "t", "answer": "a"},
            "pairs",
            Example(
                (Q, Message("assistant", "<think>\nt\n</think>\n\na")), extra={"instruction": "old"}
            ),
        ),
        (
            {"Question": "q", "Complex_CoT": "t", "Response": "a"},
            "pairs",
            Example((Q, Message("assistant", "<think>\nt\n</think>\n\na"))),
        ),
        ({"text": "t"}, "text", Example(text="t")),
        ({"conversations": [HUMAN], "chosen": "a", "rejected": "b"}, "preference", PAIR),
        (
            {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "b"}},
            "preference",
            PAIR,
        ),
        ({"question": "q", "response_chosen": "a", "response_rejected": "b"}, "preference", PAIR),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference", PAIR),
        ({"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}, "preference", PAIR),
        (
            {
                "chosen_messages": [USER, ASSISTANT],
                "rejected_messages": [USER, {"role": "assistant", "content": "b"}],
            },
            "preference",
            PAIR,
        ),
        (
            {
                "prompt": "q",
                "chosen": [USER, ASSISTANT],
                "rejected": [USER, {"role": "assistant", "content": "b"}],
            },
            "preference",
            PAIR,
        ),
        (
            {
                "system": "s",
                "history": [["q", "a"]],
                "question": "q2",
                "response_chosen": "a",
                "response_rejected": "b",
            },
            "preference",
            Example((S, Q, A, Q2), chosen="a", rejected="b"),
        ),
        (
            {"history": [["q", "a"]], "question": "q2", "answer": "a2"},
            "pairs",
            Example((Q, A, Q2, A2)),
        ),
        (
            {"history": "hypertension", "question": "q"},
            "pairs",
            Example((Q,), extra={"history": "hypertension"}),
        ),
        (
            {"prompt": "q", "completion": "a", "label": False},
            "unpaired",
            Example((Q,), completion="a", liked=False),
        ),
        (
            {"messages": [USER, ASSISTANT], "kto_tag": True},
            "unpaired",
            Example((Q,), completion="a", liked=True),
        ),
    ],
)
def test_a_row_is_recognised_by_its_columns(
    row: dict[str, Any], name: str, example: Example
) -> None:
    """And read as its authors mean it."""
    assert read(row) == (name, example)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"a": 1, "b": 2}, "no known format has these columns: a, b"),
        ({"instruction": "", "input": " "}, "input: no question"),
        ({"instruction": "s", "input": " ", "meta": {}}, "input: is empty"),
        ({"instruction": 1}, "instruction: must be a text, found a number"),
        ({"question": " "}, "question: is empty"),
        ({"question": "a\x00"}, "question: contains a NUL character"),
        ({"conversations": "q"}, "conversations: must be a list of turns, found a text"),
        ({"conversations": []}, "conversations: holds no turns"),
        ({"conversations": [{"from": "bot", "value": "q"}]}, "unknown speaker 'bot'; use one of"),
        ({"conversations": [{"from": ["human"]}]}, "unknown speaker a list"),
        (
            {"conversations": [{"from": "human"}]},
            "conversations.0.value: must be a text, found not",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "a part that is no text",
        ),
        ({"instruction": "q", "history": [["q"]]}, "history.0: must be two texts"),
        ({"input": "q", "meta": 7}, "meta: must be an object, found a number"),
        ({"chosen": "a", "rejected": "b"}, "prompt: is missing"),
        ({"prompt": "q", "chosen": 1, "rejected": "b"}, "chosen: must be a text or turns"),
        ({"prompt": "q", "chosen": [USER], "rejected": "b"}, "does not end with an answer"),
        (
            {"chosen": [USER, ASSISTANT], "rejected": [{**USER, "content": "r"}, ASSISTANT]},
            "rejected: answers another prompt than chosen",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(row: dict[str, Any], said: str) -> None:
    """With the field, the reason and what to do; an unknown speaker is named as such."""
    with pytest.raises(BadRow) as caught:
        read(row)
    assert said in caught.value.message


TEXT = st.text(min_size=1).filter(lambda text: text.strip() != "" and "\x00" not in text)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)
META = st.dictionaries(st.sampled_from(["source", "specialty"]), TEXT, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> Example:
    system, turns = draw(st.none() | TEXT), draw(TURNS)
    messages = [Message("system", system)] if system else []
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    identifier = draw(st.none() | TEXT)
    return Example(tuple(messages), id=identifier, meta=draw(META), extra=draw(_extras()))


def _extras() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["x", "y"]), st.integers(), max_size=2)


@given(conversations(), st.sampled_from(["rows", "alpaca", "sharegpt", "messages"]))
def test_a_conversation_comes_back_as_it_was(example: Example, name: str) -> None:
    """There and back through each format that holds conversations."""
    chosen = formats.BY_NAME[name]
    assert chosen.read(chosen.write(example)) == example


@given(conversations(), TEXT, TEXT)
def test_a_preference_comes_back_as_it_was(example: Example, better: str, worse: str) -> None:
    """There and back through every format that holds one, all read as preferences."""
    prompt = Example(example.prompt, better, worse, meta=example.meta, extra=example.extra)
    for name in ("preference", "sharegpt", "alpaca"):
        row = formats.BY_NAME[name].write(prompt)
        assert formats.recognise(row).read(row) == prompt


@given(conversations(), TEXT, st.booleans())
def test_a_vote_comes_back_as_it_was(example: Example, answer: str, liked: bool) -> None:
    """There and back."""
    vote = Example(example.prompt, completion=answer, liked=liked, extra=example.extra)
    row = formats.BY_NAME["unpaired"].write(vote)
    assert formats.recognise(row).read(row) == vote


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("alpaca", Example(text="t")),
        ("rows", Example((Q, Message("user", "again"), A))),
        ("sharegpt", Example((Q,), completion="a", liked=True)),
        ("messages", PAIR),
        ("preference", Example((Q, A))),
        ("unpaired", Example((Q, A))),
        ("pairs", Example((S, Q, A))),
        ("text", Example((Q, A))),
    ],
)
def test_what_a_format_cannot_hold_is_said(name: str, example: Example) -> None:
    """It is refused instead of written without a part."""
    with pytest.raises(BadRow):
        formats.BY_NAME[name].write(example)
