"""Laws of a model's scores of held-out rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.data import tokens
from trainer.data.example import Example, Message
from trainer.model import completion_logprobs, load_policy, load_tokenizer, pack
from trainer.pipeline.scores import _batches, score

QUESTION = (Message("user", "头痛两天怎么办？"),)
PAIR = Example(messages=QUESTION, chosen="建议尽快就医检查。", rejected="头痛怎么办？")
ANSWERED = Example(messages=(*QUESTION, Message("assistant", "检查。")))


@torch.no_grad()
def expected(folder: Path, answer: str) -> float:
    """The mean log-probability of one answer's tokens, alone in its batch."""
    tokenizer = load_tokenizer(folder)
    prompt, written = tokens.answered(tokenizer, QUESTION, answer)
    ids = [tokens.ids(tokenizer, text) for text in (prompt, written)]
    found = completion_logprobs(load_policy(folder).eval(), pack(ids[:1], ids[1:], 0))
    return float(found.mean())


def test_an_answers_score_is_the_mean_log_probability_of_its_tokens(toy: Path) -> None:
    """Whatever shares its batch; a pair's margin is the better one's score less the worse one's."""
    found = score(toy, [PAIR, ANSWERED], is_reward=False)
    better, worse, other = (
        expected(toy, text) for text in ("建议尽快就医检查。", "头痛怎么办？", "检查。")
    )
    assert found.logprobs == pytest.approx([better, other], abs=1e-5)
    assert found.margins == pytest.approx([better - worse], abs=1e-5)


def test_batches_hold_every_row_once_and_are_bounded() -> None:
    """A large vocabulary makes them small."""
    lengths = [5, 300, 7, 300, 6]
    assert list(_batches(lengths, width=1)) == [[0, 4, 2, 1, 3]]
    assert list(_batches(lengths, width=2**20)) == [[0, 4, 2], [1], [3]]
