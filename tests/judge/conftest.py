"""A judge with a real database, and whichever teacher a test gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from galen.keys import KeyRing
from judge import database
from judge.app import create_app
from judge.ledger import Ledger
from judge.metrics import JudgeMetrics
from judge.mock_teacher import MockTeacher
from judge.rubric import RubricShelf
from judge.service import JudgeService
from judge.verdict import Teacher

ServiceMaker = Callable[..., JudgeService]
"""Takes the teacher and, if a test looks at the numbers, the registry."""


@pytest.fixture(scope="session")
def shelf() -> RubricShelf:
    return RubricShelf.load()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A database that the migrations have made."""
    url = f"sqlite:///{tmp_path / 'judge.sqlite3'}"
    database.upgrade(url)
    return url


@pytest.fixture
async def make_service(database_url: str, shelf: RubricShelf) -> AsyncIterator[ServiceMaker]:
    """Makes judges that share one database, as a restart would."""
    made: list[JudgeService] = []

    def make(teacher: Teacher, registry: CollectorRegistry | None = None) -> JudgeService:
        ledger = Ledger(database.connect(database_url))
        metrics = JudgeMetrics(registry or CollectorRegistry())
        service = JudgeService(shelf, teacher, ledger, metrics)
        made.append(service)
        return service

    yield make
    for service in made:
        await service.aclose()


@pytest.fixture
async def http(make_service: ServiceMaker) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a judge that runs the mock teacher and has no keys."""
    registry = CollectorRegistry()
    app = create_app(make_service(MockTeacher(), registry), KeyRing({}), registry=registry)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://judge") as client:
        yield client
