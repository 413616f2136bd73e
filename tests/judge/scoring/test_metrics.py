"""What the judge counts, by names that say what it is; and logs without words or keys."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Iterator
from io import StringIO

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from galen.keys import KeyRing
from galen.telemetry import configure_logging
from judge.ledger import database, leases
from judge.ledger.database import WRITES
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import RubricRegistry
from judge.schemas import ScoreItem, ScoreRequest
from judge.scoring.metrics import LeaseWaits
from judge.settings import TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from judge.teacher.question import Question
from judge.teacher.verdict import Client
from judge.text.case import Case
from tests.fakes.account import FREE
from tests.fakes.teacher import FakeTeacher, Says, Status, good
from tests.judge.conftest import AppMaker, ServiceMaker, client_of

ITEM = {"id": "a", "prompt": "嗓子痛两天", "response": "可能与咽炎有关，建议多喝水，高烧请就医。"}
BODY = {"rubric": "medical", "items": [ITEM], "run": "r"}
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


def teacher_of(fake: FakeTeacher, key: str = "a-key") -> OpenAITeacher:
    settings = TeacherSettings(base_url=fake.url, model="deepseek-flash")
    return OpenAITeacher(settings, key, Prices.load(), Backoff(base_s=0.0))


async def read(http: httpx.AsyncClient) -> dict[str, float]:
    """Every sample of `/metrics` by its name with its labels."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_what_a_teacher_made_of_it(fake: FakeTeacher, make_app: AppMaker) -> None:
    """Verdicts, failures by cause, and every reply that was paid for in vain."""
    fake.enqueue(Says("no verdict"), *[Says("") for _ in range(3)], Status(422))
    async with client_of(make_app(teacher_of(fake))) as http:
        for number in range(3):
            item = ITEM | {"response": f"{ITEM['response']}{number}"}
            await http.post("/v1/score", json=BODY | {"items": [item]})
        counted = await read(http)
    told = {k: v for k, v in counted.items() if k.startswith("galen_judge_teacher_judgements_t")}
    assert {name.partition("=")[2]: value for name, value in told.items()} == {
        "verdict": 1.0,
        "judge_malformed": 1.0,
        "provider_error": 1.0,
    }
    assert counted["galen_judge_rejected_replies_total"] == 4.0


async def test_a_shared_failure_is_one(fake: FakeTeacher, make_service: ServiceMaker) -> None:
    """However many wait for the same verdict, the teacher was asked once."""
    registry = CollectorRegistry()
    service = make_service(teacher_of(fake), registry)
    fake.enqueue(Status(422))
    request = ScoreRequest(rubric="medical", items=(ScoreItem(**ITEM),))
    await asyncio.gather(*(service.score(request) for _ in range(3)))
    labels = {"outcome": "provider_error"}
    assert registry.get_sample_value("galen_judge_teacher_judgements_total", labels) == 1.0


async def test_which_rewards_were_given(fake: FakeTeacher, make_app: AppMaker) -> None:
    """Each reward once, in its place; an item that failed has none."""
    fake.enqueue(good(), Status(422))
    failing = ITEM | {"id": "b", "response": ITEM["response"] + "。"}
    async with client_of(make_app(teacher_of(fake))) as http:
        reward = (await http.post("/v1/score", json=BODY)).json()["items"][0]["reward"]
        answer = await http.post(
            "/v1/score", json=BODY | {"items": [failing], "teacher": "required"}
        )
        assert answer.json()["items"][0]["reward"] is None
        counted = await read(http)
    bounds = {
        float(name.partition("le=")[2].split()[0]): value
        for name, value in counted.items()
        if name.startswith("galen_judge_reward_bucket") and "status=ok" in name
    }
    assert bounds == {bound: float(reward <= bound) for bound in bounds}
    assert counted["galen_judge_reward_count rubric=medical status=ok"] == 1.0


