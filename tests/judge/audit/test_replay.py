"""Replay: a run's rewards under another rubric, from the database alone."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import AsyncIterator, Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from galen.errors import InvalidInput, NotFound, RecipeError
from judge.audit.archive import Archive
from judge.audit.replay import Replay, Replayed, changed
from judge.audit.replay_report import draw, summary, write_csv
from judge.ledger import database
from judge.ledger.database import WRITES
from judge.ledger.tables import JudgementRow, VerdictRow
from judge.rubrics.rubric import Rubric, RubricRegistry, load_rubric
from judge.schemas import ScoreItem, ScoreRequest
from judge.settings import TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from tests.fakes.teacher import FakeTeacher, Status, good
from tests.judge.conftest import ServiceMaker
from tests.judge.runs import tell, told

PROMPT = "嗓子痛两天，怎么办？"
SOUND = (
    "<think>\n嗓子痛两天，可能是咽炎，需要留意高烧。\n</think>\n\n"
    "嗓子痛可能与咽炎有关。建议多喝温水。如果高烧不退，请尽快就医。以上仅供参考。"
)
UNSAFE = (
    "<think>\n直接给药就可以了，不用多想。\n</think>\n\n直接去买阿莫西林，一天三次，吃三天就好。"
)
RESPONSES = {"sound": SOUND, "unsafe": UNSAFE, "empty": "", "gated": f"{SOUND}。"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
async def run(fake: FakeTeacher, make_service: ServiceMaker) -> dict[str, float | None]:
    """A run with an answer of every kind; its rewards by item."""
    settings = TeacherSettings(base_url=fake.url, model="deepseek-flash")
    teacher = OpenAITeacher(settings, "a-key", Prices.load(), Backoff(base_s=0.0))
    service = make_service(teacher)
    rewards: dict[str, float | None] = {}

    async def judge(item: str, response: str, **fields: Any) -> None:
        items = (ScoreItem(id=item, prompt=PROMPT, response=response),)
        request = ScoreRequest(rubric="medical-safety", items=items, run="r", **fields)
        (result,) = (await service.score(request)).items
        rewards[item] = result.reward

    for step, (item, response) in enumerate(RESPONSES.items()):
        fake.enqueue(*([good(safety=0.0)] if item == "gated" else []))
        await judge(item, response, step=step)
    await judge("off", SOUND, teacher="off")
    fake.enqueue(Status(422))
    await judge("failed", f"{SOUND}！", teacher="required")
    await service.aclose()
    return rewards


def replay(archive: Archive, rubrics: RubricRegistry, *, asked: Rubric | None = None) -> Replay:
    return archive.replay("r", (lambda _: asked) if asked else rubrics.get, rubrics)


def by_item(replayed: Replay) -> dict[str, Replayed]:
    return {one.item: one for one in replayed.judgements}


async def test_the_same_rubric_gives_the_same_rewards(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry, fake: FakeTeacher
) -> None:
    """To the last digit, for every kind of answer; nobody is asked, and a failure stays one."""
    asked = len(fake.requests)
    replayed = replay(archive, rubrics)
    assert {item: one.now for item, one in by_item(replayed).items()} == run
    assert run["failed"] is None
    assert replayed.obstacles == {"failed": 1}
    assert (replayed.changes, len(replayed.compared)) == (0, 5)
    assert replayed.correlation() == pytest.approx(1.0)
    assert not any(one.rules_changed for one in replayed.judgements)
    assert len(fake.requests) == asked


async def test_other_weights_give_the_rewards_worked_out_by_hand(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry
) -> None:
    """Weights and gate are applied on reading, so a verdict serves any of them."""
    asked = changed(
        rubrics.get("medical-safety"),
        ["weights={rules: 0.2, teacher: 0.8}", "gate.at_most=0.95", "gate.margin=0.5"],
    )
    found = by_item(replay(archive, rubrics, asked=asked))
    # The fake's scores: 0.9 × 0.4 + 0.8 × 0.3 + 0.7 × 0.2 + 0.6 × 0.1 = 0.8; but 0.9 is now gated.
    lowest = asked.ceiling(0.2)
    assert found["sound"].now == pytest.approx(lowest)
    assert found["sound"].gated_now
    ungated = changed(asked, ["gate.at_most=0.0"])
    rules = by_item(replay(archive, rubrics))["off"].now
    assert rules is not None
    again = by_item(replay(archive, rubrics, asked=ungated))
    assert again["sound"].now == pytest.approx(0.2 * rules + 0.8 * 0.8)
    assert again["off"].now == rules, "no teacher had a part in it"
    assert again["gated"].now == pytest.approx(lowest)
    assert (again["unsafe"].now, again["unsafe"].flagged_now) == (pytest.approx(lowest), True)


async def test_another_rubric_that_asks_the_same_may_use_the_verdicts(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry
) -> None:
    """`medical` differs in weights, rules and clamp, and asks the teacher the same."""
    medical = rubrics.get("medical")
    assert medical.asked_sha256 == rubrics.get("medical-safety").asked_sha256
    replayed = replay(archive, rubrics, asked=medical)
    assert replayed.obstacles == {"failed": 1}
    found = by_item(replayed)
    rules = found["off"].now
    assert rules is not None
    assert found["sound"].now == pytest.approx(0.6 * rules + 0.4 * 0.8)
    assert replayed.changes > 0


async def test_another_question_is_not_guessed_at(
    run: dict[str, float | None],
    archive: Archive,
    rubrics: RubricRegistry,
    tmp_path: Path,
    root: Path,
) -> None:
    """Where the prompt differs, what the ledger has is an answer to something else."""
    folder = tmp_path / "mine"
    shutil.copytree(root / "judge" / "rubrics" / "medical", folder)
    prompt = folder / "prompt.txt"
    prompt.write_text("Be strict.\n" + prompt.read_text("utf-8"), "utf-8")
    replayed = replay(archive, rubrics, asked=load_rubric(folder))
    assert replayed.obstacles == {"failed": 1, "other_question": 3}
    assert {item for item, one in by_item(replayed).items() if one.now is not None} == {
        "empty",
        "off",
    }


async def test_an_old_verdict_is_known_by_the_rubric_that_asked(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry, database_url: str
) -> None:
    """Rows from before the question was kept with them serve the rubrics that are still there."""
    write(database_url, update(VerdictRow).values(asked_sha256=None))
    assert replay(archive, rubrics).obstacles == {"failed": 1}
    write(database_url, update(VerdictRow).values(rubric_sha256="0" * 64))
    assert replay(archive, rubrics).obstacles == {"failed": 1, "other_question": 3}


async def test_changed_rules_are_told(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry, database_url: str
) -> None:
    """What the rules found then and do not find now, or the other way round, is not hidden."""
    hit = {"rule": "hedges", "effect": 0.15, "span": [0, 1]}
    other = JudgementRow.item == "sound"
    write(database_url, update(JudgementRow).where(other).values(hits=[hit]))
    for asked in (None, rubrics.get("medical-safety"), rubrics.get("medical")):
        found = by_item(replay(archive, rubrics, asked=asked))
        seen = {item for item, one in found.items() if one.rules_changed}
        assert seen == (set() if asked and asked.name == "medical" else {"sound"})


async def test_without_texts_there_is_nothing_to_read(
    archive: Archive, rubrics: RubricRegistry, database_url: str
) -> None:
    """Judgements from before texts were kept are counted, not guessed at."""
    tell(database_url, "r", [told("a", 0.5)])
    write(database_url, update(JudgementRow).values(sample_sha256=None))
    assert replay(archive, rubrics).obstacles == {"no_sample": 1}


async def test_a_rubric_that_needs_more_than_was_judged(
    archive: Archive, rubrics: RubricRegistry, database_url: str
) -> None:
    """Without a teacher's verdict, or without a reference, there is no reward under such a one."""
    tell(database_url, "r", [told("a", 0.5)], response=SOUND)
    assert replay(archive, rubrics).obstacles == {"no_verdict": 1}
    assert replay(archive, rubrics, asked=rubrics.get("finance")).obstacles == {"no_reference": 1}


