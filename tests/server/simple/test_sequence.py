"""How a token is drawn, what of its text may be sent, and what ends an answer.

Shapes: V the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Ids
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from galen.errors import UpstreamFailed
from server.simple.protocol import BadRequest, CompletionRequest
from server.simple.sequence import Piece, Sequence
from server.simple.tokenizer import Tokenizer

END = 0
LOGITS_V = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


class Bytes:
    """A tokenizer whose tokens are bytes; 0 is special and ends an answer."""

    most, end_ids = 100, frozenset({END})

    def decode(self, ids: Ids[int]) -> str:
        return bytes(i for i in ids if i).decode(errors="replace")


def sequence(*, index: int = 0, **asked: Any) -> Sequence:
    request = CompletionRequest.model_validate({"prompt": [1], "max_tokens": 90, **asked})
    return Sequence(request, [1], cast(Tokenizer, Bytes()), index)


def wanting(token: int) -> Tensor:
    logits_V = torch.full((256,), -100.0)
    logits_V[token] = 100.0
    return logits_V


def written(text: bytes, **asked: Any) -> list[Piece]:
    """The pieces of an answer by a model that wants to write this."""
    its, pieces = sequence(**asked), list[Piece]()
    for byte in text:
        if not its.is_over:
            piece = its.write(wanting(byte))
            assert isinstance(piece, Piece)
            pieces.append(piece)
    return pieces


def told(pieces: list[Piece]) -> tuple[str, str | None]:
    return "".join(piece.text for piece in pieces), pieces[-1].finish_reason


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20))
def test_only_whole_characters_are_sent(text: str) -> None:
    """Each as soon as its last byte is there, and at the end nothing is lost."""
    pieces = written(text.encode() + bytes([END]))
    assert told(pieces) == (text, "stop")
    broken = text.count("\N{REPLACEMENT CHARACTER}")
    assert sum(bool(piece.text) for piece in pieces) >= len(text) - broken - 1


def test_half_a_character_at_the_end_is_told_as_broken() -> None:
    """Cut off by `max_tokens`, its bytes are not lost silently."""
    pieces = written("头".encode(), max_tokens=2)
    assert told(pieces) == ("\N{REPLACEMENT CHARACTER}", "length")


def test_the_models_end_is_no_text_and_may_be_ignored() -> None:
    """`ignore_eos` writes on beyond it."""
    assert told(written(b"a\0b")) == ("a", "stop")
    assert told(written(b"a\0b", ignore_eos=True, max_tokens=3)) == ("ab", "length")


def test_more_tokens_than_the_context_has_are_refused() -> None:
    """They could never be written; what only does not fit behind the prompt is cut down."""
    assert len(written(b"a" * 200, max_tokens=100)) == 99
    with pytest.raises(BadRequest) as refused:
        sequence(max_tokens=101)
    assert refused.value.param == "max_tokens"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_k": -1, "top_p": 0.9}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        ({"top_k": 3, "top_p": 0.6}, [0.625, 0.375, 0, 0]),
    ],
)
def test_tokens_are_drawn_from_the_distribution_that_was_asked_for(
    asked: dict[str, Any], expected: list[float]
) -> None:
    """Each as often as it is likely, and none that is ruled out."""
    its = sequence(seed=3, ignore_eos=True, max_tokens=99, **asked)
    draws = [its.write(LOGITS_V) for _ in range(90)]
    tokens = [piece.token for piece in draws if isinstance(piece, Piece)]
    for token, share in enumerate(expected):
        assert tokens.count(token) / 90 == pytest.approx(share, abs=0.15)
        assert share > 0 or token not in tokens


def test_a_logprob_is_that_of_the_distribution_drawn_from() -> None:
    """And not of the model's own."""
    piece = sequence(top_k=2, seed=1).write(LOGITS_V)
    assert isinstance(piece, Piece)
    assert piece.logprob == pytest.approx(math.log([0.625, 0.375][piece.token]))


def test_a_seed_fixes_an_answer_and_each_choice_has_another() -> None:
    """Else the n answers to a prompt would be one answer n times."""
    flat_V = torch.zeros(256)

    def drawn(index: int, seed: int | None) -> list[int]:
        its = sequence(seed=seed, n=2, index=index, ignore_eos=True)
        return [piece.token for _ in range(9) if isinstance(piece := its.write(flat_V), Piece)]

    assert drawn(0, 7) == drawn(0, 7) == drawn(2, 7) != drawn(1, 7)
    assert drawn(0, None) != drawn(0, None)


def test_an_answer_whose_logits_are_no_numbers_ends_with_a_clear_word() -> None:
    """Broken weights end the answer alone, not the engine."""
    its = sequence()
    assert isinstance(its.write(LOGITS_V * torch.nan), UpstreamFailed)
    assert its.is_over
