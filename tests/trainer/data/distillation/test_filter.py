"""Laws of the filter: which rows are learnt, which are practised on, and which are tested."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.data.filter import _rules
from galen.errors import Conflict, DataError, Unavailable
from judge.client import JudgeClient
from judge.schemas import (
    ItemError,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
    TeacherVerdict,
    Usage,
)
from trainer.data.distillation.filter import BATCH, FILES, GOOD, UNKNOWN, Filter, Limits, Row
from trainer.data.reader import DataFile

RULES = _rules()
GRADED = Path(__file__).parents[5] / "shared" / "data" / "finance_r1_graded.json"


def reply(answer: str) -> str:
    return f"<think>\n想了又想，得出结论\n</think>\n\n<answer>{answer}</answer>"


def row(number: int, answer: str = "8", gold: Any = "8", **more: Any) -> dict[str, Any]:
    question = f"第{number}家公司有{number}元，另有{8 - number}元，共多少元？{number**7}"
    gold = {} if gold is None else {"gold_answer": gold}
    return {"instruction": question, "input": "", "output": reply(answer), **gold, **more}


class FakeJudge(JudgeClient):
    """Gives the overall score that a test chose for an item, else 0.9."""

    def __init__(self, provider: str = "deep.example", **errors: ItemError) -> None:
        super().__init__("http://nowhere")
        self.scores: dict[str, float] = {}
        self.errors = {int(name.removeprefix("row")): error for name, error in errors.items()}
        self.provider = provider
        self.asked: list[ScoreRequest] = []

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        self.asked.append(request)
        items = tuple(self._result(item.id) for item in request.items)
        usage = Usage(cost_usd=0.5)
        return ScoreResponse(rubric=request.rubric, rubric_sha256="f", items=items, usage=usage)

    def _result(self, id: str) -> ScoreResult:
        overall = self.scores.get(id, 0.9)
        error = self.errors.get(int(id))
        verdict = TeacherVerdict(overall=overall, why="", clarity=overall)  # type: ignore[call-arg]
        return ScoreResult(
            id=id,
            status="failed" if error else "ok",
            reward=None if error else overall,
            rules=None,
            teacher=None if error else verdict,
            provider=self.provider,
            error=error,
        )


Given = Callable[..., Filter]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    def make(*rows: dict[str, Any], folder: str = "out") -> Filter:
        source = tmp_path / "in.jsonl"
        lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
        source.write_text("".join(lines), "utf-8")
        return Filter(source, tmp_path / folder, RULES)

    return make


def rows_in(tmp_path: Path, name: str, folder: str = "out") -> list[dict[str, Any]]:
    lines = (tmp_path / folder / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def ask(work: Filter, judge: FakeJudge, **limits: Any) -> None:
    asyncio.run(work.judge(judge, Limits(**limits), 2, lambda more: None))


FORM = "not <think>…</think><answer>…</answer>"
REASONS = [
    (row(1), GOOD),
    (row(1, "共 8.00 元", 8), GOOD),
    (row(1, "9"), "the answer is not the right one"),
    (row(1, gold=None), UNKNOWN),
    (row(1) | {"output": "8"}, FORM),
    (row(1) | {"output": "<answer>8</answer><think>t</think>"}, FORM),
    (row(1, "B", "B"), GOOD),
    (row(1, "降准后净息差收窄，利润下降", "净息差收窄；利润下降"), GOOD),
]


@pytest.mark.parametrize(("given_row", "reason"), REASONS)
def test_the_judges_rules_decide_first(given: Given, given_row: Any, reason: str) -> None:
    """The form, then the result: a number, letters or key words."""
    assert given(given_row).rows[0].reason == reason


def test_every_row_is_in_one_file(given: Given, tmp_path: Path) -> None:
    """Good ones are learnt, the rest practised on, a fifth is a test set; the figures add up."""
    rows = [row(n) for n in range(60)] + [row(n, "7") for n in range(60, 100)]
    rows += [row(n, gold=None) for n in range(100, 105)]
    stats = given(*rows).write()
    sizes = {name: len(rows_in(tmp_path, name)) for name in FILES}
    assert stats["files"] == sizes
    assert sum(sizes.values()) == stats["rows"] == 105
    assert sizes["test.jsonl"] == pytest.approx(20, abs=2)
    assert sizes["dropped.jsonl"] == 5
    assert sizes["rl.jsonl"] == pytest.approx(32, abs=6)
    assert stats["reasons"] == {
        GOOD: 60,
        "the answer is not the right one": 40,
        UNKNOWN: 5,
    }
    assert json.loads((tmp_path / "out" / "filter_stats.json").read_text("utf-8")) == stats


def test_each_file_is_read_as_what_it_is_for(given: Given, tmp_path: Path) -> None:
    """Rows to learn have their answer; the others are questions with the right one in `gold`."""
    given(*(row(n, "8" if n % 2 else "7", source="x") for n in range(40))).write()
    for name, kind in (("sft", "conversation"), ("rl", "prompt"), ("test", "prompt")):
        examples = [
            example for _, example in DataFile(tmp_path / "out" / f"{name}.jsonl").examples()
        ]
        assert {example.kind for example in examples} == {kind}  # type: ignore[union-attr]
        extras = [example.extra for example in examples]  # type: ignore[union-attr]
        assert all(each == {"source": "x", "gold": "8", "type": "calculation"} for each in extras)


def test_no_test_question_is_learnt(given: Given, tmp_path: Path) -> None:
    """Also where another reply to it is good, and where white space differs."""
    rows = [row(n % 20, "8" if n < 20 else "7") for n in range(40)]
    for each in rows[20:]:
        each["instruction"] = each["instruction"].replace("，", "， ")
    given(*rows).write()
    asked = {
        name: {each["instruction"].replace(" ", "") for each in rows_in(tmp_path, name)}
        for name in FILES[:3]
    }
    assert asked["test.jsonl"]
    assert not asked["test.jsonl"] & (asked["sft.jsonl"] | asked["rl.jsonl"])


def test_the_same_rows_give_the_same_files(given: Given, tmp_path: Path) -> None:
    """Byte for byte."""
    rows = [row(n) for n in range(30)]
    given(*rows).write()
    given(*rows, folder="again").write()
    for name in FILES:
        one, two = (tmp_path / folder / name for folder in ("out", "again"))
        assert one.read_bytes() == two.read_bytes()


def test_the_judge_sees_what_the_rules_leave(given: Given) -> None:
    """With the right answer to compare, in batches, and a teacher it must have."""
    work, judge = given(*(row(n, "8" if n else "7") for n in range(BATCH + 3))), FakeJudge()
    ask(work, judge, rubric="r")
    items = [item for request in judge.asked for item in request.items]
    assert sorted(int(item.id) for item in items) == list(range(1, BATCH + 3))
    assert {len(request.items) for request in judge.asked} == {BATCH, 2}
    assert {(r.rubric, r.teacher) for r in judge.asked} == {("r", "required")}
    assert {item.reference for item in items} == {"8"}


def test_a_poor_solution_is_practised_on(given: Given, tmp_path: Path) -> None:
    """The score and what it was out of are kept; without a right answer the row is dropped."""
    work, judge = (
        given(*(row(n) for n in range(10)), row(10, gold=None), row(11, gold=None)),
        FakeJudge(),
    )
    judge.scores = {str(n): 0.5 for n in (*range(5), 10)}
    ask(work, judge, least=0.7)
    stats = work.write()
    assert stats["reasons"] == {GOOD: 6, "the judge found it too poor": 6}
    assert stats["judge"] == {
        "rubric": "finance-quality",
        "least": 0.7,
        "cost_usd": 0.5,
        "rubric_sha256": "f",
        "provider": "deep.example",
    }
    assert stats["mean_scores"] == {"clarity": 0.7, "overall": 0.7}
    (dropped,) = rows_in(tmp_path, "dropped.jsonl")
    assert (dropped["reason"], dropped["scores"]["overall"]) == ("the judge found it too poor", 0.5)
    assert all(each["scores"]["overall"] == 0.9 for each in rows_in(tmp_path, "sft.jsonl"))


def failure(code: str, *, retryable: bool = False) -> ItemError:
    return ItemError(code=code, message="m", retryable=retryable)


@pytest.mark.parametrize(
    "error", [failure("timeout", retryable=True), failure("out_of_credit")], ids=["later", "money"]
)
def test_a_row_that_cannot_be_judged_now_is_not_sorted(given: Given, error: ItemError) -> None:
    """A failed judgement is no score: the command ends, and nothing is written."""
    with pytest.raises(Unavailable, match="run the same command again"):
        ask(given(row(0), row(1)), FakeJudge(row1=error))


def test_a_row_that_can_never_be_judged_is_not_learnt(given: Given) -> None:
    """With the reason's code."""
    work = given(row(0), row(1))
    ask(work, FakeJudge(row1=failure("too_long")))
    assert Counter(each.reason for each in work.rows) == {GOOD: 1, "not judged: too_long": 1}


