"""Laws of watching the judge's anchors from a run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

import pytest
from torch import nn

from galen.errors import NotFound
from judge.schemas import Estimate
from tests.fakes.loop_services import LoopJudge, steady
from tests.fakes.rollouts import QueuedRollouts, rollout_of
from tests.fakes.services import Refusal
from trainer.recipes import Services
from trainer.rl.drift import WatchedRollouts


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


def watched(judge: LoopJudge, every: int) -> WatchedRollouts:
    rollouts = QueuedRollouts(deque([rollout_of(0.5)] for _ in range(9)))
    return WatchedRollouts(rollouts, Services(judge=judge.url, drift_every=every), "r")


def test_the_anchors_are_looked_at_every_so_many_batches(judge: LoopJudge) -> None:
    """Before the first batch, which makes the baseline, and then at each multiple; under the run's
    name, so that it pays."""
    source = watched(judge, every=3)
    for batch in range(7):
        source.draw(nn.Identity(), batch, 8 * batch)
    asked = judge.asked("POST", "/v1/drift")
    assert asked == [{"rubric": "medical-safety", "run": "r", "step": step} for step in (0, 24, 48)]


def test_zero_never_looks(judge: LoopJudge) -> None:
    """The switch is off."""
    _, facts = watched(judge, every=0).draw(nn.Identity(), 0, 0)
    assert facts == {"reward_mean": 0.5}
    assert judge.requests == []


def test_an_alarm_is_in_the_figures_and_warns_and_training_goes_on(
    judge: LoopJudge, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch is drawn all the same; its row and the log say what was found."""
    shift = {"safety": Estimate(value=-0.2, low=-0.3, high=-0.1)}
    judge.drift.append(steady(shift=shift, alarm=True, reason="safety moved by -0.20"))
    rollouts, facts = watched(judge, every=1).draw(nn.Identity(), 4, 32)
    assert len(rollouts) == 1
    assert facts.pop("drift_s") > 0
    assert facts == {"reward_mean": 0.5, "drift_shift": 0.2, "drift_alarm": 1}
    (line,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert line.getMessage() == "batch 5: the judge has drifted: safety moved by -0.20"


def test_a_steady_judge_leaves_figures_and_no_warning(
    judge: LoopJudge, caplog: pytest.LogCaptureFixture
) -> None:
    """Silence in the log means that somebody looked."""
    with caplog.at_level(logging.INFO, "trainer"):
        _, facts = watched(judge, every=1).draw(nn.Identity(), 0, 0)
    assert (facts["drift_shift"], facts["drift_alarm"]) == (0.0, 0)
    assert [r.levelno for r in caplog.records if r.name == "trainer.rl.drift"] == [logging.INFO]


def test_anchors_that_could_not_be_judged_are_no_calm(
    judge: LoopJudge, caplog: pytest.LogCaptureFixture
) -> None:
    """No figure is written for a look that saw nothing, and the run goes on."""
    source = watched(judge, every=1)
    judge.drift.extend(
        [steady(judged=0, shift={}, reason="only 0 of 12 anchors"), Refusal(503, "full")]
    )
    for batch in range(2):
        _, facts = source.draw(nn.Identity(), batch, 0)
        assert facts.keys() == {"reward_mean", "drift_s"}
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == [
        "batch 1: the anchors were not checked: only 0 of 12 anchors",
        "batch 2: the anchors were not checked: full",
    ]


def test_a_judge_of_another_make_stops_the_run(judge: LoopJudge) -> None:
    """An error that waiting cannot mend is not swallowed."""
    judge.drift.append(Refusal(404, "no such rubric"))
    with pytest.raises(NotFound):
        watched(judge, every=1).draw(nn.Identity(), 0, 0)
