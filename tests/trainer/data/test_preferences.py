"""Laws of preferences out of votes and out of judged completions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from galen.errors import DataError, InvalidInput
from judge.audit_schemas import Vote, VoteChoice
from trainer.data import preferences
from trainer.data.formats import preference, recognise, unpaired
from trainer.data.preferences import Judged


def vote(choice: VoteChoice, a: str = "x", b: str = "y", prompt: str = "q") -> Vote:
    return Vote(prompt=prompt, response_a=a, response_b=b, model_a="A", model_b="B", vote=choice)


def pairs(*votes: Vote) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    skipped: Counter[str] = Counter()
    found = [(e.chosen, e.rejected) for e in preferences.pairs_of_votes(votes, skipped)]
    return found, skipped


def judged(reward: float | None, completion: str = "a", **more: Any) -> Judged:
    return Judged.model_validate(
        {"prompt": "q", "completion": completion, "reward": reward, **more}
    )


def extremes(*rollouts: Judged, least: float = 0.2) -> list[tuple[Any, ...]]:
    found = preferences.pairs_of_rollouts(rollouts, least, Counter())
    return [(e.chosen, e.rejected) for e in found]


def test_the_majority_prefers_whatever_the_sides() -> None:
    """The same two answers are one poll, also where a page showed them the other way round."""
    votes = [vote("a"), vote("b", "y", "x"), vote("b")]
    (found,) = preferences.pairs_of_votes(votes, Counter())
    assert (found.chosen, found.rejected) == ("x", "y")
    assert found.extra == {"votes": [2, 1], "models": ["A", "B"]}


@pytest.mark.parametrize("choices", [["a", "b"], ["tie"], ["both_bad"], ["tie", "both_bad"]])
def test_no_majority_is_no_preference(choices: list[VoteChoice]) -> None:
    """It is counted, with the reason."""
    found, skipped = pairs(*(vote(each) for each in choices))
    assert (found, skipped) == ([], {"as many votes for either": 1})


@pytest.mark.parametrize("answer", ["", "<think>\nnever closed", "<think>\na\n</think>"])
def test_nobody_learns_an_answer_that_is_none(answer: str) -> None:
    """Even if all preferred it; as the worse one it may stand."""
    assert pairs(vote("a", a=answer))[0] == []
    if answer:
        assert len(pairs(vote("b", a=answer))[0]) == 1


def test_a_vote_between_equals_is_no_vote() -> None:
    """Both answers are the same text."""
    assert pairs(vote("a", "x", "x")) == ([], {"both answers are the same": 1})


def test_a_thought_is_written_as_it_is_trained() -> None:
    """Whatever white space the model put about it."""
    found, _ = pairs(vote("a", a="<think>t</think>x"))
    assert found == [("<think>\nt\n</think>\n\nx", "y")]


def test_single_answers_are_liked_or_disliked() -> None:
    """Who prefers one dislikes the other; both bad dislikes both; a tie says nothing."""
    votes = [vote("a"), vote("both_bad", "v", "w"), vote("tie", "r", "s"), vote("a"), vote("b")]
    skipped: Counter[str] = Counter()
    found = list(preferences.unpaired_of_votes(votes, skipped))
    assert [(e.completion, e.liked) for e in found] == [
        ("x", True),
        ("y", False),
        ("v", False),
        ("w", False),
    ]
    assert skipped == {"as many likes as dislikes": 2}


def test_written_rows_are_read_as_what_they_are() -> None:
    """By the one door, with their votes beside them."""
    (pair,) = preferences.pairs_of_votes([vote("a")], Counter())
    row = preference.FORMAT.write(pair)
    assert recognise(row).read(row) == pair
    single = next(preferences.unpaired_of_votes([vote("a")], Counter()))
    row = unpaired.FORMAT.write(single)
    assert recognise(row).read(row) == single


def test_best_and_worst_of_a_prompt_are_the_pair() -> None:
    """Of those that were judged and not cut off."""
    assert extremes(
        judged(0.1, "low"),
        judged(0.9, "high"),
        judged(0.5, "middle"),
        judged(None, "failed"),
        judged(1.5, "cut off", finish_reason="length"),
        judged(0.7, "of another prompt", prompt="p"),
    ) == [("high", "low")]


def test_a_flagged_answer_is_never_the_better_one() -> None:
    """However much it was rewarded."""
    flagged = judged(0.9, "flagged", flags=["rx_misuse"])
    assert extremes(flagged, judged(0.6, "sound"), judged(0.1, "poor")) == [("sound", "poor")]
    assert extremes(flagged, judged(0.8, "flagged too", flags=["rx_misuse"])) == []


def test_rewards_of_two_scales_are_never_compared() -> None:
    """Those of the rules alone are on another scale than those with a teacher."""
    assert extremes(judged(0.1), judged(0.9, "b", status="rules_only")) == []


@pytest.mark.parametrize(("distance", "count"), [(0.25, 1), (0.125, 0)])
def test_a_pair_has_the_least_distance(distance: float, count: int) -> None:
    """Less is noise of the judge."""
    assert len(extremes(judged(0.5), judged(0.5 - distance, "b"), least=0.25)) == count


def test_the_prompt_is_the_whole_conversation() -> None:
    """With its system message and its earlier turns, where the run kept them."""
    more = {"instruction": "s", "history": [["q0", "a0"]]}
    found = preferences.pairs_of_rollouts(
        [judged(0.0, "b", **more), judged(1.0, **more)], 0.5, Counter()
    )
    (pair,) = found
    assert [each.content for each in pair.messages] == ["s", "q0", "a0", "q"]


def test_a_runs_completions_are_read_in_order(tmp_path: Path) -> None:
    """All files of the folder; a line that is none is named."""
    folder = tmp_path / "completions"
    folder.mkdir()
    for number in (2, 1):
        line = {"prompt": f"q{number}", "completion": "a", "reward": 0.5, "rules": []}
        (folder / f"batch-{number:05d}.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    assert [each.prompt for each in preferences.read_completions(tmp_path)] == ["q1", "q2"]
    (folder / "batch-00003.jsonl").write_text('{"prompt": "q"}\n', "utf-8")
    with pytest.raises(DataError, match="line 1: no judged completion"):
        list(preferences.read_completions(tmp_path))


def test_a_folder_without_completions_is_named(tmp_path: Path) -> None:
    """And what should be there."""
    with pytest.raises(InvalidInput, match="name a run"):
        list(preferences.read_completions(tmp_path))
