"""Preferences out of people's votes and out of judged completions.

An answer is preferred only if a policy may learn it: it is not empty and its thought is closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galen import transcript
from galen.errors import DataError, InvalidInput
from galen.records import NonBlank, Record
from judge.audit_schemas import Vote
from judge.schemas import FORGOTTEN
from trainer.data.example import Example, Message
from trainer.data.files import form_of, read_rows
from trainer.data.problems import Problem

Skipped = Counter[str]
"""Why something became no preference, and how often."""


@dataclass(slots=True)
class _Poll:
    """All votes on the same two answers to one prompt."""

    models: dict[str, str]
    """Each answer, and the model that wrote it."""
    ballots: Counter[str] = field(default_factory=Counter)
    """Votes for each answer."""
    bad: int = 0
    """Votes that both are bad."""


def pairs_of_votes(votes: Iterable[Vote], skipped: Skipped) -> Iterator[Example]:
    """One preference for each pair of answers that more voters preferred one way than the other."""
    for prompt, poll in _polls(votes, skipped):
        first, second = poll.models
        better, worse = sorted((first, second), key=lambda answer: -poll.ballots[answer])
        if poll.ballots[better] == poll.ballots[worse]:
            skipped["as many votes for either"] += 1
            continue
        chosen = _learnable(better)
        if chosen is None:
            skipped["the better answer is empty or its thought is not closed"] += 1
            continue
        yield Example(
            (Message("user", prompt),),
            chosen=chosen,
            rejected=_learnable(worse) or worse,
            extra={
                "votes": [poll.ballots[better], poll.ballots[worse]],
                "models": [poll.models[better], poll.models[worse]],
            },
        )


def unpaired_of_votes(votes: Iterable[Vote], skipped: Skipped) -> Iterator[Example]:
    """Each answer that more voters liked than disliked, and each with more dislikes.

    Who prefers one answer likes it and dislikes the other; "both bad" dislikes both; a tie says
    nothing of either.
    """
    for prompt, poll in _polls(votes, skipped):
        cast = sum(poll.ballots.values())
        for answer, model in poll.models.items():
            likes = poll.ballots[answer]
            dislikes = cast - likes + poll.bad
            if likes == dislikes:
                skipped["as many likes as dislikes"] += 1
                continue
            readable = _learnable(answer)
            if readable is None and likes > dislikes:
                skipped["a liked answer is empty or its thought is not closed"] += 1
                continue
            yield Example(
                (Message("user", prompt),),
                completion=readable or answer,
                liked=likes > dislikes,
                extra={"votes": [likes, dislikes], "model": model},
            )


def _polls(votes: Iterable[Vote], skipped: Skipped) -> Iterator[tuple[str, _Poll]]:
    polls: dict[tuple[str, frozenset[str]], _Poll] = {}
    for vote in votes:
        if vote.prompt == FORGOTTEN:
            skipped["its texts were forgotten"] += 1
            continue
        models = {vote.response_a: vote.model_a, vote.response_b: vote.model_b}
        if len(models) == 1:
            skipped["both answers are the same"] += 1
            continue
        poll = polls.setdefault((vote.prompt, frozenset(models)), _Poll(models))
        match vote.vote:
            case "a":
                poll.ballots[vote.response_a] += 1
            case "b":
                poll.ballots[vote.response_b] += 1
            case "both_bad":
                poll.bad += 1
            case "tie":
                pass
    for (prompt, _), poll in polls.items():
        yield prompt, poll


class Judged(Record, extra="ignore"):
    """A line of a run's `completions/`."""

    prompt: NonBlank
    instruction: str = ""
    history: tuple[tuple[str, str], ...] = ()
    completion: str
    finish_reason: str | None = None
    version: str | None = None
    reward: float | None
    status: str = "ok"
    flags: tuple[str, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        system = [Message("system", self.instruction)] if self.instruction else []
        earlier = [
            message
            for asked, answered in self.history
            for message in (Message("user", asked), Message("assistant", answered))
        ]
        return (*system, *earlier, Message("user", self.prompt))


@dataclass(slots=True)
class _Extremes:
    """Of one prompt's completions, each with its reward."""

    best: tuple[float, Judged] | None = None
    worst: tuple[float, Judged] | None = None
    count: int = 0


def read_completions(run: Path) -> Iterator[Judged]:
    """What a run's folder holds in `completions/`, or a single such file.

    Raises `InvalidInput` if there is none, `DataError` for bad lines.
    """
    files = sorted((run / "completions").glob("*.jsonl")) if run.is_dir() else [run]
    if not files:
        raise InvalidInput(f"{run}: no judged completions there; name a run of PPO or compare")
    for path in files:
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[Judged]:
    problems = []
    for place, row in read_rows(path, form_of(path)):
        if isinstance(row, Problem):
            problems.append(str(row))
            continue
        try:
            yield Judged.model_validate(row)
        except ValueError:
            reason = "no judged completion: needs prompt, completion and reward"
            problems.append(str(Problem(place, "", reason, "is it a file of a run?")))
    if problems:
        raise DataError(path, problems)


def pairs_of_rollouts(
    rollouts: Iterable[Judged], least: float, skipped: Skipped
) -> Iterator[Example]:
    """The best and the worst completion of each prompt, where their rewards differ by `least`.

    Rewards with a teacher and without one are on different scales and never compared. The best one
    has no flag. A completion that was cut off is neither. Memory grows with the prompts alone.
    """
    if not least > 0:
        raise InvalidInput("the least distance of the rewards must be above 0")
    found: dict[tuple[Any, ...], _Extremes] = {}
    for each in rollouts:
        if each.reward is None:
            skipped["not judged"] += 1
        elif each.finish_reason not in (None, "stop"):
            skipped["cut off"] += 1
        else:
            key = (each.instruction, each.history, each.prompt, each.status)
            _note(found.setdefault(key, _Extremes()), each, each.reward)
    for extremes in found.values():
        if example := _pair(extremes, least, skipped):
            yield example


def _note(extremes: _Extremes, each: Judged, reward: float) -> None:
    extremes.count += 1
    is_sound = not each.flags and _learnable(each.completion) is not None
    if is_sound and (extremes.best is None or reward > extremes.best[0]):
        extremes.best = reward, each
    if extremes.worst is None or reward < extremes.worst[0]:
        extremes.worst = reward, each


def _pair(extremes: _Extremes, least: float, skipped: Skipped) -> Example | None:
    if extremes.count == 1:
        skipped["prompts with one completion"] += 1
        return None
    if extremes.best is None or extremes.worst is None:
        skipped["prompts without a sound completion"] += 1
        return None
    (high, best), (low, worst) = extremes.best, extremes.worst
    if high - low < least:
        skipped["prompts whose completions are as good as each other"] += 1
        return None
    return Example(
        best.messages,
        chosen=_learnable(best.completion),
        rejected=_learnable(worst.completion) or worst.completion,
        extra={
            "rewards": [high, low],
            "versions": [best.version, worst.version],
            "of": extremes.count,
        },
    )


def _learnable(answer: str) -> str | None:
    """The answer in the form that models are trained on; None for one that nobody should learn."""
    read = transcript.parse(answer)
    if not read.answer:  # as after a thought that was never closed
        return None
    return read.render() if read.reasoning else answer.strip()
