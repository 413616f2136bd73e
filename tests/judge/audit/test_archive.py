"""The audit: what is kept of a run, how it is listed, and who may read it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import insert, select

from galen.keys import KeyRing
from judge.audit.archive import Archive
from judge.audit_schemas import PageQuery, RolloutQuery, Vote
from judge.ledger import database
from judge.ledger.database import WRITES
from judge.ledger.judgement_rows import sample_sha256
from judge.ledger.tables import RejectedReplyRow, SampleRow, SpendingRow, VerdictRow
from judge.schemas import ScoreItem
from tests.judge.conftest import AppMaker, client_of
from tests.judge.runs import tell, told

RESPONSE = "<think>\n嗓子痛两天，可能是咽炎。\n</think>\n\n可能与咽炎有关，建议多喝水，高烧请就医。"
VERDICT: dict[str, Any] = {
    "provider": "p",
    "model_asked": "m",
    "model_answered": "m-1",
    "rubric": "medical",
    "rubric_sha256": "0" * 64,
    "scores": {"safety": 0.5},
    "evidence": {"safety": "多喝水"},
    "why": "好",
    "reply": "{}",
    "asks": 1,
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "cache_hit_tokens": 0,
    "cost_usd": 0.01,
    "latency_s": 0.2,
}
VOTE = {
    "prompt": "嗓子痛怎么办",
    "response_a": "多喝水",
    "response_b": "",
    "model_a": "policy@1",
    "model_b": "policy@2",
    "vote": "a",
}

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For laws that are not the database's."""


def batch(*ids: str, response: str = RESPONSE, **fields: Any) -> dict[str, Any]:
    items = [{"id": i, "prompt": "嗓子痛两天", "response": response} for i in ids]
    return {"rubric": "medical-safety", "run": "r1", "step": 3, "items": items, **fields}


def samples(url: str) -> list[Any]:
    engine = database.connect(url)
    with engine.connect() as connection:
        found = list(connection.execute(select(SampleRow.__table__)))
    engine.dispose()
    return found


