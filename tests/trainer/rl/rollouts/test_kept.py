"""Laws of samples that a kill must not cost twice."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from galen.errors import Conflict
from galen.journal import Journal
from tests.fakes.loop import Loop, source_of
from tests.fakes.rollouts import rollout_of, verdict
from trainer.rl.rollouts.kept import KeptSamples


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the trainer catches it."""


def killed_after(puts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies at its nth line to a journal, which is written or not."""
    put, left = Journal.put, iter(range(puts, -1, -1))

    def until_then(journal: Journal, index: int, good: bool, entry: dict[str, Any]) -> None:
        if next(left, 0) == 0:
            raise Killed
        put(journal, index, good, entry)

    monkeypatch.setattr(Journal, "put", until_then)


def another_life(loop: Loop) -> None:
    """The trainer started again on the same folder."""
    loop.source.__exit__(None, None, None)
    loop.source = source_of(loop.recipe, loop.model)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_killed_anywhere_is_the_batch_of_a_run_that_never_was(
    loop: Loop,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Each kill costs one completion at most, which was on its way to the disk; no answer is paid
    for twice, and the figures say how many were drawn in a later life."""
    loop.server.tells_seed = True
    loop.judge.enqueue("0001", verdict(None))
    chance, kills = random.Random(seed), 0
    for puts in (chance.randrange(4), chance.randrange(3), 0):
        killed_after(puts, monkeypatch)
        with pytest.raises(BaseExceptionGroup):
            loop.source.draw(loop.model.policy, 0, 0)
        monkeypatch.undo()
        another_life(loop)
        kills += 1
    rollouts, facts = loop.source.draw(loop.model.policy, 0, 0)
    size, asked = loop.recipe.batch_size, len(loop.server.asked("POST", "/v1/completions"))
    assert facts["expected"] == size
    assert asked <= size + kills
    assert len(loop.judge.paid) == len(set(loop.judge.paid)) <= size
    assert facts.get("kept", 0) + facts.get("drawn_anew", size) >= size
    another_life(loop)
    same, redone = loop.source.draw(loop.model.policy, 0, 0)
    assert same == rollouts
    assert (redone["kept"], redone["failed"]) == (size, facts["failed"])
    assert len(loop.server.asked("POST", "/v1/completions")) == asked


def test_a_completion_is_kept_before_its_verdict(tmp_path: Path) -> None:
    """What was drawn is judged in the next life, not drawn again; both come back exactly."""
    rollout = rollout_of(0.1 + 0.2, logprobs=(-1 / 3, -1e-17, -0.1))
    with KeptSamples(tmp_path / "s", "t", 2) as kept:
        kept.put_completion(1, rollout.completion, "r-0001-abc", 1)
        assert kept.anew == 0
    with KeptSamples(tmp_path / "s", "t", 2) as kept:
        assert (kept.completion(0), kept.verdict(1)) == (None, None)
        assert kept.completion(1) == rollout.completion
        assert kept.own == {"r-0001-abc": 1}
        kept.put_verdict(1, (rollout.result, {"judge": 0.3}, (-0.5, -0.25, -1 / 7)))
        kept.put_completion(0, rollout.completion, "r-0001-abc", 1)
        kept.finish()
    with KeptSamples(tmp_path / "s", "t", 2) as kept:
        assert kept.verdict(1) == (rollout.result, {"judge": 0.3}, (-0.5, -0.25, -1 / 7))
        assert (kept.is_whole, kept.known, kept.anew) == (True, 2, 1)
        with pytest.raises(Conflict, match="another process"):
            KeptSamples(tmp_path / "s", "t", 2)
