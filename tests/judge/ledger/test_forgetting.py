"""Forgetting: texts of people leave the database and its files, verdicts stay and still answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text, update

from galen.errors import NotFound
from galen.keys import KeyRing
from judge.app import create_app
from judge.audit.archive import Archive
from judge.audit_schemas import PageQuery, RolloutQuery, Vote
from judge.ledger import database
from judge.ledger.database import WRITES
from judge.ledger.tables import RejectedReplyRow, SampleRow, VerdictRow, VoteRow, now
from judge.rubrics.rubric import RubricRegistry
from judge.schemas import FORGOTTEN, ScoreItem, ScoreRequest
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.verdict import Client, RejectedReply, TeacherError, Verdict
from judge.text.case import Case
from tests.fakes.scripted_teacher import ScriptedTeacher
from tests.judge.conftest import ExaminersMaker, ServiceMaker
from tests.judge.runs import tell, told

PROMPT = "PATIENT-4711: 嗓子痛两天，怎么办？"
RESPONSES = (
    "嗓子痛可能与咽炎有关，建议多喝水，高烧请就医。PATIENT-4711",
    "PATIENT-4711直接去买阿莫西林，吃三天就好。",
)
SECRET = b"PATIENT-4711"
VOTE = Vote(
    prompt=PROMPT, response_a=RESPONSES[0], response_b="", model_a="m", model_b="n", vote="a"
)


def request(run: str = "r", *responses: str) -> ScoreRequest:
    items = tuple(
        ScoreItem(id=f"i{n}", prompt=PROMPT, response=response)
        for n, response in enumerate(responses or RESPONSES)
    )
    return ScoreRequest(rubric="medical-safety", run=run, step=0, items=items)


def age(url: str, days: int) -> None:
    """Make every row `days` older."""
    columns = (SampleRow.seen_at, VerdictRow.created_at, VoteRow.created_at)
    engine = database.connect(url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        for column in (*columns, RejectedReplyRow.created_at):
            then = {column.key: now() - timedelta(days=days)}
            connection.execute(update(column.class_).values(then))
    engine.dispose()


def files_with_secret(url: str) -> list[str]:
    """The database's files that hold the text."""
    engine = database.connect(url)
    if engine.name == "sqlite":
        file = Path(engine.url.database or "")
        found = list(file.parent.glob(f"{file.name}*"))
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
            base = connection.execute(text("SHOW data_directory")).scalar_one()
            relation = text("SELECT pg_relation_filepath('samples')")
            found = list(Path(base, connection.execute(relation).scalar_one()).parent.iterdir())
    engine.dispose()
    return [file.name for file in found if SECRET in file.read_bytes()]


async def test_forgotten_texts_are_gone_and_their_verdicts_answer(
    make_service: ServiceMaker, archive: Archive, database_url: str
) -> None:
    """Neither a row nor a file holds them; the same question gets the same reward, unasked."""
    first = await make_service(MockTeacher()).score(request())
    assert files_with_secret(database_url)
    erased = archive.forget("r")
    assert erased.counts() == {"samples": 2, "verdicts": 2, "replies": 0, "votes": 0}
    assert files_with_secret(database_url) == []
    teacher = MockTeacher()
    again = await make_service(teacher).score(request("r2"))
    assert [one.reward for one in again.items] == [one.reward for one in first.items]
    assert all(one.cached for one in again.items)
    assert [one.flags for one in again.items] == [one.flags for one in first.items]


async def test_what_reads_texts_says_forgotten(
    make_service: ServiceMaker, archive: Archive, rubrics: RubricRegistry
) -> None:
    """The audit shows numbers and hashes; a replay counts why there is no new reward."""
    (result, _) = (await make_service(MockTeacher()).score(request())).items
    archive.forget("r")
    rollout = archive.rollouts("r", RolloutQuery()).rollouts[0]
    assert (rollout.forgotten, rollout.prompt, rollout.reward) == (True, None, result.reward)
    assert rollout.teacher is not None
    assert set(rollout.teacher.evidence.values()) <= {FORGOTTEN, ""}
    assert rollout.verdict_key is not None
    verdict = archive.verdict(rollout.verdict_key).verdict
    assert verdict is not None
    assert (verdict.reply, verdict.why) == (FORGOTTEN, FORGOTTEN)
    assert archive.replay("r", rubrics.get, rubrics).obstacles == {"forgotten": 2}
    assert archive.run("r").judgements == 2


def test_a_text_of_two_runs_stays(archive: Archive, database_url: str) -> None:
    """Until the last run that judged it is forgotten."""
    tell(database_url, "a", [told("x", 0.5), told("y", 0.5)])
    tell(database_url, "b", [told("y", 0.5)])
    erased = archive.forget("a")
    assert (len(erased.samples), erased.shared) == (1, 1)
    assert archive.rollouts("b", RolloutQuery()).rollouts[0].response == "回答y"
    assert len(archive.forget("b").samples) == 1
    assert not archive.texts_of("b")


def test_nobody_forgets_a_run_that_never_was(archive: Archive) -> None:
    """A misspelt run is told from an empty one."""
    with pytest.raises(NotFound, match="nothing was judged"):
        archive.forget("nobody")


async def test_only_old_texts_are_forgotten(
    make_service: ServiceMaker, archive: Archive, database_url: str
) -> None:
    """Old samples, quotations and votes go; what was judged or cast since then stays."""
    service = make_service(MockTeacher())
    await service.score(request())
    archive.vote("tom", VOTE)
    age(database_url, 31)
    await service.score(request("new", RESPONSES[0], "另一个回答，建议多喝水。"))
    archive.vote("tom", VOTE)
    moment = now() - timedelta(days=30)
    counts = archive.forget_before(moment).counts()
    assert counts == {"samples": 1, "verdicts": 2, "replies": 0, "votes": 1}
    assert [vote.prompt for vote in archive.votes(PageQuery()).votes] == [FORGOTTEN, PROMPT]
    assert archive.votes(PageQuery()).votes[0].vote == "a"
    assert not archive.forget_before(moment)


async def test_a_rejected_reply_is_a_text_too(
    make_service: ServiceMaker, archive: Archive, database_url: str
) -> None:
    """It may quote the person as well as a verdict does."""

    async def refuse(_: Case, __: Client) -> Verdict:
        rejected = RejectedReply("no JSON", PROMPT, 0.0)
        raise TeacherError("judge_malformed", "no", retryable=False, rejected=(rejected,))

    await make_service(ScriptedTeacher(refuse)).score(request())
    assert len(archive.forget("r").replies) == 2
    assert files_with_secret(database_url) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_judge_forgets_when_it_starts(
    make_service: ServiceMaker,
    make_examiners: ExaminersMaker,
    archive: Archive,
    database_url: str,
) -> None:
    """With `keep_days`, what is older is gone soon after; nobody has to ask."""
    service, teacher = make_service(MockTeacher()), MockTeacher()
    tell(database_url, "r", [told("x", 0.5)])
    age(database_url, 31)
    app = create_app(
        service,
        KeyRing({}),
        archive=archive,
        examiners=make_examiners(teacher),
        registry=CollectorRegistry(),
        keep_days=30,
    )
    async with asyncio.timeout(10), app.router.lifespan_context(app):
        while archive.texts_of("r"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
