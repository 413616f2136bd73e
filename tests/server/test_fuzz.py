"""The policy server against requests drawn from its own OpenAPI document, sound and broken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import requests
import schemathesis
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
from server.openapi import EXAMPLES as BODIES
from server.paths import CHAT, COMPLETIONS, PASSED_ON, TOKENIZE
from server.settings import ServerSettings
from tests.fakes.engine import write_base
from tests.server.harness import LIMIT_S, Launcher, Running

EXAMPLES = 12
"""Requests for each operation and way to draw them."""
SECRET = "secret-of-admin"
LAWS = [schemathesis.checks.not_a_server_error, checks.content_type_conformance]
OWN = [
    *(("get", path) for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/policy")),
    *(("post", path) for path in ("/policy/versions", "/policy/activate")),
    ("get", "/v1/models/{name}"),
    ("delete", "/policy/versions/{name}"),
    *((method, "/v1/files") for method in ("get", "post")),
    *((method, "/v1/files/{file_id}") for method in ("get", "delete")),
    ("get", "/v1/files/{file_id}/content"),
    *((method, "/v1/batches") for method in ("get", "post")),
    ("get", "/v1/batches/{batch_id}"),
    ("post", "/v1/batches/{batch_id}/cancel"),
]
OPERATIONS = [*OWN, *(("post", path) for path in PASSED_ON)]


@dataclass
class Served:
    """A server that lasts as long as its event loop, and its document."""

    runner: asyncio.Runner
    running: Running
    document: dict[str, object]

    def ask(self, case: Case) -> httpx.Response:
        """Send a case over the wire."""
        headers = {"Authorization": f"Bearer {SECRET}"}
        address = str(self.running.http.base_url)
        sent = requests.Request(**case.as_transport_kwargs(address, headers)).prepare()
        request = self.running.http.build_request(
            sent.method, sent.url, headers=dict(sent.headers), content=sent.body or b""
        )
        return self.runner.run(self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        return await self.running.http.send(request)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzz")
    base = write_base(folder / "base")
    (folder / "versions").mkdir()
    settings = ServerSettings(
        model=base, state=folder / "state", versions_root=folder / "versions", step_limit_s=LIMIT_S
    )
    launcher = Launcher(settings, KeyRing.parse([f"admin:admin:{SECRET}"]))
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> tuple[Running, dict[str, object]]:
            running = await stack.enter_async_context(launcher.start())
            return running, (await running.http.get("/openapi.json")).json()

        running, document = runner.run(start())
        yield Served(runner, running, document)
        runner.run(stack.aclose())


def fuzz(served: Served, method: str, path: str, mode: GenerationMode, examples: int) -> None:
    generation = GenerationConfig(modes=[mode], allow_x00=False)
    project = ProjectConfig(generation=generation)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    operation = schemathesis.openapi.from_dict(served.document, config=config)[path][method]

    @seed(20261121)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        answer = served.ask(case)
        case.validate_response(answer, checks=LAWS)
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"]

    ask()


def can_be_wrong(document: dict[str, object], method: str, path: str) -> bool:
    """Whether a request can break the document: any text is a name in a path."""
    described = document["paths"][path][method]  # type: ignore[index]
    queries = [given for given in described.get("parameters", ()) if given["in"] == "query"]
    return bool(queries or described.get("requestBody"))


def test_every_operation_is_fuzzed(served: Served) -> None:
    """A route that is added is added here."""
    documented = {
        (method, path)
        for path, methods in served.document["paths"].items()  # type: ignore[attr-defined]
        for method in methods
    }
    assert documented == set(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_breaks_the_server(
    method: str, path: str, mode: GenerationMode, served: Served
) -> None:
    """No 5xx; what is refused is refused in OpenAI's shape; and the server goes on."""
    if mode is GenerationMode.POSITIVE or can_be_wrong(served.document, method, path):
        fuzz(served, method, path, mode, EXAMPLES)


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, TOKENIZE])
def test_what_the_document_gives_as_an_example_is_answered(path: str, served: Served) -> None:
    """A person copies it."""
    example = BODIES[path]
    headers = {"Authorization": f"Bearer {SECRET}"}
    running = served.running
    answer = served.runner.run(running.http.post(path, json=example, headers=headers))
    assert answer.status_code == 200, answer.text
