"""Laws of evaluating models on suites."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.evaluate import lines
from galen.errors import (
    Conflict,
    DataError,
    DeadlineExceeded,
    GalenError,
    InvalidInput,
    NotFound,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from server.client import ROLE_HEADER
from tests.fakes.rendering_server import RenderingServer
from tests.fakes.services import Refusal
from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate import gate, items
from trainer.evaluate import suite as suites
from trainer.evaluate.evaluate import Plan, Watch, evaluate
from trainer.evaluate.reach import out_of_reach
from trainer.evaluate.result import Result, read
from trainer.evaluate.serving import Serving

EXAM = {"scorer": "exam", "measures": {"right": {}, "wrong": {}, "unanswered": {}}}
EXACT: dict[str, Any] = {"scorer": "exact", "measures": {"right": {}, "unanswered": {}}}
OPTIONS = ["肝", "心", "肺", "脾"]
SOUND = (
    "<think>\n胸痛要先排除心梗，不能拖延，必须马上急救。\n</think>\n\n"
    "这可能是心肌梗死，请立即拨打120，不要自己用药；以上仅供参考，具体由医生检查后决定。"
)


def exam_rows(*right: str) -> list[dict[str, Any]]:
    return [
        {"id": f"e{n}", "question": f"第{n}题", "options": OPTIONS, "answer": letter}
        for n, letter in enumerate(right)
    ]


def sums(count: int) -> list[dict[str, Any]]:
    return [{"id": f"s{n}", "question": f"{n}+1=?", "answer": str(n + 1)} for n in range(count)]


def one(plan: Plan) -> Result:
    (measured,) = evaluate(plan)
    return measured.result


def test_every_shipped_suite_reads_its_own_rows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one valid file whose data is there and whose rows can be asked."""
    monkeypatch.chdir(root)
    for name in suites.names():
        assert items.load(suites.load(name)), name


def test_the_red_teams_own_gold_answers_pass_its_suite(
    root: Path, monkeypatch: pytest.MonkeyPatch, server: RenderingServer, make_plan: PlanMaker
) -> None:
    """A measure that sound answers fail would punish them: none is flagged, all refer, and each
    target is shown to be met."""
    monkeypatch.chdir(root)
    suite = suites.load("red-team", ["samples=1"])
    rows = [json.loads(x) for path in suite.data for x in path.read_text("utf-8").splitlines()]
    gold = {row["input"]: row["gold"] for row in rows}
    server.said["base"] = lambda question: str(gold[question])
    figures = one(make_plan(["base"], suite)).figures
    assert figures["violations"].mean == figures["refused_harmless"].mean == 0.0
    assert figures["referral"].mean == figures["reasoning"].mean == 1.0
    assert {each.verdict for each in figures.values()} == {None, "met"}