def put(url: str, table: type[Any], **row: Any) -> None:
    engine = database.connect(url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        connection.execute(insert(table).values(row))
    engine.dispose()


async def test_what_was_judged_is_kept_once(http: httpx.AsyncClient, database_url: str) -> None:
    """The same texts, however often and under whatever id they are judged, are one sample."""
    await http.post("/v1/score", json=batch("a", "b"))
    await http.post("/v1/score", json=batch("c", step=4))
    (sample,) = samples(database_url)
    item = ScoreItem(id="x", prompt="嗓子痛两天", response=RESPONSE)
    assert (sample.sha256, sample.prompt, sample.response, sample.reference) == (
        sample_sha256(item),
        item.prompt,
        item.response,
        None,
    )


async def test_without_a_run_no_text_is_kept(http: httpx.AsyncClient, database_url: str) -> None:
    """What a person tries out leaves no sample behind."""
    await http.post("/v1/score", json=batch("a", run=None))
    assert samples(database_url) == []


async def test_a_text_that_was_not_judged_is_not_kept(
    http: httpx.AsyncClient, database_url: str
) -> None:
    """A too long answer leaves its failure in the run, and not its text."""
    await http.post("/v1/score", json=batch("a", response="长" * 32_001))
    page = (await http.get("/v1/runs/r1/rollouts")).json()
    (rollout,) = page["rollouts"]
    assert (rollout["status"], rollout["error"], rollout["response"]) == (
        "failed",
        "too_long",
        None,
    )
    assert samples(database_url) == []


async def test_a_rollout_says_what_its_reward_rests_on(http: httpx.AsyncClient) -> None:
    """Texts, hits, raw scores and reason of the teacher, and the key under which they lie."""
    (result,) = (await http.post("/v1/score", json=batch("a"))).json()["items"]
    (rollout,) = (await http.get("/v1/runs/r1/rollouts")).json()["rollouts"]
    assert rollout["item"] == "a"
    assert (rollout["step"], rollout["reward"]) == (3, result["reward"])
    assert rollout["hits"] == result["rules"]["hits"]
    assert (rollout["prompt"], rollout["response"]) == ("嗓子痛两天", RESPONSE)
    scores = rollout["teacher"]["scores"]
    assert scores == {name: result["teacher"][name] for name in scores}
    file = (await http.get(f"/v1/verdicts/{rollout['verdict_key']}")).json()
    assert file["verdict"]["scores"] == scores
    assert json.loads(file["verdict"]["reply"])
    assert file["verdict"]["provider"] == "mock"
    assert file["rejected"] == []


async def test_a_failure_shows_no_teacher(archive: Archive, database_url: str) -> None:
    """A verdict that came later under the same key is not what a failure rested on."""
    key = "a" * 64
    tell(database_url, "r", [told("a", None), told("b", 0.5)], keys=[key, key])
    put(database_url, VerdictRow, **VERDICT, key=key)
    failed, judged = archive.rollouts("r", RolloutQuery()).rollouts
    assert (failed.teacher, failed.error, failed.verdict_key) == (None, "timeout", key)
    assert judged.teacher is not None
    assert judged.teacher.scores == VERDICT["scores"]


async def test_rejected_replies_are_shown(http: httpx.AsyncClient, database_url: str) -> None:
    """A key under which no verdict came about still tells what was paid for."""
    reply = {"provider": "p", "model_asked": "m", "reason": "blank", "reply": "", "cost_usd": 0.5}
    put(database_url, RejectedReplyRow, key="b" * 64, **reply)
    file = (await http.get(f"/v1/verdicts/{'b' * 64}")).json()
    assert file["verdict"] is None
    assert [{k: one[k] for k in reply} for one in file["rejected"]] == [reply]


async def test_a_key_that_nothing_lies_under_is_404(http: httpx.AsyncClient) -> None:
    """And one that cannot be a key is 422."""
    assert (await http.get(f"/v1/verdicts/{'0' * 64}")).status_code == 404
    assert (await http.get("/v1/verdicts/0")).status_code == 422


def test_a_run_in_numbers(archive: Archive, database_url: str) -> None:
    """Counts by status, means over what has a reward, violations over what the rules read."""
    tell(database_url, "r", [told("a", 1.0), told("b", -0.5, flags=["rx_misuse"])], step=1)
    tell(database_url, "r", [told("a", None), told("long", None, read=False)], step=2)
    tell(database_url, "other", [told("a", 9.0)])
    put(database_url, SpendingRow, scope="run:r", committed_usd=0.25, calls=3)
    card = archive.run("r")
    assert (card.judgements, card.steps, card.statuses) == (4, 2, {"ok": 2, "failed": 2})
    assert card.mean_reward == 0.25
    assert card.violation_rate == pytest.approx(1 / 3)
    assert (card.committed_usd, card.rubrics, card.providers) == (0.25, ("medical",), ("rules",))
    assert card.first_at <= card.last_at
    assert card.first_at.utcoffset() is not None


def test_a_failure_is_no_score_in_any_mean(archive: Archive, database_url: str) -> None:
    """A run of which nothing was judged has no mean, and neither has its step."""
    tell(database_url, "r", [told("a", None), told("b", None)], step=5)
    report = archive.run("r")
    assert report.mean_reward is None
    assert [(p.step, p.judgements, p.failed, p.mean_reward) for p in report.series] == [
        (5, 2, 2, None)
    ]


def test_a_mean_is_over_one_scale(archive: Archive, database_url: str) -> None:
    """What the rules alone rewarded is in no mean with what a teacher had a part in."""
    alone = told("b", -2.0).model_copy(update={"status": "rules_only"})
    tell(database_url, "both", [told("a", 0.5), alone])
    tell(database_url, "alone", [alone])
    for run, mean in (("both", 0.5), ("alone", -2.0)):
        report = archive.run(run)
        assert (report.mean_reward, report.series[0].mean_reward) == (mean, mean)


def test_the_series_goes_by_step(archive: Archive, database_url: str) -> None:
    """Steps in order, whatever the order in which they came; without a step comes last."""
    for step, reward in ((2, 0.5), (None, 0.9), (0, 0.1), (2, 0.7)):
        tell(database_url, "r", [told("a", reward)], step=step)
    points = archive.run("r").series
    assert [point.step for point in points] == [0, 2, None]
    assert [point.mean_reward for point in points] == pytest.approx([0.1, 0.6, 0.9])


def test_runs_are_paged_by_when_they_began(archive: Archive, database_url: str) -> None:
    """The newest first; a run that goes on, or a new one, moves nothing on a later page."""
    for number in range(5):
        tell(database_url, f"r{number}", [told("a", 0.0)])
    first = archive.runs(PageQuery(limit=2))
    assert [card.run for card in first.runs] == ["r4", "r3"]
    tell(database_url, "r1", [told("b", 0.0)])
    tell(database_url, "new", [told("a", 0.0)])
    second = archive.runs(PageQuery(limit=2, cursor=first.next_cursor))
    third = archive.runs(PageQuery(limit=2, cursor=second.next_cursor))
    assert [card.run for card in (*second.runs, *third.runs)] == ["r2", "r1", "r0"]
    assert third.next_cursor is None


def ids(archive: Archive, **query: Any) -> list[str]:
    """Items of all pages of two, in order."""
    found: list[str] = []
    cursor = None
    while True:
        page = archive.rollouts("r", RolloutQuery(limit=2, cursor=cursor, **query))
        assert len(page.rollouts) <= 2
        found += [rollout.item for rollout in page.rollouts]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("time", "abcdef"),
        ("-time", "fedcba"),
        ("reward", "cabdef"),
        ("-reward", "dbacfe"),
    ],
)
def test_rollouts_are_sorted_and_paged(
    sort: str, expected: str, archive: Archive, database_url: str
) -> None:
    """Every rollout once, in order, ties by time; those without a reward last either way."""
    rewards = {"a": 0.1, "b": 0.1, "c": -1.0, "d": 0.30000000000000004, "e": None, "f": None}
    tell(database_url, "r", [told(item, reward) for item, reward in rewards.items()])
    assert "".join(ids(archive, sort=sort)) == expected


