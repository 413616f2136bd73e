"""Sequences that are written together are written as each would be alone."""

from __future__ import annotations

from typing import Any

import pytest

from server.simple import batch
from server.simple.batch import Batch
from server.simple.model import Model
from server.simple.protocol import CompletionRequest
from server.simple.sequence import Piece, Sequence
from server.simple.tokenizer import Tokenizer
from tests.server.simple.conftest import IDS

PROMPTS = [IDS, IDS * 60, IDS[:1], IDS * 7, IDS[::-1] * 2]


def sequence(tokenizer: Tokenizer, ids: list[int], **asked: Any) -> Sequence:
    request = {"prompt": ids, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **asked}
    return Sequence(CompletionRequest.model_validate(request), ids, tokenizer)


def written(model: Model, arrivals: list[list[Sequence]]) -> list[list[Piece]]:
    """What all write, of whom some come with each step."""
    its, running = Batch(model), list[Sequence]()
    pieces: dict[Sequence, list[Piece]] = {s: [] for come in arrivals for s in come}
    while arrivals or running:
        running += arrivals.pop(0) if arrivals else []
        for one, output in its.step(running):
            assert isinstance(output, Piece)
            pieces[one].append(output)
        running = [one for one in running if not one.is_over]
    return list(pieces.values())


def test_company_changes_no_answer(model: Model, tokenizer: Tokenizer) -> None:
    """Whoever comes, goes, or is longer meanwhile; log-probabilities differ by rounding alone."""
    lengths = [12, 3, 9, 1, 12]
    asked = list(zip(PROMPTS, lengths, strict=True))
    alone = [
        written(model, [[sequence(tokenizer, ids, max_tokens=most)]])[0] for ids, most in asked
    ]
    come = [[sequence(tokenizer, ids, max_tokens=most)] for ids, most in asked]
    together = written(model, [come[0], come[1] + come[2], [], come[3], come[4]])
    assert [len(pieces) for pieces in together] == lengths
    for one, other in zip(alone, together, strict=True):
        assert [piece.token for piece in one] == [piece.token for piece in other]
        logprobs = [piece.logprob for piece in one]
        assert [piece.logprob for piece in other] == pytest.approx(logprobs, abs=1e-4)


def test_who_has_left_is_written_no_more(model: Model, tokenizer: Tokenizer) -> None:
    """And takes the padding along that others had because of it."""
    long, short = (sequence(tokenizer, ids) for ids in (IDS * 20, IDS))
    its = Batch(model)
    its.step([long, short])
    its.step([long, short])
    outputs = [its.step([short]) for _ in range(3)]
    assert [[one for one, _ in step] for step in outputs] == [[short]] * 3
    assert len(long.token_ids) == 2
    assert its._cache.get_seq_length() == short.length - 1
    (pieces,) = written(model, [[sequence(tokenizer, IDS)]])
    assert short.token_ids == [piece.token for piece in pieces][:5]


def test_a_long_prompt_is_read_in_parts_between_which_others_are_written(
    model: Model, tokenizer: Tokenizer
) -> None:
    """A step reads so many tokens of prompts, whoever they are of."""
    short, long = sequence(tokenizer, IDS), sequence(tokenizer, IDS * 150)
    its = Batch(model)
    steps = [[one for one, _ in its.step([short, long])] for _ in range(4)]
    assert len(long.prompt_ids) > 2 * batch.PROMPT_TOKENS
    assert steps == [[short], [short], [short, long], [short, long]]
    crowd, its = [sequence(tokenizer, IDS * 40) for _ in range(3)], Batch(model)
    assert [[one for one, _ in its.step(crowd)] for _ in range(2)] == [crowd[:2], crowd]