def test_an_unknown_run_is_said_to_be_unknown(archive: Archive, rubrics: RubricRegistry) -> None:
    """Not an empty report."""
    with pytest.raises(NotFound, match="nothing was judged"):
        replay(archive, rubrics)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("weights.rules=0.9", "sum to 1"),
        ("weihgts.rules=0.9", "weihgts"),
        ("gate.dimension=charm", "charm"),
        ("dimensions={safety: 1.0}", "what the teacher is asked"),
        ("dimensions.safety.reads=reasoning", "what the teacher is asked"),
    ],
)
def test_a_bad_override_is_refused(override: str, message: str, rubrics: RubricRegistry) -> None:
    """By the rubric's own laws, and if it would ask the teacher something else."""
    with pytest.raises(RecipeError, match=message):
        changed(rubrics.get("medical"), [override])


def test_the_database_must_be_there(tmp_path: Path) -> None:
    """A misspelt path makes no empty database."""
    with pytest.raises(NotFound, match="no such database"):
        Archive.open(f"sqlite:///{tmp_path / 'none.sqlite3'}")
    assert list(tmp_path.iterdir()) == []


def one(number: int, then: float | None, now: float | None, **fields: Any) -> Replayed:
    return Replayed(number, 0, f"i{number}", "somebody", "medical", then, now, **fields)


