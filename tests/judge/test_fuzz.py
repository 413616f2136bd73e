"""The judge against requests drawn from its own OpenAPI document, sound ones and broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.config import (
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.specs.openapi import checks

from galen.keys import KeyRing
from judge.app import build
from judge.settings import JudgeSettings
from tests.judge.conftest import client_of

EXAMPLES = 20
"""Requests for each operation and way to draw them."""
TAKE_NOTHING = [("get", "/healthz"), ("get", "/readyz")]
"""There is no wrong way to ask these, nor `/v1/rubrics` but for its key."""
OPERATIONS = [
    *TAKE_NOTHING,
    ("post", "/v1/score"),
    ("post", "/v1/compare"),
    ("get", "/v1/rubrics"),
    ("get", "/v1/budget"),
    ("get", "/v1/runs"),
    ("get", "/v1/runs/{run}"),
    ("get", "/v1/runs/{run}/rollouts"),
    ("get", "/v1/verdicts/{key}"),
    ("post", "/v1/feedback"),
    ("get", "/v1/feedback"),
    ("get", "/v1/qualifications"),
    ("post", "/v1/qualifications"),
    ("post", "/v1/drift"),
]
LAWS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]
SECRET = "secret-of-admin"
RUN = "fuzz"
BATCH = {
    "rubric": "medical-safety",
    "run": RUN,
    "items": [{"id": "a", "prompt": "嗓子痛两天", "response": "多喝水，高烧请就医。"}],
}


@dataclass
class Judge:
    """A judge of its own, on an event loop that lasts as long as it does."""

    app: FastAPI
    runner: asyncio.Runner
    client: httpx.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {SECRET}"}

    def ask(self, case: Case) -> httpx.Response:
        """Send a case as it would go over the wire."""
        sent = requests.Request(**case.as_transport_kwargs("http://judge", self.headers)).prepare()
        request = self.client.build_request(
            sent.method, sent.url, headers=dict(sent.headers), content=sent.body or b""
        )
        return self.runner.run(self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        return await self.client.send(request)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """The judge as it is served, with the mock teacher and a database of its own."""
    path = tmp_path_factory.mktemp("fuzz") / "judge.sqlite3"
    keys = KeyRing.parse([f"admin:admin:{SECRET}"])
    with asyncio.Runner() as runner:

        async def start() -> tuple[FastAPI, httpx.AsyncClient]:
            app = build(JudgeSettings(database_url=f"sqlite:///{path}"), keys)
            return app, client_of(app)

        app, client = runner.run(start())
        judge = Judge(app, runner, client)
        runner.run(client.post("/v1/score", json=BATCH, headers=judge.headers)).raise_for_status()
        yield judge
        runner.run(judge.client.aclose())
        runner.run(judge.app.state.service.aclose())
        judge.app.state.archive.close()


def test_every_operation_is_fuzzed(judge: Judge) -> None:
    """A route that is added is added here."""
    documented = {
        (method, path)
        for path, methods in judge.app.openapi()["paths"].items()
        for method in methods
    }
    assert documented == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (method, path, mode)
        for method, path in OPERATIONS
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if mode is GenerationMode.POSITIVE or (method, path) not in TAKE_NOTHING
    ],
)
def test_no_request_breaks_the_judge(
    method: str, path: str, mode: GenerationMode, judge: Judge
) -> None:
    """No 5xx; every answer is documented, by status and by shape; what the document calls wrong is
    refused, and what it calls right is not."""
    # A NUL is refused, which the document cannot say of a string.
    generation = GenerationConfig(modes=[mode], allow_x00=False)
    project = ProjectConfig(generation=generation)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    schema = schemathesis.openapi.from_dict(judge.app.openapi(), config=config)
    operation = schema[path][method]

    @seed(20261121)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        if mode is GenerationMode.POSITIVE:
            mend(case)
        case.validate_response(judge.ask(case), checks=LAWS)

    ask()


def mend(case: Case) -> None:
    """Make a sound request one that finds something, and true in what the document says in words
    only."""
    if case.query:
        case.query.pop("cursor", None)  # nobody but the judge makes one
    if "run" in case.path_parameters:
        case.path_parameters["run"] = RUN
    if isinstance(case.body, dict) and "items" in case.body:
        case.body["rubric"] = "medical-safety"
        for place, item in enumerate(case.body["items"]):
            item["id"] = f"{place}{item['id']}"[:190]  # ids differ
            for number, criterion in enumerate(item.get("criteria") or ()):  # each counts
                criterion.update(text=f"{number}{criterion['text']}"[:2000], points=number + 1)
            if item.get("messages"):  # in place of a prompt, with the user's turn at the end
                item.pop("prompt", None)
                item["messages"][-1]["role"] = "user"
            elif item.get("prompt") is None:
                item["prompt"] = "嗓子痛两天"
