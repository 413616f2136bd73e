"""The judge's client: every route by its method, typed, with the service's errors as ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from galen.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized, UpstreamFailed
from galen.keys import KeyRing
from judge.audit_schemas import PageQuery, RolloutQuery, Vote
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest
from tests.judge.conftest import AppMaker

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RUN = "演练/1 ?#%"
VOTE = Vote(
    id="v1",
    prompt="问",
    response_a="甲",
    response_b="",
    model_a="m1",
    model_b="m2",
    vote="both_bad",
)


@pytest.fixture
async def client(make_app: AppMaker) -> AsyncIterator[JudgeClient]:
    async with JudgeClient("http://localhost", transport=httpx.ASGITransport(make_app())) as client:
        yield client


async def judge(client: JudgeClient, *ids: str) -> None:
    items = tuple(ScoreItem(id=i, prompt="嗓子痛", response=f"多喝水，{i}。") for i in ids)
    await client.score(ScoreRequest(rubric="medical", items=items, run=RUN, step=2))


@ONE_DATABASE
async def test_runs_and_rollouts(client: JudgeClient) -> None:
    """A run of any name, whole and in pages, down to the verdict that a reward rests on."""
    await judge(client, "a", "b", "c")
    (card,) = (await client.runs()).runs
    report = await client.run(RUN)
    assert (card.run, card.judgements, report.series[0].step) == (RUN, 3, 2)
    query = RolloutQuery(limit=2, sort="-reward", step=2, status="ok")
    first = await client.rollouts(RUN, query)
    rest = await client.rollouts(RUN, query.model_copy(update={"cursor": first.next_cursor}))
    assert {one.item for one in (*first.rollouts, *rest.rollouts)} == {"a", "b", "c"}
    rollout = rest.rollouts[0]
    assert rollout.teacher is not None
    assert rollout.verdict_key is not None
    file = await client.verdict(rollout.verdict_key)
    assert file.verdict is not None
    assert file.verdict.scores == rollout.teacher.scores


@ONE_DATABASE
async def test_votes(client: JudgeClient) -> None:
    """A vote that is sent again is the same; it comes back as it was given."""
    assert await client.vote(VOTE) == await client.vote(VOTE)
    await client.vote(VOTE.model_copy(update={"id": None}))
    page = await client.votes(PageQuery(limit=1))
    rest = await client.votes(PageQuery(cursor=page.next_cursor))
    votes = (*page.votes, *rest.votes)
    assert [vote.id for vote in votes] == ["v1", None]
    assert Vote.model_validate(votes[0].model_dump(include=set(Vote.model_fields))) == VOTE
    with pytest.raises(Conflict):
        await client.vote(VOTE.model_copy(update={"vote": "a"}))


@ONE_DATABASE
async def test_budget(client: JudgeClient) -> None:
    """Today's balance, and a run's if one is named."""
    assert len((await client.budget()).balances) == 1
    assert (await client.budget(RUN)).balances[1].scope == f"run:{RUN}"


@ONE_DATABASE
async def test_what_the_service_refuses(client: JudgeClient) -> None:
    """Its errors come back as the same errors here."""
    with pytest.raises(NotFound):
        await client.run("nobody")
    with pytest.raises(NotFound):
        await client.verdict("0" * 64)
    with pytest.raises(InvalidInput):
        await client.runs(PageQuery(cursor="AAAA"))


@ONE_DATABASE
async def test_keys_travel_with_every_call(make_app: AppMaker) -> None:
    """Without one nothing is shown, and a person's shows no texts."""
    transport = httpx.ASGITransport(make_app(keys=KeyRing.parse(["tom:user:secret-of-tom"])))
    async with JudgeClient("http://localhost", transport=transport) as nobody:
        with pytest.raises(Unauthorized):
            await nobody.runs()
    async with JudgeClient("http://localhost", key="secret-of-tom", transport=transport) as tom:
        assert (await tom.runs()).runs == ()
        with pytest.raises(Forbidden):
            await tom.votes()


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"runs": 1}', b"<html>"])
async def test_an_answer_of_another_shape_is_refused(body: bytes) -> None:
    """What some other service says is not taken for the judge's word."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with JudgeClient("http://localhost", transport=transport) as client:
        with pytest.raises(UpstreamFailed):
            await client.runs()