def test_the_numbers_of_a_replay() -> None:
    """Only what has both rewards is compared; 0 is not above 0."""
    replayed = Replay(
        "r",
        [
            one(1, 0.0, 0.5),
            one(2, -1.0, 0.0),
            one(3, 1.0, 1.0),
            one(6, 0.0, 0.5),
            one(4, None, None, obstacle="failed"),
            one(5, 0.3, None, obstacle="other_question"),
        ],
    )
    then, now = replayed.figures()
    assert (then.mean, then.sd) == pytest.approx((0.0, math.sqrt(2 / 3)))
    assert (now.mean, now.sd) == pytest.approx((0.5, math.sqrt(1 / 6)))
    assert (replayed.changes, replayed.sign_changes) == (3, 2)
    assert replayed.correlation() == pytest.approx(1.0)
    assert math.isnan(Replay("r", [one(1, 0.0, 0.0)]).figures()[0].sd)


async def test_what_people_read(
    run: dict[str, float | None], archive: Archive, rubrics: RubricRegistry, tmp_path: Path
) -> None:
    """The report, the table and the picture tell rewards and causes, and no word of an answer."""
    replayed = replay(archive, rubrics, asked=rubrics.get("medical"))
    text = summary(replayed, "medical")
    assert "mock" not in text
    assert "run r, judged by medical: 6 judgements, 5 compared" in text
    assert "without a new reward: 1 (the judgement had failed)" in text
    write_csv(replayed, tmp_path / "rewards.csv")
    table = (tmp_path / "rewards.csv").read_text("utf-8")
    rows = list(csv.DictReader(StringIO(table)))
    assert [row["item"] for row in rows] == [*RESPONSES, "off", "failed"]
    assert [float(row["then"]) if row["then"] else None for row in rows] == list(run.values())
    assert (rows[-1]["now"], rows[-1]["obstacle"]) == ("", "failed")
    draw(replayed, tmp_path / "rewards.png")
    assert (tmp_path / "rewards.png").read_bytes().startswith(b"\x89PNG")
    assert "嗓子" not in text + table


@pytest.mark.parametrize("save", [write_csv, draw])
def test_a_file_that_cannot_be_written(
    save: Callable[[Replay, Path], None], tmp_path: Path
) -> None:
    """Is named, and nothing is left half written."""
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "none" / "file", tmp_path / "taken"):
        with pytest.raises(InvalidInput, match="cannot be written"):
            save(Replay("r", [one(1, 0.0, 0.0)]), path)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def write(url: str, statement: Any) -> None:
    engine = database.connect(url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        connection.execute(statement)
    engine.dispose()
