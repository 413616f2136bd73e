"""Text between the services and the page."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from galen.transcript import THINK_CLOSE, THINK_OPEN, Opening, parse
from webui.text import Reply, Turn, View, messages, storable, view

deltas = st.lists(st.text(), max_size=20)


def chunk(finish_reason: str | None = None, **delta: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"model": "policy@ppo-1", "choices": [choice]}


def reply_of(*chunks: dict[str, Any]) -> Reply:
    reply = Reply()
    for each in chunks:
        reply = reply.add(each)
    return reply


def finished(question: str, text: str) -> Turn:
    return Turn(question, Reply(content=text, finish_reason="stop"), finished=True)


@given(deltas)
def test_content_deltas_join_to_the_whole_text(pieces: list[str]) -> None:
    """However a text is cut into deltas, the reply holds all of it."""
    assert reply_of(*(chunk(content=piece) for piece in pieces)).text == "".join(pieces)


@given(st.text(min_size=1), st.text(min_size=1))
def test_reasoning_sent_apart_reads_like_reasoning_in_tags(reasoning: str, answer: str) -> None:
    """Both ways a server may stream give the judge one form of text."""
    apart = reply_of(chunk(reasoning=reasoning), chunk(content=answer))
    assert apart.text == f"<think>\n{reasoning}\n</think>\n\n{answer}"


def test_reply_keeps_version_and_reason_of_its_end() -> None:
    """The version stands without its prefix; a last chunk with no choices takes nothing away."""
    reply = reply_of(chunk(content="好"), chunk("length"), {"model": "policy@ppo-1", "choices": []})
    assert reply == Reply("", "好", "ppo-1", "length")


def test_null_deltas_add_nothing() -> None:
    """Servers send null where there is no text."""
    assert reply_of(chunk(content=None, reasoning=None)).text == ""


@given(st.text())
def test_a_model_that_does_not_think_shows_its_answer(text: str) -> None:
    """Text without a tag is answer from its first character on, with no thought above it."""
    seen = view(f"答{text}")
    assert (seen.reasoning.text, seen.answer.text) == ("", f"答{text}".rstrip())


@given(st.text())
def test_view_of_a_closed_thought_is_its_transcript(text: str) -> None:
    """Once the thought is closed, the page shows what everything else in Galen reads."""
    whole = f"<think>{text}</think>答{text}"
    seen, expected = view(whole), parse(whole, Opening.NOTHING)
    assert (seen.reasoning.text, seen.answer.text) == (expected.reasoning, expected.answer)
    assert not seen.thinking


@given(st.lists(st.sampled_from([THINK_OPEN, THINK_CLOSE, "<answer>", "想", " "])).map("".join))
def test_the_judge_reads_the_parts_that_the_page_shows(text: str) -> None:
    """A tag in the middle of an answer ends no thought, whoever reads the text."""
    reply = Reply(content=f"{text}答")
    seen, judged = view(reply.text), parse(reply.text)
    assert (seen.reasoning.text, seen.answer.text) == (judged.reasoning, judged.answer)


@given(st.text(alphabet="<think>/ 想\n"))
def test_parts_lie_where_they_say(text: str) -> None:
    """A part's start is its place in the whole, where the judge's spans count."""
    seen = view(text)
    for part in (seen.reasoning, seen.answer):
        assert text[part.start : part.start + len(part.text)] == part.text


@given(st.integers(min_value=0, max_value=len("<think>想</think>")))
def test_half_a_tag_is_never_shown(length: int) -> None:
    """While a tag is coming in, its beginning is neither reasoning nor answer."""
    seen = view("<think>想</think>"[:length])
    assert seen.reasoning.text in ("", "想")
    assert seen.answer.text == ""


def test_thought_without_end_is_all_reasoning() -> None:
    """A cut-off thought has no answer."""
    seen = view("<think>\n还在想")
    assert (seen.reasoning.text, seen.answer.text, seen.thinking) == ("还在想", "", True)


def test_history_sends_answers_without_their_reasoning() -> None:
    """Earlier turns go along as the chat template shows them: question and answer."""
    assert messages([finished("一", "<think>想</think>甲")], "二", 4) == [
        {"role": "user", "content": "一"},
        {"role": "assistant", "content": "甲"},
        {"role": "user", "content": "二"},
    ]


def test_history_leaves_out_what_was_stopped_or_has_no_answer() -> None:
    """A stopped turn and a cut-off thought teach the model nothing."""
    turns = [Turn("一", Reply(content="甲")), finished("二", "<think>没想完")]
    assert messages(turns, "三", 4) == [{"role": "user", "content": "三"}]


@given(st.integers(min_value=0, max_value=6), st.integers(min_value=0, max_value=6))
def test_history_is_no_longer_than_asked(turns: int, limit: int) -> None:
    """At most `earlier_turns` pairs precede the question, the latest ones."""
    said = messages([finished(str(n), f"答{n}") for n in range(turns)], "问", limit)
    kept = range(max(0, turns - limit), turns)
    assert [m["content"] for m in said if m["role"] == "user"] == [*(str(n) for n in kept), "问"]


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_storable_text_keeps_its_length_and_can_be_stored(text: str) -> None:
    """Spans of the storable text are spans of the text; it encodes, and has no NUL."""
    stored = storable(text)
    assert len(stored) == len(text)
    assert b"\x00" not in stored.encode("utf-8")


def test_view_of_nothing_is_nothing() -> None:
    """Before the first delta there is nothing to show."""
    seen = view("")
    assert isinstance(seen, View)
    assert (seen.reasoning.text, seen.answer.text, seen.thinking) == ("", "", False)