def test_a_mock_is_no_judge(given: Given) -> None:
    """Unless a rehearsal allows it."""
    with pytest.raises(Conflict, match="--no-judge"):
        ask(given(row(0)), FakeJudge("mock"))
    ask(given(row(0)), FakeJudge("mock"), allow_mock=True)


def test_a_result_is_not_written_over(given: Given) -> None:
    """Nor mixed with another."""
    given(row(0)).write()
    with pytest.raises(Conflict, match=r"sft\.jsonl is there already"):
        given(row(0))


def test_a_row_without_an_answer_refuses_the_file(given: Given) -> None:
    """By its line."""
    with pytest.raises(DataError, match="line 2"):
        given(row(0), {"question": "q"})


def test_a_check_of_the_judge_refuses_a_row() -> None:
    """Such as an answer that attacks it: a reward without a teacher's verdict."""
    one = Row(0, 0, "concept", GOOD, has_gold=True)
    one.take(
        ScoreResult(id="0", status="ok", reward=0.0, rules=None, teacher=None, provider="rules"),
        0.7,
    )
    assert one.reason == "the judge's checks refused it"


def test_rules_and_official_verdicts_agree(given: Given) -> None:
    """On 110 real solutions to hard problems, with the graders' verdicts."""
    if not GRADED.is_file():
        pytest.skip(f"{GRADED} is not here: sample data for local runs")
    graded = json.loads(GRADED.read_text("utf-8"))
    rows = [
        {
            "question": f"{each['context']}\n{each['question']}",
            "answer": reply(each["output"]),
            "gold": each["ground_truth"],
        }
        for each in graded
    ]
    found = [each.reason == GOOD for each in given(*rows).rows]
    assert found == [bool(each["result"]["acc"]) for each in graded]
