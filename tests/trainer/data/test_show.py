"""Laws of showing rows: every token is there, in its part, and what is learnt is marked."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from trainer.data.example import Example, Message
from trainer.data.show import page, show
from trainer.data.tokens import encode
from trainer.model import load_tokenizer

SAID = (
    Message("system", "你是医生"),
    Message("user", "头痛"),
    Message("assistant", "<think>想</think>就医"),
)


def test_the_pieces_are_the_sequences_that_are_trained_on(toy: Path) -> None:
    """All token ids in order, each learnt or not as the stage has it."""
    tokenizer = load_tokenizer(toy)
    (shown,) = show("line 1", Example(SAID), tokenizer).sequences
    (trained,) = encode(tokenizer, SAID)
    assert [i for piece in shown.pieces for i in piece.ids] == trained.input_ids
    assert (shown.tokens, shown.learnt) == (len(trained.input_ids), sum(trained.completion_mask))
    text = dict.fromkeys(("system", "user", "thought", "assistant"), "")
    for piece in shown.pieces:
        if piece.part != "template":
            text[piece.part] += piece.text
    assert text == {"system": "你是医生", "user": "头痛", "thought": "想", "assistant": "就医"}


def test_a_pair_is_shown_with_both_answers(toy: Path) -> None:
    """Each by its name."""
    pair = Example((Message("user", "头痛"),), chosen="就医", rejected="不知道")
    found = show("line 1", pair, load_tokenizer(toy)).sequences
    assert [each.name for each in found] == ["chosen", "rejected"]
    assert [each.name for each in show("line 1", pair).sequences] == ["chosen", "rejected"]


def test_a_page_needs_no_other_file_and_escapes_what_rows_say(toy: Path) -> None:
    """It carries the notice in both languages."""
    evil = Example((Message("user", "<script>alert(1)</script>"), Message("assistant", "就医")))
    made = page([show("line 1", evil)], title="t", read_as="pairs", model="")
    assert "<script>alert" not in made
    assert "http" not in made.replace("http://www.w3.org", "")
    assert "诊断" in made


def test_the_command_prints_rows_and_names_bad_ones(tmp_path: Path) -> None:
    """With what the file was read as and the next step; where there is no colour, brackets mark."""
    rows = [{"question": "头痛", "answer": "就医"}, {"question": " "}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = CliRunner().invoke(app, ["data", "show", str(path)])
    assert "⟦就医⟧" in done.stdout
    assert "line 2: question: is empty" in done.stderr
    assert "pairs; JSON lines, UTF-8" in done.stdout
    made = tmp_path / "rows.html"
    CliRunner().invoke(app, ["data", "show", str(path), "--html", str(made)])
    assert "就医" in made.read_text("utf-8")