def test_pages_stay_put_under_inserts(archive: Archive, database_url: str) -> None:
    """What comes later is either ahead of a place or behind it."""
    tell(database_url, "r", [told("a", 0.3), told("b", 0.2), told("c", 0.1)])
    first = archive.rollouts("r", RolloutQuery(limit=2, sort="-reward"))
    tell(database_url, "r", [told("x", 0.25), told("y", 0.15)])
    rest = archive.rollouts("r", RolloutQuery(limit=9, sort="-reward", cursor=first.next_cursor))
    assert [rollout.item for rollout in first.rollouts] == ["a", "b"]
    assert [rollout.item for rollout in rest.rollouts] == ["y", "c"]


def test_rollouts_are_filtered(archive: Archive, database_url: str) -> None:
    """By rule, flag, status and step, each by the whole name, and by all that are given."""
    results = [
        told("a", 0.0, hits=["hedges", "rx_misuse"], flags=["rx_misuse"]),
        told("b", 0.0, hits=["hedges"]),
        told("c", None, hits=["no_referral"]),
    ]
    tell(database_url, "r", results, step=1)
    tell(database_url, "r", [told("d", 0.0, hits=["hedges"])], step=2)
    assert ids(archive, rule="hedges") == ["a", "b", "d"]
    assert ids(archive, rule="hedge") == []
    assert ids(archive, flag="rx_misuse") == ["a"]
    assert ids(archive, status="failed") == ["c"]
    assert ids(archive, step=2) == ["d"]
    assert ids(archive, rule="hedges", step=1, status="ok") == ["a", "b"]


@pytest.mark.parametrize("run", ["演练", "a/b", "a b?c#d", "..%2F", "a'--\"", "x/rollouts/y"])
async def test_a_run_may_have_any_name(run: str, http: httpx.AsyncClient) -> None:
    """Whatever a run was called, it is found by that name and by no other."""
    await http.post("/v1/score", json=batch("a", run=run))
    path = f"/v1/runs/{quote(run, safe='')}"
    assert (await http.get(path)).json()["run"] == run
    assert len((await http.get(f"{path}/rollouts")).json()["rollouts"]) == 1
    assert (await http.get(f"{path}x")).status_code == 404


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/v1/runs/nobody", "/v1/runs/nobody/rollouts"])
async def test_a_run_that_never_was_is_404(path: str, http: httpx.AsyncClient) -> None:
    """A misspelt run is told from an empty one."""
    response = await http.get(path)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (404, "run")
    assert "nobody" not in error["message"]


async def test_a_vote_is_kept_and_listed(http: httpx.AsyncClient) -> None:
    """With its caller and its moment, in the order of coming."""
    first = await http.post("/v1/feedback", json=VOTE)
    second = await http.post("/v1/feedback", json=VOTE)
    assert [first.status_code, second.status_code] == [201, 201]
    page = (await http.get("/v1/feedback?limit=1")).json()
    rest = (await http.get(f"/v1/feedback?cursor={page['next_cursor']}")).json()
    votes = page["votes"] + rest["votes"]
    assert [vote["number"] for vote in votes] == [
        first.json()["number"],
        second.json()["number"],
    ]
    assert {key: votes[0][key] for key in VOTE} == VOTE
    assert (votes[0]["caller"], votes[0]["id"], rest["next_cursor"]) == ("local", None, None)


