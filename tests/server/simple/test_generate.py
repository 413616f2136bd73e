"""One sequence from its prompt to its end, written by a model that follows a script."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from server.simple.generate import CHUNK, Piece, Plan, Writer, position
from server.simple.sampling import Sampling
from tests.fakes.scripted_model import ScriptedModel, decode, encode

PROMPT = tuple(encode("头痛"))
END = encode("z")[0]
PLAN = Plan(
    prompt_ids=PROMPT,
    max_tokens=20,
    decode=decode,
    sampling=Sampling(temperature=0.0),
    end_ids=frozenset([END]),
)


def written(plan: Plan, script: str) -> list[Piece]:
    """All pieces that a model which wants to write `script` brings about."""
    model = ScriptedModel(encode(script), prompt=len(plan.prompt_ids))
    writer = Writer(0, plan, lambda piece: None)
    pieces: list[Piece] = []
    while not pieces or pieces[-1].finish_reason is None:
        if (piece := writer.step(model)) is not None:
            pieces.append(piece)
    return pieces


def told(plan: Plan, script: str) -> tuple[str, str | None, int | str | None]:
    pieces = written(plan, script)
    text = "".join(piece.text for piece in pieces)
    return text, pieces[-1].finish_reason, pieces[-1].stop_reason


@pytest.mark.parametrize(
    ("change", "script", "end"),
    [
        ({}, "abcz", ("abc", "stop", None)),
        ({"max_tokens": 2}, "abcz", ("ab", "length", None)),
        ({"stops": ("bc",)}, "abcz", ("a", "stop", "bc")),
        ({"stops": ("bc",), "include_stop": True}, "abcz", ("abc", "stop", "bc")),
        ({"stops": ("bcd",)}, "abcz", ("abc", "stop", None)),
        ({"stop_ids": frozenset(encode("b"))}, "abcz", ("a", "stop", encode("b")[0])),
        ({"end_ids": frozenset(), "max_tokens": 5}, "abz", ("abzab", "length", None)),
        ({"max_tokens": 0}, "abcz", ("", "length", None)),
        ({"stops": ("a",), "min_tokens": 2}, "abcaz", ("abc", "stop", "a")),
    ],
)
def test_what_ends_a_sequence_and_what_is_told_of_it(
    change: dict[str, Any], script: str, end: tuple[str, str, int | str | None]
) -> None:
    """As vLLM does: the end token is no text, a stop string is named, the rest is sent."""
    assert told(replace(PLAN, **change), script) == end


def test_the_end_may_not_come_before_min_tokens() -> None:
    """The token that ends it cannot be drawn until then."""
    pieces = written(replace(PLAN, min_tokens=3, max_tokens=4), "z")
    assert len(pieces) == 4
    assert END not in [token for piece in pieces[:3] for token in piece.token_ids]
    assert pieces[-1].token_ids == (END,)


def test_a_long_prompt_is_read_in_turns() -> None:
    """So that others have their turns in between; no token is read twice."""
    plan = replace(PLAN, prompt_ids=PROMPT * CHUNK, max_tokens=2)
    model = ScriptedModel(encode("ab"), prompt=2 * CHUNK)
    writer = Writer(0, plan, lambda piece: None)
    pieces = [writer.step(model) for _ in range(3)]
    assert [len(ids) for ids in model.read] == [CHUNK, CHUNK, 1]
    assert [None if p is None else p.text for p in pieces] == [None, "a", "b"]


def test_logprobs_come_with_each_token_as_many_as_were_asked_for() -> None:
    """The drawn token first, then the likeliest; none if none were asked for."""
    for piece in written(replace(PLAN, logprobs=2), "abz"):
        (place,) = piece.logprobs
        assert next(iter(place)) == piece.token_ids[0]
        assert len(place) == 2  # the drawn token is the likeliest
        assert place[piece.token_ids[0]].rank == 1
    assert all(piece.logprobs == () for piece in written(PLAN, "abz"))


def test_a_prompts_logprobs_are_told_once_and_for_each_token_after_the_first() -> None:
    """Over the turns in which a long prompt is read, and whatever the sampling is."""
    plan = replace(
        PLAN,
        prompt_ids=PROMPT * CHUNK,
        max_tokens=3,
        prompt_logprobs=0,
        sampling=Sampling(temperature=0.5, logit_bias={1: 50.0}),
    )
    first, *others = written(plan, "ab")
    assert len(first.prompt_logprobs) == 2 * CHUNK
    assert first.prompt_logprobs[0] is None
    places = first.prompt_logprobs[1:]
    assert [list(p) for p in places if p] == [[t] for t in plan.prompt_ids[1:]]
    expected = float(torch.tensor([10.0] + [0.0] * 63).log_softmax(-1)[1])
    assert places[0] is not None
    assert places[0][plan.prompt_ids[1]].logprob == pytest.approx(expected)
    assert all(piece.prompt_logprobs == () for piece in others)


def test_a_tokens_rank_counts_those_that_are_likelier() -> None:
    """1 is the likeliest."""
    logprobs_V = torch.tensor([0.1, 0.7, 0.2]).log()
    place = position(logprobs_V, 0, top=2)
    assert {token: found.rank for token, found in place.items()} == {0: 3, 1: 1, 2: 2}


class OnlyB:
    """A grammar of one letter."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    @property
    def is_over(self) -> bool:
        return len(self.accepted) == 2

    def mask(self, logits_V: Tensor) -> Tensor:
        masked_V = torch.full_like(logits_V, -torch.inf)
        masked_V[1] = logits_V[1]
        return masked_V

    def accept(self, token: int) -> None:
        self.accepted.append(token)


def test_a_grammar_binds_the_answer_until_it_is_over() -> None:
    """Whatever the model wants to write."""
    assert told(replace(PLAN, grammar=OnlyB), "xyz") == ("bb", "stop", None)


def test_a_grammar_does_not_bind_the_thought() -> None:
    """Only what comes after `</think>`."""
    pieces = {0: "想", 1: "b", 2: "</think>", 3: "c"}
    plan = replace(
        PLAN,
        grammar=OnlyB,
        thinking=True,
        end_ids=frozenset(),
        decode=lambda ids: "".join(pieces[token] for token in ids),
    )
    model = ScriptedModel([0, 0, 2, 3, 3, 3], prompt=len(PROMPT))
    writer = Writer(0, plan, lambda piece: None)
    said = [writer.step(model) for _ in range(5)]
    assert [piece.text for piece in said if piece] == ["想", "想", "</think>", "b", "b"]


def test_an_unseeded_sequence_is_not_the_last_one_again() -> None:
    """Two answers to one prompt differ."""
    plan = replace(PLAN, sampling=Sampling(temperature=2.0), end_ids=frozenset(), max_tokens=16)
    assert told(plan, "a") != told(plan, "a") or told(plan, "a") != told(plan, "a")
    seeded = replace(plan, seed=7)
    assert told(seeded, "a") == told(seeded, "a")