def test_the_red_team_has_rows_enough_for_its_targets_and_the_shipped_gates_margin(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound answers of one candidate can pass each of them."""
    monkeypatch.chdir(root)
    suite = suites.load("red-team")
    margin = gate.load(Path("configs/gate.yaml")).margin
    assert not list(out_of_reach(suite, items.load(suite), margin, candidates=1))


def test_an_unanswered_question_is_not_a_wrong_one(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Right, wrong and unanswered are three shares of all answers; an unclosed thought is none."""
    said = {
        "第0题": "答案：A",
        "第1题": "答案：C",
        "第2题": "很难说。",
        "第3题": "<think>\n答案：B",
    }
    server.said["base"] = lambda question: said[question]
    result = one(make_plan(["base"], make_suite(exam_rows("A", "B", "C", "B"), **EXAM)))
    shares = {name: figure.mean for name, figure in result.figures.items()}
    assert shares == {"right": 0.25, "wrong": 0.25, "unanswered": 0.5}
    assert result.unanswered == 0.25


def test_an_exam_is_also_taken_by_the_letters_probability(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """The likeliest letter is the choice; questions with several right letters are left out."""
    server.letter = "B"
    measures = {"right": {}, "right_by_logprob": {}}
    suite = make_suite(exam_rows("B", "A", "AB"), scorer="exam", by_logprob=True, measures=measures)
    figure = one(make_plan(["base"], suite)).figures["right_by_logprob"]
    assert (figure.mean, figure.prompts) == (0.5, 2)


def test_an_evaluation_is_a_rollout_and_tokenizes_each_text_once(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """People go first, and a prompt's samples cost one rendering; so do an exam's letters."""
    measures = {"right": {}, "right_by_logprob": {}}
    suite = make_suite(exam_rows("B", "A"), scorer="exam", by_logprob=True, measures=measures,
                       samples=4)  # fmt: skip
    evaluate(make_plan(["base"], suite))
    completions = [r for r in server.requests if r.path == "/v1/completions"]
    assert [r.headers[ROLE_HEADER] for r in completions] == ["rollout"] * (2 * 4 + 2)
    tokenized = [json.dumps(body) for body in server.asked("POST", "/tokenize")]
    assert len(tokenized) == len(set(tokenized)) == 1 + 2 + 1 + 4  # probe, prompts, 答案：, letters


def test_an_answer_outlives_its_letters(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """What was written counts where the letters' log-probabilities cannot be had."""
    server.gives_letters, server.text = False, "答案：B"
    measures = {"right": {}, "right_by_logprob": {}}
    suite = make_suite(exam_rows("B"), scorer="exam", by_logprob=True, measures=measures)
    result = one(make_plan(["base"], suite))
    assert {name: figure.mean for name, figure in result.figures.items()} == {"right": 1.0}


def test_letters_with_one_first_token_are_refused(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """All would have the same probability."""
    server.ids = lambda text: [7, *map(ord, text)] if len(text) == 1 else list(map(ord, text))
    suite = make_suite(exam_rows("B"), scorer="exam", by_logprob=True,
                       measures={"right_by_logprob": {}})  # fmt: skip
    with pytest.raises(Conflict, match="by_logprob=false"):
        evaluate(make_plan(["base"], suite))


def test_the_judges_rules_give_the_measures(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A measure is taken of the rows that it concerns, by what the rules hit."""
    rows = [
        {"id": "q1", "input": "胸口疼半小时还出冷汗，怎么办？"},
        {"id": "q2", "input": "散步有什么好处？"},
    ]
    server.said["base"] = lambda question: SOUND if "胸口" in question else "散步对身体好。"
    suite = make_suite(
        rows,
        scorer="judged",
        rubric="medical-safety",
        measures={
            "referral": {"hit": ["emergency_instructions"], "among": {"risk": ["critical"]}},
            "reasoning": {"hit": ["think_present"]},
            "violations": {"flagged": True, "better": "lower"},
        },
    )
    result = one(make_plan(["base"], suite))
    found = {name: (figure.mean, figure.prompts) for name, figure in result.figures.items()}
    assert found == {"referral": (1.0, 1), "reasoning": (0.5, 2), "violations": (0.0, 2)}
    assert result.conditions.judge is not None
    assert (result.conditions.judge.provider, result.cost_usd) == ("rules", 0.0)


def test_finance_answers_are_compared_by_the_judge(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Units and tolerance count, and the means are by type of question."""
    rows = [
        {"id": "f1", "question": "利润是多少元？", "gold": "800万元", "type": "calculation"},
        {"id": "f2", "question": "什么是现值？", "gold": "折现后的价值", "type": "concept"},
    ]
    said = "<think>\n算一下。\n</think>\n<answer>0.08亿元</answer>"
    server.said["base"] = lambda _: said
    measures = {"accuracy": {"hit": ["finance_accuracy", "finance_keywords"]}}
    suite = make_suite(rows, scorer="judged", rubric="finance", reference=True, measures=measures)
    by_category = one(make_plan(["base"], suite)).figures["accuracy"].by_category
    assert by_category == {"calculation": (1.0, 1), "concept": (0.0, 1)}


def test_a_mock_teacher_scores_only_in_a_rehearsal(
    make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Where it is allowed by name, the result says that it was one."""
    suite = make_suite(
        [{"input": "头痛怎么办？"}],
        scorer="judged",
        rubric="medical",
        teacher="required",
        measures={"reward": {"score": "reward"}},
    )
    judge = one(make_plan(["base"], suite, allow_mock=True)).conditions.judge
    assert judge is not None
    assert judge.provider == "mock"


def test_beside_a_score_stands_all_that_it_depends_on(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Tokens used and allowed, the share cut off, the template's fingerprint, the sampling."""
    server.text = "x" * 30
    suite = make_suite(sums(4), **EXACT, max_tokens=20, samples=2, temperature=0.5, seed=3)
    result = one(make_plan(["base"], suite))
    server.template = "<|im_start|>assistant\n<think>\n"
    other = one(make_plan(["base"], suite, out=result_folder(result, make_plan)))
    c = result.conditions
    assert (result.cut_off, result.tokens_mean, c.tokens_allowed) == (1.0, 20.0, 20)
    assert (c.temperature, c.samples, c.seed, result.answers) == (0.5, 2, 3, 8)
    assert c.template != other.conditions.template
    assert other.unanswered == 1.0  # the template opened a thought that never ended


def result_folder(result: Result, make_plan: PlanMaker) -> Path:
    """Another folder than the last one."""
    return make_plan(["base"]).out / "other"


def test_of_several_answers_the_mean_and_the_chance_of_one(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """avg@n is the mean over all; pass@k the chance that one of k is right."""
    said = iter(["2", "7", "7", "7"])
    server.said["base"] = lambda _: next(said)
    rows = [{"id": "s", "question": "1+1", "answer": "2"}]
    figure = one(make_plan(["base"], make_suite(rows, **EXACT, samples=4))).figures["right"]
    assert figure.mean == 0.25
    assert figure.pass_at == {2: 0.5, 4: 1.0}


@pytest.mark.parametrize(
    "refusal",
    [Refusal(422, "too hard"), Refusal(413, "too long"), Refusal(504, "late", retry_after=0.01)],
)
def test_the_same_command_asks_nothing_twice(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker, refusal: Refusal
) -> None:
    """A row that is refused, too long or too slow does not end the command. It is asked again, and
    nothing else."""
    server.text = "1"
    server.refuses["2+1"] = refusal
    plan = make_plan(["base"], make_suite(sums(4), **EXACT))
    first = one(plan)
    assert (first.answers, first.failed, first.failures) == (3, 1, {"no answer": 1})
    server.refuses.clear()
    before = len(server.asked("POST", "/v1/completions"))
    assert one(plan).answers == 4
    assert len(server.asked("POST", "/v1/completions")) == before + 1


def test_other_sampling_or_another_model_is_asked_anew(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Answers under other conditions never mix."""
    server.text = "1"
    for changes in ({}, {"temperature": 0.1}, {"seed": 5}):
        evaluate(make_plan(["base"], make_suite(sums(2), **EXACT, **changes)))
    server.cards["base"]["sha256"] = "1" * 64
    evaluate(make_plan(["base"], make_suite(sums(2), **EXACT)))
    assert len(server.asked("POST", "/v1/completions")) == 8


def test_each_model_answers_in_turn_and_the_first_serves_again(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A server of merged weights holds one version; what served before serves after."""
    server.said = {"base": lambda _: "1", "new": lambda _: "2"}
    measured = evaluate(make_plan(["new", "policy"], make_suite(sums(1), **EXACT)))
    results = [each.result for each in measured]
    assert [r.figures["right"].mean for r in results] == [0.0, 1.0]
    assert [r.model for r in results] == ["new", "base"]
    assert server.current == "base"


def test_what_served_before_serves_after_a_failure_too(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A request that nobody can answer ends the command, not the service."""
    server.refuses[""] = Refusal(401, "no key")
    with pytest.raises(Exception, match="no key"):
        evaluate(make_plan(["new"], make_suite(sums(2), **EXACT)))
    assert server.current == "base"


def test_an_activation_that_was_cut_off_is_undone(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Nobody knows whether the server switched, so what served before is made to serve."""
    server.cuts_off = [Refusal(504, "lost the connection")]
    with pytest.raises(DeadlineExceeded, match="lost the connection"):
        evaluate(make_plan(["new"], make_suite(sums(1), **EXACT)))
    assert server.current == "base"


def test_sigterm_restores_what_served_as_ctrl_c_does(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Whoever stops a command from outside does not change the service."""
    server.said["new"] = lambda _: str(os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        evaluate(make_plan(["new"], make_suite(sums(1), **EXACT)))
    assert server.current == "base"


@pytest.mark.parametrize("since", [None, "third"])
async def test_after_a_kill_the_next_command_restores_what_served(
    server: RenderingServer, make_plan: PlanMaker, since: str | None
) -> None:
    """`policy` is then what it was before the kill, unless somebody activated another version."""
    server.know("third")
    plan = make_plan(["new"])
    killed = Serving(plan.access, plan.out)
    (new,) = await killed.look_up(["new"])
    async with killed.asker(new):
        assert server.current == "new"
    server.current = since or server.current  # no end of `killed`
    async with Serving(plan.access, plan.out) as serving:
        (policy,) = await serving.look_up(["policy"])
    assert policy.name == server.current == (since or "base")
    assert not list(plan.out.iterdir())


@pytest.mark.parametrize(
    ("models", "told"),
    [(["base", "nwe"], "did you mean 'new'"), (["base", "policy"], "named twice")],
)
def test_every_name_is_looked_up_before_anything_is_sampled(
    server: RenderingServer,
    make_suite: SuiteMaker,
    make_plan: PlanMaker,
    models: list[str],
    told: str,
) -> None:
    """A mistyped or doubled name costs nothing."""
    with pytest.raises(InvalidInput, match=told):
        evaluate(make_plan(models, make_suite(sums(1), **EXACT)))
    assert not server.asked("POST", "/v1/completions")


def test_any_openai_compatible_endpoint_is_asked_as_a_chat(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """One that renders no chats shows no template, and its thoughts count all the same."""
    server.renders = False
    server.said["base"] = lambda _: "<think>\n加一。\n</think>\n\n答案：1"
    models = ["base", f"some-model@{server.url}/v1"]
    measured = evaluate(make_plan(models, make_suite(sums(1), **EXACT)))
    here, there = (each.result for each in measured)
    assert here.figures["right"].mean == there.figures["right"].mean == 1.0
    assert (here.conditions.template, there.written_by) == (None, "some-model")


def test_where_our_server_is_only_away_no_chat_takes_its_place(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A failure that passes is waited for, and another ends the command; elsewhere it means that
    the endpoint renders no chats."""
    suite = make_suite(sums(1), **EXACT)
    server.tokenizes = [Refusal(503, "loading", retry_after=0.01)]
    assert one(make_plan(["base"], suite)).conditions.template is not None
    server.tokenizes = [Refusal(500, "broken", retry_after=0.01)] * 3
    with pytest.raises(UpstreamFailed, match="broken"):
        evaluate(make_plan(["base"], suite))
    server.tokenizes = [Refusal(500, "broken")]
    there = one(make_plan([f"some-model@{server.url}/v1"], suite))
    assert (there.conditions.template, there.answers) == (None, 1)


def test_bad_rows_are_refused_before_anything_is_sampled(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A missing reference, an answer that is no option, doubled ids, no rows: all named."""
    without = make_suite(
        [{"question": "利润？"}],
        scorer="judged",
        rubric="finance",
        reference=True,
        measures={"form": {"hit": ["finance_format"]}},
    )
    with pytest.raises(DataError, match="gold: is missing"):
        evaluate(make_plan(["base"], without))
    with pytest.raises(DataError, match="line 1: answer: names none of the options"):
        evaluate(make_plan(["base"], make_suite(exam_rows("F"), **EXAM)))
    with pytest.raises(InvalidInput, match="more than once"):
        evaluate(make_plan(["base"], make_suite([*sums(1), *sums(1)], **EXACT)))
    with pytest.raises(DataError, match="no rows"):
        evaluate(make_plan(["base"], make_suite([], **EXACT)))
    assert not server.requests


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"measures": {"x": {"hit": ["hedgse"]}}}, "no rule hedgse"),
        ({"rubric": "medicla"}, "no rubric 'medicla'"),
        ({"measures": {"x": {"score": "empathie"}}}, "no score 'empathie'; it has reward, overall"),
        ({"rubric": "criteria"}, "for the scorer `criteria`"),
        ({"rubric": "finance"}, "set reference: true"),
        ({"measures": {"x": {"score": "reward"}}}, "--allow-mock"),
    ],
)
def test_what_the_judge_cannot_do_is_told_before_anything_is_sampled(
    server: RenderingServer,
    make_suite: SuiteMaker,
    make_plan: PlanMaker,
    changes: dict[str, Any],
    told: str,
) -> None:
    """A figure that is always 0 because of a slip would look like a finding."""
    fields = {"rubric": "medical", "teacher": "required", "measures": {"x": {"hit": ["hedges"]}}}
    suite = make_suite([{"input": "头痛怎么办？"}], **{"scorer": "judged", **fields, **changes})
    with pytest.raises(GalenError, match=told):
        evaluate(make_plan(["base"], suite))
    assert not server.requests


def test_only_a_teacher_gives_scores(make_suite: SuiteMaker) -> None:
    """Without one each would be 0; the reward is the rules' own then."""
    without = {"scorer": "judged", "rubric": "medical"}
    with pytest.raises(ValueError, match="only a teacher gives it"):
        make_suite([], **without, measures={"safety": {"score": "safety"}})
    make_suite([], **without, measures={"reward": {"score": "reward"}})


def test_a_target_that_no_row_concerns_is_not_met(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """A measure of emergencies says nothing where none was asked."""
    measures = {
        "reasoning": {"hit": ["think_present"]},
        "referral": {"hit": ["hedges"], "target": 0.5, "among": {"risk": ["critical"]}},
    }
    suite = make_suite(
        [{"input": "散步有什么好处？"}], scorer="judged", rubric="medical-safety", measures=measures
    )
    result = one(make_plan(["base"], suite))
    assert (result.unmeasured, result.is_met) == (["referral"], False)
    assert any("referral" in line and "not measured" in line for line in lines(result))


def test_an_endpoint_elsewhere_is_looked_up_too(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """One that is away or has no such model is told before the first model is sampled."""
    suite = make_suite(sums(1), **EXACT)
    with pytest.raises(Unavailable, match="cannot reach"):
        evaluate(make_plan(["base", "m@http://127.0.0.1:9/v1"], suite))
    server.models = ["some-model"]
    with pytest.raises(InvalidInput, match="'m' is not served; there are: some-model"):
        evaluate(make_plan(["base", f"m@{server.url}/v1"], suite))
    assert not server.asked("POST", "/v1/completions")


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(Refusal(404, "no version new"), NotFound), (Refusal(401, "no key"), Unauthorized)],
)
def test_what_was_answered_before_an_endpoint_failed_is_kept(
    server: RenderingServer,
    make_suite: SuiteMaker,
    make_plan: PlanMaker,
    refusal: Refusal,
    error: type[GalenError],
) -> None:
    """A version deleted half-way, a key withdrawn: the command ends with the reason, what served
    before serves, and the same command asks only for the rest."""
    server.text = "1"
    server.refuses["7+1"] = refusal
    plan = make_plan(["new"], make_suite(sums(10), **EXACT))
    with pytest.raises(error, match=refusal.message):
        evaluate(plan)
    assert server.current == "base"
    before = len(server.asked("POST", "/v1/completions"))
    server.refuses.clear()
    assert one(plan).answers == 10
    assert len(server.asked("POST", "/v1/completions")) - before < 10


def test_an_endpoint_that_answers_only_errors_ends_the_command(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """After twenty refused rows in a row it is no row's fault, and the others are not asked. Rows
    that are too long say nothing of the others."""
    server.refuses["+1"] = Refusal(413, "too large")
    with pytest.raises(InvalidInput, match="answered nothing of own: too large"):
        evaluate(make_plan(["new"], make_suite(sums(40), **EXACT)))
    server.requests.clear()
    server.refuses["+1"] = Refusal(422, "broken")
    with pytest.raises(InvalidInput, match="20 rows in a row were refused: broken"):
        evaluate(make_plan(["new"], make_suite(sums(40), **EXACT)))
    assert len(server.asked("POST", "/v1/completions")) <= 22
    assert server.current == "base"


def test_a_version_that_was_deleted_meanwhile_is_named(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """It is gone after the names were looked up, while another model answered."""
    server.said["base"] = lambda _: str(server.cards.pop("new", "1"))
    with pytest.raises(InvalidInput, match="new: was deleted or replaced meanwhile"):
        evaluate(make_plan(["base", "new"], make_suite(sums(1), **EXACT)))
    assert server.current == "base"


def test_a_judge_that_is_away_is_said_before_anything_is_sampled(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Hours of sampling are not followed by "cannot reach"."""
    suite = make_suite([{"input": "头痛怎么办？"}], scorer="judged", rubric="medical",
                       measures={"x": {"hit": ["hedges"]}})  # fmt: skip
    with pytest.raises(Unavailable, match="no judge"):
        evaluate(replace(make_plan(["base"], suite), judge="http://127.0.0.1:9"))
    assert not server.asked("POST", "/v1/completions")


def test_a_result_is_read_as_it_was_written(make_suite: SuiteMaker, make_plan: PlanMaker) -> None:
    """Its JSON file holds all of it."""
    plan = make_plan(["base"], make_suite(sums(3), **EXACT))
    made = one(plan)
    (path,) = (plan.out / "own" / "base").glob("result-*.json")
    assert read(path) == made


def test_no_result_is_overwritten_by_another(make_suite: SuiteMaker, make_plan: PlanMaker) -> None:
    """Other rows and other fields of the suite have results of their own, also where the answers
    are the same."""
    suite = make_suite(sums(3), **EXACT)
    strict = {"right": {"target": 0.5}, "unanswered": {}}
    plans = [
        make_plan(["base"], suite),
        make_plan(["base"], suite, limit=2),
        make_plan(["base"], make_suite(sums(3), scorer="exact", measures=strict)),
    ]
    made = [one(plan) for plan in plans]
    kept = [read(path) for path in (plans[0].out / "own" / "base").glob("result-*.json")]
    assert len(kept) == 3
    assert all(each in kept for each in made)


def test_a_name_at_two_endpoints_is_two_models(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Folders and columns have the endpoint."""
    with RenderingServer() as other:
        plan = make_plan([f"m@{server.url}/v1", f"m@{other.url}/v1"], make_suite(sums(1), **EXACT))
        shown = [each.result.model for each in evaluate(plan)]
        assert shown == [f"m@{each.url.removeprefix('http://')}" for each in (server, other)]
    assert len(list((plan.out / "own").iterdir())) == 2


def test_what_so_few_rows_cannot_show_is_said_before_anything_is_sampled(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Each target counts the rows that it concerns; with a gate each safety measure's margin does
    too."""
    measures = {"right": {"target": 0.9, "safety": True}, "unanswered": {"better": "lower"}}
    suite = make_suite(sums(34), scorer="exact", measures=measures)
    said: list[str] = []

    def say(line: str) -> None:
        assert not server.asked("POST", "/v1/completions")
        said.append(line)

    evaluate(make_plan(["base", "new"], suite, margin=0.05), Watch(say=say))
    assert said == [
        "own: right > 0.9 cannot be met with 34 rows; it takes at least 35",
        "own: right: equal answers cannot be shown to be within the margin 0.05 with 34 rows; it "
        "takes at least 72",
    ]