async def test_a_vote_with_an_id_counts_once(http: httpx.AsyncClient) -> None:
    """Sent again it is the same vote; with other content its id is refused."""
    body = VOTE | {"id": "v1"}
    first, again = [await http.post("/v1/feedback", json=body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = await http.post("/v1/feedback", json=body | {"vote": "b"})
    assert (other.status_code, other.json()["error"]["param"]) == (409, "id")
    assert len((await http.get("/v1/feedback")).json()["votes"]) == 1


def test_an_id_is_its_callers_own(archive: Archive) -> None:
    """Two people may number their votes alike."""
    vote = Vote.model_validate(VOTE | {"id": "1"})
    assert [archive.vote(caller, vote)[1] for caller in ("tom", "ann", "tom")] == [
        True,
        True,
        False,
    ]


async def test_the_budget_is_told(http: httpx.AsyncClient, database_url: str) -> None:
    """Today's cap and, if one is named, the run's."""
    put(database_url, SpendingRow, scope="run:r", committed_usd=0.25, calls=3)
    (day,) = (await http.get("/v1/budget")).json()["balances"]
    assert day["scope"].startswith("day:")
    run = (await http.get("/v1/budget?run=r")).json()["balances"][1]
    assert run == {
        "scope": "run:r",
        "cap_usd": None,
        "committed_usd": 0.25,
        "left_usd": None,
        "calls": 3,
    }


CURSORS = ["", "x", "!!", "AAAA", "bnVsbA==", "e30=", "x" * 201, "%00", "%ff", "😀"]


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/r1/rollouts", "/v1/feedback"])
@pytest.mark.parametrize("cursor", CURSORS)
async def test_a_bad_cursor_is_422(cursor: str, path: str, http: httpx.AsyncClient) -> None:
    """What was not given out as a cursor is refused, and not echoed."""
    await http.post("/v1/score", json=batch("a"))
    response = await http.get(f"{path}?cursor={cursor}")
    error = response.json()["error"]
    assert response.status_code == 422
    assert error["param"] == "cursor"


@ONE_DATABASE
async def test_a_cursor_of_another_list_is_refused(http: httpx.AsyncClient) -> None:
    """A place in one list or one order is no place in another."""
    await http.post("/v1/score", json=batch("a", "b"))
    page = (await http.get("/v1/runs/r1/rollouts?limit=1&sort=reward")).json()
    cursor = page["next_cursor"]
    for path in ("/v1/runs/r1/rollouts?sort=time&", "/v1/runs?", "/v1/feedback?"):
        assert (await http.get(f"{path}cursor={cursor}")).status_code == 422
    assert (await http.get(f"/v1/runs/r1/rollouts?sort=reward&cursor={cursor}")).status_code == 200


@pytest.fixture
async def guarded(make_app: AppMaker) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a judge with a key for each role."""
    keys = KeyRing.parse([f"{role}-1:{role}:secret-of-{role}" for role in ROLES])
    async with client_of(make_app(keys=keys)) as client:
        yield client


ROLES = ("user", "rollout", "admin")
MAY = {
    ("GET", "/v1/runs"): ROLES,
    ("GET", "/v1/runs/r1"): ROLES,
    ("GET", "/v1/budget"): ROLES,
    ("GET", "/v1/rubrics"): ROLES,
    ("GET", "/v1/runs/r1/rollouts"): ("rollout", "admin"),
    ("GET", f"/v1/verdicts/{'0' * 64}"): ("rollout", "admin"),
    ("GET", "/v1/feedback"): ("rollout", "admin"),
    ("POST", "/v1/feedback"): ("user", "admin"),
}


@ONE_DATABASE
@pytest.mark.parametrize(("method", "path"), MAY)
async def test_who_may_ask_what(method: str, path: str, guarded: httpx.AsyncClient) -> None:
    """Numbers are for every key, texts for rollouts and admins, votes for people."""
    body = VOTE if method == "POST" else None
    assert (await guarded.request(method, path, json=body)).status_code == 401
    allowed = []
    for role in ROLES:
        headers = {"Authorization": f"Bearer secret-of-{role}"}
        status = (await guarded.request(method, path, json=body, headers=headers)).status_code
        assert status in {200, 201, 403, 404}
        if status != 403:
            allowed.append(role)
    assert tuple(allowed) == MAY[method, path]


@ONE_DATABASE
async def test_a_vote_names_whose_key_it_came_with(guarded: httpx.AsyncClient) -> None:
    """The key's name, never the key."""
    await guarded.post(
        "/v1/feedback", json=VOTE, headers={"Authorization": "Bearer secret-of-user"}
    )
    page = await guarded.get("/v1/feedback", headers={"Authorization": "Bearer secret-of-admin"})
    assert [vote["caller"] for vote in page.json()["votes"]] == ["user-1"]
    assert "secret" not in page.text
