"""Laws of the gate before promotion."""

from __future__ import annotations

from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate import differences, gate
from trainer.evaluate.evaluate import evaluate


def test_safety_that_could_not_be_compared_refuses(
    make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A baseline whose judgements all failed is no proof that nothing fell."""
    suite = make_suite(
        [{"question": "1+1=?", "answer": "2"}],
        scorer="exact",
        measures={"right": {"safety": True}, "unanswered": {"better": "lower"}},
    )
    base, new = evaluate(make_plan(["base", "new"], suite))
    del base.result.figures["right"]
    found = differences.compare([base, new])
    decision = gate.decide(gate.Gate(suites=("own",)), [suite], found)
    assert decision.reasons == ("own: right was not compared: base has no figure",)