async def test_what_the_ledger_had(make_app: AppMaker) -> None:
    """Each different verdict that was looked up, found or not; after a restart too."""
    more = ITEM | {"id": "b"}, ITEM | {"id": "c", "response": ITEM["response"] + "。"}
    async with client_of(make_app()) as http:
        await http.post("/v1/score", json=BODY)
        assert (await read(http))["galen_judge_ledger_lookups_total found=no"] == 1.0
    async with client_of(make_app()) as http:
        await http.post("/v1/score", json=BODY | {"items": [ITEM, *more]})
        counted = await read(http)
    assert counted["galen_judge_ledger_lookups_total found=yes"] == 1.0
    assert counted["galen_judge_ledger_lookups_total found=no"] == 1.0


async def test_what_the_day_may_still_cost(fake: FakeTeacher, make_app: AppMaker) -> None:
    """Today's budget is read when somebody looks; without a cap the cap is infinite."""
    async with client_of(make_app(teacher_of(fake))) as http:
        await http.post("/v1/score", json=BODY)
        counted = await read(http)
    assert counted["galen_judge_budget_day_committed_usd"] > 0
    assert counted["galen_judge_budget_day_cap_usd"] == math.inf


async def test_metrics_outlive_the_database(make_app: AppMaker) -> None:
    """What the database does not say is not a number, and everything else is still told."""
    app = make_app()
    async with client_of(app) as http:
        await app.state.service.aclose()
        counted = await read(http)
    assert math.isnan(counted["galen_judge_budget_day_committed_usd"])
    assert counted["galen_judge_cached_items_total"] == 0.0


async def test_waiting_for_another_judge_is_counted(
    database_url: str, rubrics: RubricRegistry
) -> None:
    """A lease that another judge holds is waited for once a verdict, not once a look."""
    engine = database.connect(database_url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        leases.claim(connection, ["k"], "another", seconds=0.2)
    registry, ledger = CollectorRegistry(), Ledger(Store(engine))
    LeaseWaits(ledger, registry)
    case = Case(ITEM["prompt"], ITEM["response"])
    question = Question("k", rubrics.get("medical"), case, MockTeacher(), Client("c", FREE))
    await ledger.obtain(question)
    await ledger.aclose()
    assert registry.get_sample_value("galen_judge_lease_waits_total") == 1.0


async def test_every_name_says_its_unit_and_whose_it_is(http: httpx.AsyncClient) -> None:
    """The service's name in front; counters end in _total, moments in _created."""
    await http.post("/v1/score", json=BODY)
    families = list(text_string_to_metric_families((await http.get("/metrics")).text))
    assert all(family.name.startswith("galen_judge_") for family in families)
    assert all(family.documentation for family in families)


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """What the judge's process would write, down to the least line of its own."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out = StringIO()
    configure_logging("judge", logging.DEBUG)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out)
    yield out
    root.handlers[:] = before
    root.setLevel(level)


async def test_logs_hold_no_words_and_no_key(
    fake: FakeTeacher, make_app: AppMaker, logs: StringIO
) -> None:
    """Whatever goes well or wrong, of what was judged, said or paid with nothing is logged."""
    secret, words = "mark-of-a-key", "标记之言"
    keys = KeyRing.parse([f"ann:admin:{secret}"])
    fake.enqueue(
        Says(f"{words} no verdict"),
        good(why=words),
        Status(422, message=words),
        Status(401, message=f"{words} {secret}"),
    )
    texts = {"prompt": words, "reference": words}
    async with client_of(make_app(teacher_of(fake, secret), keys)) as http:
        http.headers["Authorization"] = f"Bearer {secret}"
        for number in range(4):
            item = ITEM | texts | {"response": f"{words}，建议多喝水，请就医。{number}"}
            await http.post("/v1/score", json=BODY | {"items": [item]})
        await http.post("/v1/score", json=BODY | {"items": [ITEM | {words: 1}]})
        await http.post("/v1/score", content=words.encode())
        await http.get(f"/v1/runs/{words}", headers={"Authorization": f"Bearer {secret}x"})
        await http.get(f"/v1/runs/r/rollouts?rule={words}&{words}={secret}")
        await http.get("/v1/runs/r/rollouts")
        await http.get("/metrics")
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    assert [line["route"] for line in lines if line["event"] == "request"].count("/v1/score") == 6
    assert {"items not judged by the teacher"} <= {line["event"] for line in lines}
    for mark in (secret, words, json.dumps(words)[1:-1]):
        assert mark not in logs.getvalue()
